"""A bundle's ONNX model: encoded rows to what the task asks for, by ONNX Runtime.

The runtime is imported only where such a model is loaded, so that a server of LiteRT models stays small.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mulgil.errors import InputError, describe


class OnnxModel:
    """A model of one input and one output.

    Args:
        path: The `.onnx` file.
        answer_width: How many numbers it must give for a row.

    Raises:
        InputError: ONNX Runtime cannot load it, or its input or output is of another form.
    """

    def __init__(self, path: Path, answer_width: int) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        # A request is a few rows, and the machine's cores belong to the other servers.
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        try:
            self._session = onnxruntime.InferenceSession(
                str(path), options, providers=["CPUExecutionProvider"]
            )
        except Exception as exc:  # The runtime's own exceptions share no base of theirs.
            raise InputError(describe(f"ONNX Runtime cannot load {path}", received=str(exc))) from exc
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        self._check_form(path, inputs, outputs, answer_width)
        self._input, self._outputs = inputs[0].name, [outputs[0].name]
        self.width = int(inputs[0].shape[1])

    def predict(self, encoded: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Compute the output for encoded rows.

        Shapes:
            (rows, width) to (rows,), or (rows, answer_width) where that is more than one.
        """
        output: npt.NDArray[np.float32] = self._session.run(self._outputs, {self._input: encoded})[0]
        return output

    @staticmethod
    def _check_form(path: Path, inputs: list[Any], outputs: list[Any], answer_width: int) -> None:
        form = [(value.type, list(value.shape)) for value in (*inputs, *outputs)]
        is_right = (
            len(inputs) == len(outputs) == 1
            and all(kind == "tensor(float)" for kind, _ in form)
            and len(form[0][1]) == 2
            and isinstance(form[0][1][1], int)
            and form[1][1][1:] == ([] if answer_width == 1 else [answer_width])
        )
        if not is_right:
            raise InputError(
                describe(
                    f"{path} is not a model that Mulgil runs",
                    expected="one float32 input [n, width] and one float32 output "
                    + ("[n]" if answer_width == 1 else f"[n, {answer_width}]"),
                    received=f"inputs and outputs {form}",
                )
            )
