"""Events wait in batches, in order and within bounds."""

import json

import pytest

from mulgil.serving.event_batches import EventBatches

EVENTS = [b'{"id":"%d","data":"%b"},' % (number, b"x" * 1000) for number in range(1000)]


def take_all(batches):
    taken = []
    while (batch := batches.first()) is not None:
        body = b"".join(batch.parts)
        assert len(body) == batch.length
        events = json.loads(b"[%b]" % body)
        assert len(events) == batch.records
        taken += [int(event["id"]) for event in events]
        batches.drop_first()
    return taken


def make_batches(most_records=10_000, most_bytes=1 << 30):
    closed = []
    return EventBatches(most_records, most_bytes, lambda: closed.append(True)), closed


def test_what_was_kept_comes_in_order_and_once():
    batches, closed = make_batches()
    taken = []
    for place, events in enumerate(EVENTS):
        assert batches.add(events, 1)
        if place % 300 == 299:
            assert batches.has_closed and closed.pop(), "one batch is full, so that it need not wait"
            taken += take_all(batches)

    assert batches.records == 100
    assert [*taken, *take_all(batches)] == list(range(1000))
    assert (batches.records, batches.first()) == (0, None)


def test_an_event_longer_than_a_batch_is_one_of_its_own():
    batches, _ = make_batches()
    long = b'{"id":"1","data":"%b"},' % (b"x" * 1_000_000)
    for events in (EVENTS[0], long, EVENTS[2]):
        assert batches.add(events, 1)

    assert take_all(batches) == [0, 1, 2]


@pytest.mark.parametrize("limits", [{"most_records": 500}, {"most_bytes": 500_000}])
def test_beyond_the_records_or_the_bytes_there_is_room_for_one_batch_more_and_then_none(limits):
    batches, _ = make_batches(**limits)
    for _ in range(2):
        kept = [batches.add(events, 1) for events in EVENTS]

        count = kept.index(False)
        assert not any(kept[count:]) and batches.records == count
        assert 500 <= count <= 500 + 256
        assert take_all(batches) == list(range(count))
