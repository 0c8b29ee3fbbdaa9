"""Events wait in batches, in order and within bounds."""

import json

from mulgil.serving.event_batches import EventBatches

EVENTS = [b'{"id":"%d","data":"%b"}' % (number, b"x" * 1000) for number in range(1000)]


def take_all(batches):
    taken = []
    while (batch := batches.first()) is not None:
        events = json.loads(b"[%b]" % batch.body)
        assert len(events) == batch.records
        taken += [int(event["id"]) for event in events]
        batches.drop_first()
    return taken


def test_what_was_kept_comes_in_order_and_once():
    batches = EventBatches(most_records=10_000, most_bytes=1 << 30)
    taken = []
    for place, events in enumerate(EVENTS):
        assert batches.add(events)
        if place % 300 == 299:
            assert batches.closed, "one batch is full, so that it need not wait"
            taken += take_all(batches)

    assert batches.records == 100
    assert [*taken, *take_all(batches)] == list(range(1000))
    assert (batches.records, batches.first()) == (0, None)


def test_an_event_longer_than_a_batch_is_one_of_its_own():
    batches = EventBatches(most_records=10, most_bytes=1 << 30)
    long = b'{"id":"1","data":"%b"}' % (b"x" * 1_000_000)
    for events in (EVENTS[0], long, EVENTS[2]):
        assert batches.add(events)

    assert take_all(batches) == [0, 1, 2]


def test_beyond_the_records_or_the_bytes_there_is_no_room_before_some_are_dropped():
    for limits in ({"most_records": 3, "most_bytes": 1 << 30}, {"most_records": 100, "most_bytes": 3500}):
        batches = EventBatches(**limits)
        assert [batches.add(events) for events in EVENTS[:5]] == [True, True, True, False, False]
        assert batches.records == 3

        assert take_all(batches) == [0, 1, 2]
        assert [batches.add(events) for events in EVENTS[:5]] == [True, True, True, False, False]
