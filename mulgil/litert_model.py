"""A bundle's LiteRT model: encoded rows to what the task asks for, by LiteRT.

The runtime is imported only where such a model is loaded, so that flags of `--help` need none.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mulgil.errors import InputError, describe


class LiteRTModel:
    """A model of one input and one output.

    Args:
        path: The `.tflite` file.
        answer_width: How many numbers it must give for a row.

    Raises:
        InputError: LiteRT cannot load it, or its input or output is of another form.
    """

    def __init__(self, path: Path, answer_width: int) -> None:
        from ai_edge_litert.interpreter import Interpreter

        try:
            # One thread: a request is a few rows, and the machine's cores belong to the other servers.
            self._interpreter = Interpreter(model_path=str(path), num_threads=1)
            inputs, outputs = self._interpreter.get_input_details(), self._interpreter.get_output_details()
        except (ValueError, RuntimeError) as exc:
            raise InputError(describe(f"LiteRT cannot load {path}", received=str(exc))) from exc
        self._check_form(path, inputs, outputs, answer_width)
        self._answer_shape = (-1,) if answer_width == 1 else (-1, answer_width)
        self._input, self._output = inputs[0]["index"], outputs[0]["index"]
        self.width = int(inputs[0]["shape_signature"][1])
        self._rows = 0

    def predict(self, encoded: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Compute the output for encoded rows.

        Shapes:
            (rows, width) to (rows,), or (rows, answer_width) where that is more than one.
        """
        if len(encoded) != self._rows:
            self._interpreter.resize_tensor_input(self._input, encoded.shape)
            self._interpreter.allocate_tensors()
            self._rows = len(encoded)
        self._interpreter.set_tensor(self._input, encoded)
        self._interpreter.invoke()
        output: npt.NDArray[np.float32] = self._interpreter.get_tensor(self._output)
        return output.reshape(self._answer_shape)

    @staticmethod
    def _check_form(
        path: Path, inputs: list[dict[str, Any]], outputs: list[dict[str, Any]], answer_width: int
    ) -> None:
        form = [(i["dtype"].__name__, [int(n) for n in i["shape_signature"]]) for i in (*inputs, *outputs)]
        is_right = (
            len(inputs) == len(outputs) == 1
            and all(dtype == "float32" for dtype, _ in form)
            and len(form[0][1]) == 2
            and form[1][1][1:] in (([], [1]) if answer_width == 1 else ([answer_width],))
        )
        if not is_right:
            raise InputError(
                describe(
                    f"{path} is not a model that this server runs",
                    expected="one float32 input [n, width] and one float32 output "
                    + ("[n] or [n, 1]" if answer_width == 1 else f"[n, {answer_width}]"),
                    received=f"inputs and outputs {form}",
                )
            )
