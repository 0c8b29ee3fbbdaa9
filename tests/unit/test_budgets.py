"""Budgets: the quietest round's time for a row, and the weight of the files."""

from components.evaluate_model import budgets
from components.evaluate_model.budgets import check_latency, check_size, measure_latency
from mulgil.artifacts import Latency


class Rows:
    tensors = {"x": [1.0, 2.0, 3.0]}  # noqa: RUF012

    def __len__(self):
        return 3


def test_the_quietest_round_counts(monkeypatch, tmp_path):
    class Model:
        def predict(self, encoded):
            return encoded

    class Transform:
        names = ()

        @classmethod
        def read(cls, path):
            return cls()

        def apply(self, columns):
            return columns

    monkeypatch.setattr(budgets, "FittedTransform", Transform)
    monkeypatch.setattr(budgets, "TransformExecutor", lambda transform: transform)
    monkeypatch.setattr(budgets, "load_numeric_model", lambda path, width: Model())
    ticks, now = iter(range(10**6)), [0.0]

    def clock():
        # Every second look ends a row: of 2 ms each in the third round, of 5 ms in the others.
        tick = next(ticks)
        row, is_end = divmod(tick, 2)
        is_quiet = 20 + 2 * 400 <= row < 20 + 3 * 400
        now[0] += (0.002 if is_quiet else 0.005) * is_end
        return now[0]

    latency = measure_latency(tmp_path, Rows(), 1, clock)

    assert round(latency.p99_milliseconds, 6) == round(latency.median_milliseconds, 6) == 2
    assert (latency.rows, latency.rounds) == (400, 5)


def test_a_budget_is_what_may_be_taken_at_most():
    latency = Latency(median_milliseconds=0.1, p99_milliseconds=0.5, rows=400, rounds=5)

    assert check_latency(latency, 0.5).is_passed
    assert not check_latency(latency, 0.4).is_passed
    assert "99 of 100 single rows take at most 0.5 ms" in check_latency(latency, 0.4).reason
    assert check_size(2_000_000, 2).is_passed
    assert not check_size(2_000_001, 2).is_passed
