"""Names of a SavedModel's functions that say nothing of the process that wrote it.

TensorFlow ends a function's name with a counter of the process, which every tensor moves on. A training that
was killed and resumed has made other tensors than one that nobody disturbed, and would give the same model
other bytes, and all that is computed from it another fingerprint.

Source: https://github.com/tensorflow/tensorflow/blob/v2.21.0/tensorflow/core/protobuf/saved_model.proto.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from google.protobuf.message import Message
from tensorflow.core.framework import function_pb2
from tensorflow.core.protobuf import saved_model_pb2


def renumber_functions(path: Path) -> None:
    """Number a SavedModel's functions from zero, in the order in which they were made, and write it anew.

    Args:
        path: The file `saved_model.pb`.
    """
    model = saved_model_pb2.SavedModel.FromString(path.read_bytes())
    for graph in model.meta_graphs:
        functions = graph.graph_def.library.function
        made = sorted((function.signature.name for function in functions), key=_counter)
        names = {name: f"{name.rpartition('_')[0]}_{place}" for place, name in enumerate(made)}
        _rename(graph, names)
        for function in functions:
            _forget_captures(function)
        # They come in no order, as do the entries of maps.
        functions.sort(key=lambda function: function.signature.name)
    path.write_bytes(model.SerializeToString(deterministic=True))


def _forget_captures(function: function_pb2.FunctionDef) -> None:
    """Leave out what the variables are called that a function reads, which is the counter too."""
    for argument in function.arg_attr.values():
        if "_user_specified_name" in argument.attr and argument.attr["_user_specified_name"].s.isdigit():
            del argument.attr["_user_specified_name"]


def _counter(name: str) -> int:
    return int(name.rpartition("_")[2])


def _rename(message: Message, names: dict[str, str]) -> None:
    """Put the new name wherever an old one stands: a function is named by graphs, objects and signatures."""
    for field, value in message.ListFields():
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            _rename_map(field, value, names)
        elif field.message_type is not None:
            for one in value if field.is_repeated else [value]:
                _rename(one, names)
        elif field.type == field.TYPE_STRING and field.is_repeated:
            value[:] = [names.get(one, one) for one in value]
        elif field.type == field.TYPE_STRING and value in names:
            setattr(message, field.name, names[value])


def _rename_map(field: Any, entries: Any, names: dict[str, str]) -> None:
    has_messages = field.message_type.fields_by_name["value"].message_type is not None
    for key in list(entries):
        if key in names:
            if has_messages:
                entries[names[key]].CopyFrom(entries[key])
            else:
                entries[names[key]] = entries[key]
            del entries[key]
    if has_messages:
        for value in entries.values():
            _rename(value, names)
    else:
        for key, value in entries.items():
            if value in names:
                entries[key] = names[value]
