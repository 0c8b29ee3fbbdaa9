"""What is recorded of a prediction, before it is anywhere."""

import pytest
from served_bundles import network

from mulgil.prediction_log.events import Event
from mulgil.prediction_log.halves import make_half
from mulgil.serving.application import Application
from mulgil.serving.event_writer import REQUEST_TYPE, RESPONSE_TYPE
from mulgil.serving.messages import Request
from mulgil.serving.model import ServedModel

MORNING, EVENING, LATER = 1_763_978_400.0, 1_764_028_799.0, 1_764_100_000.0


class Records(list):
    def append(self, *record):
        super().append(record)


def half(kind, moment):
    return make_half(Event(id="a", source="s", type=kind, time=moment), None, LATER)


def test_a_response_alone_has_its_own_time_and_not_that_of_its_arrival():
    assert half(RESPONSE_TYPE, "2025-11-24T10:00:00Z").time == MORNING
    assert half(RESPONSE_TYPE, "no time").time == LATER


def test_a_pair_has_the_requests_time_whichever_comes_first():
    request = half(REQUEST_TYPE, "2025-11-24T10:00:00Z")
    response = half(RESPONSE_TYPE, "2025-11-24T23:59:59Z")

    assert response.time == EVENING
    assert request.joined(response).time == response.joined(request).time == MORNING


@pytest.mark.parametrize(
    ("path", "protocol"), [("v1/models/heart:predict", b"v1"), ("v2/models/heart/infer", b"v2")]
)
def test_a_defect_is_counted_and_recorded_as_the_500_that_the_client_gets(
    tmp_path, monkeypatch, path, protocol
):
    network(0).write_bundle(tmp_path / "bundle")
    model = ServedModel(tmp_path / "bundle")
    application = Application(model, name="heart", version="7")
    application.log = Records()

    def fail(*_):
        raise ZeroDivisionError

    monkeypatch.setattr(model, "predict_instances", fail)
    monkeypatch.setattr(model, "predict", fail)
    body = b'{"instances": [[63, 2.3, true, "6", 41000]]}'
    if protocol == b"v2":
        tensor = b'{"name": "x", "shape": [1, 5], "datatype": "FP64", "data": [63, 2.3, 1, 6, 41000]}'
        body = b'{"inputs": [%b]}' % tensor
    response = application.handle(Request("POST", f"/{path}", {}, body))

    assert response.status == 500 and b"its log says why" in response.body
    ((recorded_as, _, request, recorded, *_),) = application.log
    assert (recorded_as, request.body, recorded) == (protocol, body, response)
    assert f'protocol="{protocol.decode()}",code="500"' in application.metrics.render().decode()
