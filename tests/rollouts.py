"""What tests of rollouts stand on: simulated callers, and a clock that does not wait."""

import numpy as np

from mulgil.contract.labels import LabelKind
from mulgil.contract.rollout import Rollout, RolloutMetric
from mulgil.rollout.comparisons import learn_shift
from mulgil.rollout.driving import Clock, drive
from mulgil.rollout.labels import Judged
from mulgil.rollout.progress import Surroundings
from mulgil.rollout.replay import replay
from mulgil.rollout.starting import start_rollout
from mulgil.rollout.store import RolloutStore
from mulgil.rollout.traffic import ArmTraffic, LatencySamples, Traffic

__all__ = ["Callers", "LateLabels", "Scene", "learn_shift"]


class Callers:
    """A metric source: callers that a canary serves better or worse."""

    measures = frozenset(RolloutMetric) - {RolloutMetric.ACCURACY}

    def __init__(self, cluster, *, rate=40.0, errors=0.01, slower=1.0, shift=0.0, seed=0):
        self.cluster, self.rate = cluster, rate
        self.labels = None
        self.errors, self.slower, self.shift = errors, slower, shift
        self.rng = np.random.default_rng(seed)
        self.served = {}

    def score_bounds(self, arms):
        return None

    def open(self, arms, now):
        return now

    def read(self, arms, cursor, now):
        requests = self.rng.poisson(self.rate * (now - cursor))
        canary = self.rng.binomial(requests, self.cluster.share(arms.canary) / 100)
        stable = int(requests) - int(canary)
        for version, count in ((arms.canary, canary), (arms.stable, stable)):
            self.served[version] = self.served.get(version, 0) + int(count)
            if self.labels is not None:
                self.labels.predict(version, int(count), cursor, now)
        return Traffic(
            self._arm(
                int(canary), self.errors, self.slower, self.candidate(self._scores(canary)) + self.shift
            ),
            self._arm(stable, 0.01, 1.0, self._scores(stable)),
        ), now

    def read_mirrored(self, arms, since, now):
        requests = int(self.rate * (now - since) * 0.2)
        return self._arm(requests, self.errors, self.slower, None)

    def read_before(self, arms, seconds, now):
        requests = int(self.rate * min(seconds, 60))
        return Traffic(ArmTraffic(), self._arm(requests, 0.01, 1.0, self._scores(requests)))

    def replay(self, rollout, sight):
        rows = [{"score": score} for score in self._scores(2000)]
        return replay(
            rows, "test", lambda r: float(r["score"]), lambda r: float(self.candidate(r["score"])), 0.005
        )

    def candidate(self, scores):
        """Another model that predicts differently, and is meant to."""
        return scores * 1.2 + 0.3

    def _scores(self, count):
        return self.rng.normal(size=int(count))

    def _arm(self, count, errors, slower, scores):
        return ArmTraffic(
            requests=count,
            errors=float(self.rng.binomial(count, errors)),
            latencies=LatencySamples(0.02 * slower * np.exp(0.5 * self.rng.normal(size=count))),
            scores=scores,
        )


class LateLabels:
    """Labels of the callers' predictions that come so many seconds later."""

    def __init__(self, *, wrong, delay=0.0, kind=LabelKind.CLASS, stable_wrong=0.1, seed=1):
        self.kind, self.delay = kind, delay
        self.wrong, self.stable_wrong = wrong, stable_wrong
        self.rng = np.random.default_rng(seed)
        self.made = {}
        self.now = 0.0
        self.trouble = None

    def predict(self, version, count, start, end):
        times = self.rng.uniform(start, end, count)
        share = self.stable_wrong if version == "1" else self.wrong
        if self.kind is LabelKind.CLASS:
            losses = (self.rng.random(count) < share).astype(float)
        else:
            losses = (share * self.rng.normal(size=count)) ** 2
        self.made.setdefault(version, []).append((times, losses))
        self.now = end

    needs_logger = False

    def check(self):
        pass

    def judge(self, arms, since):
        if self.trouble is not None:
            raise self.trouble
        return {version: self._of(version, since) for version in (arms.stable, arms.canary)}

    def _of(self, version, since):
        made = self.made.get(version, [(np.zeros(0), np.zeros(0))])
        times, losses = (np.concatenate([part[i] for part in made]) for i in (0, 1))
        has_come = (times >= since) & (times + self.delay <= self.now)
        return Judged(times[has_come], losses[has_come])


class Scene:
    """One rollout on one platform, with a clock that runs only when somebody sleeps."""

    def __init__(self, folder, driver, callers, policy=None):
        self.store = RolloutStore(folder)
        self.driver, self.callers = driver, callers
        self.policy = policy or Rollout()
        self.time = 1_000_000.0
        self.finished = []
        self.label_files = None

    @property
    def around(self):
        return Surroundings(self.driver, self.callers, self.callers.replay, self.callers.labels)

    def settle(self, manifest):
        """Write an object and look until it is ready."""
        self.driver.write(manifest)
        for _ in range(5):
            self.driver.read(manifest["metadata"]["name"], "default")

    def start(self, candidate):
        return start_rollout(
            self.store,
            self.policy,
            candidate,
            self.driver,
            self.callers,
            labels=self.label_files or self.callers.labels,
            source_settings={"kind": "test"},
            dataset_path=None,
            now=self.time,
        )

    @property
    def clock(self):
        def sleep(seconds):
            # Of a window of half a minute a few looks are enough.
            self.time += max(seconds, 5.0)

        return Clock(now=lambda: self.time, sleep=sleep)

    def drive(self, rollout, most_moves=20_000, finish=None):
        return drive(
            self.store,
            rollout.rollout_id,
            self.around,
            finish=finish or self.finished.append,
            clock=self.clock,
            most_moves=most_moves,
        )
