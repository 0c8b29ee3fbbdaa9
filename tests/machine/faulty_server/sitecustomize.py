"""Gives a model server a fault, by the variable FAULT: it is imported before the server is."""

import os
import random
import time

FAULT = os.environ.get("FAULT")
# The warm-up, the replay and the copies go well: only live requests show it.
SOUND_REQUESTS = 480


def _spoil():
    from mulgil.serving.application import Application
    from mulgil.serving.http import Response

    predict, answered = Application._predict_v1, [0]

    def spoiled(self, request, identifier):
        answered[0] += 1
        if answered[0] < SOUND_REQUESTS:
            return predict(self, request, identifier)
        if FAULT == "errors" and random.random() < 0.1:
            return Response(503, b'{"error": "a fault"}')
        if FAULT == "slow":
            time.sleep(0.02)
        return predict(self, request, identifier)

    Application._predict_v1 = spoiled


def _drift():
    """Let the answers be others once the first few hundred were as they should."""
    from mulgil.litert_model import LiteRTModel

    predict, answered = LiteRTModel.predict, [0]

    def drifted(self, encoded):
        answered[0] += len(encoded)
        numbers = predict(self, encoded)
        return numbers if answered[0] < SOUND_REQUESTS else 0.5 + 0.5 * numbers

    LiteRTModel.predict = drifted


if FAULT in ("errors", "slow"):
    _spoil()
elif FAULT == "drift":
    _drift()
