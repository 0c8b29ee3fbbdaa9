"""The messages of V2 over gRPC, described here by name, number and type.

Made from descriptions in a pool of their own, they need no generated code, and do not clash with those of a
client in the same process. Fields that this server neither reads nor writes are left out: protobuf skips what
it does not know.

Source:
    https://github.com/kserve/open-inference-protocol/blob/main/specification/protocol/inference_grpc.md
"""

from __future__ import annotations

from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

PACKAGE = "inference"
SERVICE = f"{PACKAGE}.GRPCInferenceService"

_Field = descriptor_pb2.FieldDescriptorProto
_TYPES = {
    "bool": _Field.TYPE_BOOL,
    "bytes": _Field.TYPE_BYTES,
    "double": _Field.TYPE_DOUBLE,
    "float": _Field.TYPE_FLOAT,
    "int32": _Field.TYPE_INT32,
    "int64": _Field.TYPE_INT64,
    "uint32": _Field.TYPE_UINT32,
    "string": _Field.TYPE_STRING,
}

# Message -> field -> number and type, with `*` where it is repeated. Nested messages stand beside the others:
# on the wire a message has no name.
_MESSAGES: dict[str, dict[str, tuple[int, str]]] = {
    "ServerLiveRequest": {},
    "ServerLiveResponse": {"live": (1, "bool")},
    "ServerReadyRequest": {},
    "ServerReadyResponse": {"ready": (1, "bool")},
    "ModelReadyRequest": {"name": (1, "string"), "version": (2, "string")},
    "ModelReadyResponse": {"ready": (1, "bool")},
    "ServerMetadataRequest": {},
    "ServerMetadataResponse": {"name": (1, "string"), "version": (2, "string"), "extensions": (3, "string*")},
    "ModelMetadataRequest": {"name": (1, "string"), "version": (2, "string")},
    "ModelMetadataResponse": {
        "name": (1, "string"),
        "versions": (2, "string*"),
        "platform": (3, "string"),
        "inputs": (4, "TensorMetadata*"),
        "outputs": (5, "TensorMetadata*"),
    },
    "TensorMetadata": {"name": (1, "string"), "datatype": (2, "string"), "shape": (3, "int64*")},
    "ModelInferRequest": {
        "model_name": (1, "string"),
        "model_version": (2, "string"),
        "id": (3, "string"),
        "inputs": (5, "Tensor*"),
        "outputs": (6, "RequestedOutput*"),
        "raw_input_contents": (7, "bytes*"),
    },
    "RequestedOutput": {"name": (1, "string")},
    "ModelInferResponse": {
        "model_name": (1, "string"),
        "model_version": (2, "string"),
        "id": (3, "string"),
        "outputs": (5, "Tensor*"),
        "raw_output_contents": (6, "bytes*"),
    },
    "Tensor": {
        "name": (1, "string"),
        "datatype": (2, "string"),
        "shape": (3, "int64*"),
        # A map is a repeated message of key and value.
        "parameters": (4, "Parameter*"),
        "contents": (5, "Contents"),
    },
    "Parameter": {"key": (1, "string"), "value": (2, "ParameterValue")},
    "ParameterValue": {"string_param": (3, "string")},
    "Contents": {
        "bool_contents": (1, "bool*"),
        "int_contents": (2, "int32*"),
        "int64_contents": (3, "int64*"),
        "uint_contents": (4, "uint32*"),
        "fp32_contents": (6, "float*"),
        "fp64_contents": (7, "double*"),
        "bytes_contents": (8, "bytes*"),
    },
}


def make_messages() -> dict[str, Any]:
    """Return the class of each message by its name."""
    file = descriptor_pb2.FileDescriptorProto(name="mulgil/inference.proto", package=PACKAGE, syntax="proto3")
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for field, (number, kind) in fields.items():
            described = message.field.add(name=field, number=number)
            is_repeated = kind.endswith("*")
            described.label = _Field.LABEL_REPEATED if is_repeated else _Field.LABEL_OPTIONAL
            element = kind.removesuffix("*")
            if element in _TYPES:
                described.type = _TYPES[element]
            else:
                described.type = _Field.TYPE_MESSAGE
                described.type_name = f".{PACKAGE}.{element}"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{PACKAGE}.{name}"))
        for name in _MESSAGES
    }
