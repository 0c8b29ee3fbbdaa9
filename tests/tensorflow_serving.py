"""A SavedModel asked as TensorFlow Serving asks it: by its tag and signature, with REST's row form.

TensorFlow Serving has no wheel. What it does with a body is written here after its documentation and source:
every instance has each input by name, a number is of the input's type, a boolean is no number, text is bytes,
NaN is read, and null is not.

Source:
    https://www.tensorflow.org/tfx/serving/api_rest ("Predict API", "JSON conformance")
    https://github.com/tensorflow/serving/blob/2.19.0/tensorflow_serving/util/json_tensor.cc
"""

import json
from pathlib import Path

import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

SIGNATURE = "serving_default"


class ServedSavedModel:
    """What TensorFlow Serving makes of a SavedModel's directory."""

    def __init__(self, path: Path) -> None:
        stored = saved_model_pb2.SavedModel.FromString((path / "saved_model.pb").read_bytes())
        (graph,) = (graph for graph in stored.meta_graphs if set(graph.meta_info_def.tags) == {"serve"})
        self.signature = graph.signature_def[SIGNATURE]
        # What its loader asks of a signature that `:predict` calls.
        assert self.signature.method_name == "tensorflow/serving/predict"
        # A signature's function lives as long as what it was loaded with.
        self._loaded = tf.saved_model.load(str(path), tags=["serve"])

    def predict(self, body: bytes) -> dict[str, object]:
        """Answer `:predict`; `ValueError` stands for its 400."""
        request = json.loads(body)
        instances, wanted = request["instances"], self.signature.inputs
        tensors = {}
        for name, info in wanted.items():
            if any(instance.keys() != wanted.keys() for instance in instances):
                raise ValueError("each instance has every input, and nothing else")
            values = [_read(instance[name], info.dtype) for instance in instances]
            tensors[name] = tf.constant(values, tf.as_dtype(info.dtype))
        outputs = self._loaded.signatures[SIGNATURE](**tensors)
        columns = {name: outputs[name].numpy().tolist() for name in self.signature.outputs}
        if len(columns) == 1:
            return {"predictions": next(iter(columns.values()))}
        return {
            "predictions": [
                dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)
            ]
        }


def _read(value, dtype):
    is_text = dtype == tf.string.as_datatype_enum
    allowed = str if is_text else (int, float)
    if isinstance(value, bool) or not isinstance(value, allowed):
        raise ValueError(f"{value!r} is not of the input's type")  # noqa: TRY004 - the client's
    return value.encode() if is_text else float(value)
