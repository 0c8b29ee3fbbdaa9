"""What Schemathesis is told beside the OpenAPI page: the little that no schema can say."""

import copy
import json
import struct

import schemathesis
from schemathesis.core.parameters import ParameterLocation
from schemathesis.openapi.checks import RejectedPositiveData

LENGTH = "Inference-Header-Content-Length"
# One row of the tests' bundle, as bytes behind the JSON.
ROW = struct.pack("<5d", 63, 2.3, 1, 6, 41_000)
TENSOR = {"name": "rows", "shape": [1, 5], "datatype": "FP64", "parameters": {"binary_data_size": len(ROW)}}
HEAD = json.dumps({"inputs": [TENSOR]}).encode()


@schemathesis.hook
def map_case(context, case):
    """Let a right request hold as many values and bytes as its shapes and its JSON say."""
    is_wrong = case.meta is None or any(map(case.meta.is_negative_at, ParameterLocation))
    if is_wrong or not case.operation.path.endswith("/infer"):
        return case
    case.headers.pop(LENGTH, None)
    if case.media_type == "application/octet-stream":
        case.body = HEAD + ROW
        case.headers[LENGTH] = str(len(HEAD))
    elif isinstance(case.body, dict) and case.body.get("inputs"):
        # Cases share parts of their bodies.
        case.body = copy.deepcopy(case.body)
        tensors = case.body["inputs"]
        rows = min(len(tensor["data"]) for tensor in tensors)
        for tensor in tensors:
            tensor["data"] = tensor["data"][:rows]
            tensor["shape"][0] = rows
    return case


@schemathesis.hook
def filter_failure(context, failure, case, response):
    """A right request may lie where the model gives no finite number, and is then refused in these words."""
    is_no_number = "where the model gives no finite number" in response.text
    return not (isinstance(failure, RejectedPositiveData) and is_no_number)
