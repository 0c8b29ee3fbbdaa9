"""The loop that drives a rollout to its end: reads it, moves it, writes it down, and looks again."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from mulgil.errors import MulgilError, TemporaryError
from mulgil.rollout.progress import Surroundings, conclude, move
from mulgil.rollout.record import Phase, RolloutRecord, verdict_of
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
                    moved = _finish(moved, finish, clock.now())
                    store.write_verdict(verdict_of(moved))
                wait = _LOOK_SECONDS
            except MulgilError as exc:
                moved = _take(rollout, exc, clock.now())
                wait = min(2 * wait, _GREATEST_WAIT_SECONDS)
            has_changed = moved is not rollout
            if has_changed:
                store.write(moved)
            rollout = moved
            # What has just begun needs no wait; the next look at what goes on does.
            if not rollout.phase.is_over and (not has_changed or wait > _LOOK_SECONDS):
                clock.sleep(wait)
        return rollout


def _finish(rollout: RolloutRecord, finish: Callable[[RolloutRecord], None], now: float) -> RolloutRecord:
    """Do what is to be done at the end. What can never be done is told: the traffic is where it is to be."""
    try:
        finish(rollout)
    except TemporaryError:
        raise
    except MulgilError as exc:
        return rollout.note(now, f"Not done: {exc}")
    return rollout


def _take(rollout: RolloutRecord, exc: MulgilError, now: float) -> RolloutRecord:
    """Go back where the platform refuses a candidate; wait where it does not answer or refuses that."""
    if not isinstance(exc, TemporaryError) and rollout.phase not in (Phase.PROMOTING, Phase.ROLLING_BACK):
        return conclude(rollout, Phase.ROLLING_BACK, f"The platform refuses it: {exc}", now)
    return rollout.tell(now, f"Waiting: {exc}")
