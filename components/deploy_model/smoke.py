"""The smoke request: the bundle's own example, asked where every client will ask."""

from __future__ import annotations

from collections.abc import Mapping

import httpx

from mulgil.contract.answers import Answer, differ
from mulgil.endpoint_access import authorization
from mulgil.errors import PermanentError, TemporaryError, describe

# float32 through two compilers of the same graph; the server's own warm-up holds the same bound.
TOLERANCE = 1e-5

_ANSWER_SECONDS = 10.0


def ask(url: str, *, name: str, version: str, instance: Mapping[str, object], expected: Answer) -> Answer:
    """Send the example by KServe's V1 protocol and hold the answer against what the bundle says.

    Args:
        url: The InferenceService's address.
        name: The model's name there.
        version: The version that must answer.
        instance: The bundle's own example.
        expected: Its answer, by the bundle.

    Returns:
        The prediction.

    Raises:
        TemporaryError: There is no answer.
        PermanentError: It is not the expected one.
    """
    prediction, answered_by = converse(url, name=name, instance=instance)
    if answered_by != version or differ(prediction, expected, TOLERANCE):
        raise PermanentError(
            describe(
                f"{name} gives another answer than the bundle's own example",
                expected=f"prediction={expected} within {TOLERANCE}, version={version}",
                received=f"prediction={prediction}, version={answered_by}",
            )
        )
    return prediction


def converse(url: str, *, name: str, instance: Mapping[str, object]) -> tuple[Answer, str]:
    """Send an example by KServe's V1 protocol.

    Returns:
        The prediction, and the version that made it.

    Raises:
        TemporaryError: There is no answer.
        PermanentError: The example is refused, or the answer is not one of the protocol.
    """
    try:
        answer = httpx.post(
            f"{url}/v1/models/{name}:predict",
            json={"instances": [instance]},
            headers=authorization(),
            timeout=_ANSWER_SECONDS,
        )
    except httpx.HTTPError as exc:
        raise TemporaryError(describe(f"{name} does not answer at {url}", received=str(exc))) from exc
    if answer.status_code != httpx.codes.OK:
        kind = TemporaryError if answer.is_server_error else PermanentError
        raise kind(
            describe(
                f"{name} refuses the bundle's own example",
                expected="status 200",
                received=f"status {answer.status_code}: {answer.text[:500]}",
            )
        )
    return _read_prediction(answer), answer.headers.get("X-Model-Version", "")


def _read_prediction(answer: httpx.Response) -> Answer:
    try:
        (prediction,) = answer.json()["predictions"]
        if not isinstance(prediction, int | float | dict):
            raise TypeError(prediction)
        return prediction
    except (ValueError, TypeError, KeyError) as exc:
        raise PermanentError(
            describe(
                "The answer is not one of KServe's V1 protocol",
                expected='{"predictions": [a number, or numbers by name]}',
                received=answer.text[:500],
            )
        ) from exc
