"""The loop that drives a rollout to its end: reads it, moves it, writes it down, and looks again."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from mulgil.errors import TemporaryError
from mulgil.rollout.progress import Surroundings, move
from mulgil.rollout.record import RolloutRecord, verdict_of
from mulgil.rollout.store import RolloutStore

# Between two looks at a platform that is on its way to what was written.
_LOOK_SECONDS = 0.5
# Back-off while something does not answer.
_GREATEST_WAIT_SECONDS = 30.0


@dataclass(frozen=True)
class Clock:
    """Time, and waiting for it."""

    now: Callable[[], float] = time.time
    sleep: Callable[[float], None] = time.sleep


def drive(
    store: RolloutStore,
    rollout_id: str,
    around: Surroundings,
    *,
    finish: Callable[[RolloutRecord], None] = lambda rollout: None,
    clock: Clock | None = None,
    most_moves: int | None = None,
) -> RolloutRecord:
    """Drive a rollout until it is over, or as many moves as are given.

    Args:
        store: Where it is written down.
        rollout_id: Which.
        around: What it touches.
        finish: What is to be done, once more where it was interrupted, before the rollout counts as over.
        clock: Time.
        most_moves: For tests; until it is over where it is not given.

    Returns:
        The rollout, as it is written down. Where another process drives it, it is left alone.
    """
    clock = clock or Clock()
    with store.driving(rollout_id) as is_mine:
        rollout = store.read(rollout_id)
        wait, moves = _LOOK_SECONDS, 0
        while is_mine and not rollout.phase.is_over and moves != most_moves:
            moves += 1
            try:
                moved = move(rollout, around, store.read_command(rollout_id), clock.now())
                if moved.phase.is_over:
                    finish(moved)
                    store.write_verdict(verdict_of(moved))
                wait = _LOOK_SECONDS
            except TemporaryError as exc:
                # Trouble of a moment is told once, however often it is met.
                text = f"Waiting: {exc}"
                is_new = not rollout.events or rollout.events[-1].text != text
                moved = rollout.note(clock.now(), text) if is_new else rollout
                wait = min(2 * wait, _GREATEST_WAIT_SECONDS)
            has_changed = moved is not rollout
            if has_changed:
                store.write(moved)
            rollout = moved
            # What has just begun needs no wait; the next look at what goes on does.
            if not rollout.phase.is_over and (not has_changed or wait > _LOOK_SECONDS):
                clock.sleep(wait)
        return rollout
