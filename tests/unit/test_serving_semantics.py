"""The table of docs/serving_plane.md: what KServe documents of both forms, each as the object's whole status.

The sources are named in `knative.py`, `standard.py` and `status.py`.
"""

import pytest
from plane_of_words import READY, URL, WordPlane, dead, knative, standard

from mulgil.local.plane.status import failure_of, is_ready

INFO = {"severity": "Info"}
TRUE = {"status": "True"}
STOPPED = {"Stopped": {"status": "False", **INFO}}


def name(number, variant=""):
    return f"heart-{variant + '-' if variant else ''}predictor-{number:05d}"


def knative_conditions(status="True", configuration=None, route=None):
    """Conditions where the configuration, or the route, is not ready."""

    def across(condition, of):
        return TRUE if condition is None else {"status": condition["status"], "reason": f"{of} not ready"}

    predictor = configuration or route or TRUE
    assert predictor["status"] == status
    ingress = TRUE if status == "True" else {"status": status, "reason": "Predictor ingress not created"}
    return {
        "IngressReady": ingress,
        "LatestDeploymentReady": {**across(configuration, "PredictorConfigurationReady"), **INFO},
        "PredictorConfigurationReady": {**(configuration or TRUE), **INFO},
        "PredictorReady": predictor,
        "PredictorRouteReady": {**(route or TRUE), **INFO},
        "Ready": predictor,
        "RoutesReady": {**across(route, "PredictorRouteReady"), **INFO},
        **STOPPED,
    }


def starting(revision):
    return {
        "status": "Unknown",
        "reason": "RevisionStarting",
        "message": f"Revision {revision} is starting.",
    }


def failed(revision):
    return {
        "status": "False",
        "reason": "RevisionFailed",
        "message": f'Revision "{revision}" failed with message: the reason.',
    }


def loaded(copies=1):
    return {
        "transitionStatus": "UpToDate",
        "states": {"activeModelState": "Loaded", "targetModelState": "Loaded"},
        "copies": {"failedCopies": 0, "totalCopies": copies},
    }


def loading(active="Loaded"):
    return {
        "transitionStatus": "InProgress",
        "states": {"activeModelState": active, "targetModelState": "Loading"},
        "copies": {"failedCopies": 0},
    }


def blocked(revision, active="Loaded"):
    return {
        "transitionStatus": "BlockedByFailedLoad",
        "states": {"activeModelState": active, "targetModelState": "FailedToLoad"},
        "copies": {"failedCopies": 1},
        "lastFailureInfo": {
            "modelRevisionName": revision,
            "reason": "ModelLoadFailed",
            "message": "the reason",
            "time": "1970-01-01T00:16:40Z",
            "exitCode": 2,
        },
    }


def latest(number, percent):
    return {"revisionName": name(number), "percent": percent, "latestRevision": True}


def previous(number, percent):
    return {
        "revisionName": name(number),
        "percent": percent,
        "latestRevision": False,
        "tag": "prev",
        "url": f"{URL}/tags/prev",
    }


def knative_status(generation, *, revisions, traffic, conditions=None, model=None):
    """A status; `revisions` are the numbers created, ready, rolled out and rolled out before."""
    keys = ("latestCreated", "latestReady", "latestRolledout", "previousRolledout")
    names = {
        f"{key}Revision": name(number)
        for key, number in zip(keys, revisions, strict=True)
        if number is not None
    }
    served = {"traffic": traffic, "url": URL, "address": {"url": URL}} if traffic else {}
    address = {"url": URL, "address": {"url": URL}} if traffic else {}
    return {
        "observedGeneration": generation,
        "conditions": conditions or knative_conditions(),
        "components": {"predictor": {**names, **served}},
        "modelStatus": model or loaded(),
        "deploymentMode": "Knative",
        "servingRuntimeName": "mulgil-model-server",
        **address,
    }


@pytest.fixture
def plane():
    return WordPlane()


@pytest.fixture
def first(plane):
    """One revision, rolled out."""
    return plane.apply(knative("a")).ready(1)


@pytest.fixture
def promoted(first):
    """A second revision, rolled out after the first."""
    return first.apply(knative("b")).ready(2)


class TestKnativeForm:
    def test_create_before_it_is_ready(self, plane):
        plane.apply(knative("a"))

        assert plane.whole_status == knative_status(
            1,
            revisions=(1, None, None, None),
            traffic=[],
            conditions=knative_conditions(
                "Unknown",
                configuration=starting(name(1)),
                route={
                    "status": "Unknown",
                    "reason": "RevisionMissing",
                    "message": "No revision is ready yet.",
                },
            ),
            # The first look began the server after the decision.
            model={**loading(""), "states": {"activeModelState": "", "targetModelState": "Loading"}},
        )

    @pytest.mark.parametrize("percent", [None, 10, 0])
    def test_the_first_revision_has_all_the_traffic_whatever_its_percent(self, plane, percent):
        fields = {} if percent is None else {"canaryTrafficPercent": percent}
        plane.apply(knative("a", **fields)).look(r1=READY)

        # KServe looks at `latestRolledoutRevision` before it splits, and the first time there is none. The
        # next look finds one, and splits the same revision in two.
        traffic = [latest(1, 100)] if percent is None else [latest(1, percent), previous(1, 100 - percent)]
        assert plane.whole_status == knative_status(1, revisions=(1, 1, 1, None), traffic=traffic)
        assert plane.shares == {1: 100}

    def test_a_canary_before_it_is_ready(self, first):
        first.apply(knative("b", canaryTrafficPercent=10))

        assert first.whole_status == knative_status(
            2,
            revisions=(2, 1, 1, None),
            traffic=[latest(1, 10), previous(1, 90)],
            conditions=knative_conditions("Unknown", configuration=starting(name(2))),
            model=loading(),
        )
        assert first.shares == {1: 100}

    def test_a_canary(self, first):
        first.apply(knative("b", canaryTrafficPercent=10)).ready(2)

        assert first.whole_status == knative_status(
            2, revisions=(2, 2, 1, None), traffic=[latest(2, 10), previous(1, 90)]
        )
        assert first.phases == {"1.0": "ready", "2.0": "ready"}

    def test_more_canary_is_no_new_revision(self, first):
        first.apply(knative("b", canaryTrafficPercent=10)).ready(2)

        first.apply(knative("b", canaryTrafficPercent=50))

        assert first.whole_status == knative_status(
            3, revisions=(2, 2, 1, None), traffic=[latest(2, 50), previous(1, 50)]
        )

    @pytest.mark.parametrize("fields", [{"canaryTrafficPercent": 100}, {}])
    def test_promotion_by_100_or_by_taking_the_field_away(self, first, fields):
        first.apply(knative("b", canaryTrafficPercent=10)).ready(2)

        first.apply(knative("b", **fields))

        assert first.whole_status == knative_status(3, revisions=(2, 2, 2, 1), traffic=[latest(2, 100)])
        assert first.phases == {"1.0": "retiring", "2.0": "ready"}

    def test_a_change_without_a_percent_takes_over_once_it_is_ready(self, first):
        first.apply(knative("b"))
        assert first.shares == {1: 100}

        first.ready(2)
        assert first.whole_status == knative_status(2, revisions=(2, 2, 2, 1), traffic=[latest(2, 100)])

    def test_rollback_to_0(self, first):
        first.apply(knative("b", canaryTrafficPercent=10)).ready(2)

        first.apply(knative("b", canaryTrafficPercent=0))

        assert first.whole_status == knative_status(
            3, revisions=(2, 2, 1, None), traffic=[latest(2, 0), previous(1, 100)]
        )
        # Warm, so that more percent are a matter of the route alone.
        assert first.phases == {"1.0": "ready", "2.0": "ready"}

    def test_rollback_after_promotion_waits_for_the_revision_before(self, promoted):
        promoted.look(3, r1=dead(0))

        promoted.apply(knative("b", canaryTrafficPercent=0))

        assert promoted.phases == {"1.0": "starting", "2.0": "ready"}
        assert promoted.whole_status == knative_status(
            3,
            revisions=(2, 2, 1, 1),
            # So KServe's first pass leaves it, too: the rest of the traffic still is the same revision's.
            traffic=[latest(2, 0), previous(2, 100)],
            conditions=knative_conditions(
                "Unknown",
                route={
                    "status": "Unknown",
                    "reason": "RevisionStarting",
                    "message": f"Revision {name(1)} is coming back.",
                },
            ),
        )
        assert not is_ready(promoted.state.status, generation=3)

    def test_rollback_after_promotion(self, promoted):
        promoted.look(3, r1=dead(0))

        promoted.apply(knative("b", canaryTrafficPercent=0)).ready(1)

        assert promoted.whole_status == knative_status(
            3, revisions=(2, 2, 1, 1), traffic=[latest(2, 0), previous(1, 100)]
        )
        assert is_ready(promoted.state.status, generation=3)

    def test_rollback_after_promotion_goes_one_revision_back_only(self, promoted):
        promoted.apply(knative("c")).ready(3)

        promoted.apply(knative("c", canaryTrafficPercent=0)).ready(2)

        assert promoted.whole_status == knative_status(
            4, revisions=(3, 3, 2, 2), traffic=[latest(3, 0), previous(2, 100)]
        )
        assert promoted.state.find(name(1)) is None or not promoted.state.find(name(1)).replicas

    def test_promotion_after_a_rollback(self, promoted):
        promoted.apply(knative("b", canaryTrafficPercent=0)).ready(1)

        promoted.apply(knative("b"))

        assert promoted.whole_status == knative_status(4, revisions=(2, 2, 2, 1), traffic=[latest(2, 100)])

    def test_three_revisions_a_second_canary_takes_the_firsts_share(self, first):
        first.apply(knative("b", canaryTrafficPercent=10)).ready(2)

        first.apply(knative("c", canaryTrafficPercent=20))
        # KServe gives the new percentage to what is ready: the first canary.
        assert first.whole_status == knative_status(
            3,
            revisions=(3, 2, 1, None),
            traffic=[latest(2, 20), previous(1, 80)],
            conditions=knative_conditions("Unknown", configuration=starting(name(3))),
            model=loading(),
        )

        first.ready(3)
        assert first.whole_status == knative_status(
            3, revisions=(3, 3, 1, None), traffic=[latest(3, 20), previous(1, 80)]
        )
        assert first.phases == {"1.0": "ready", "2.0": "retiring", "3.0": "ready"}

    def test_three_revisions_promoted(self, first):
        first.apply(knative("b", canaryTrafficPercent=10)).ready(2)
        first.apply(knative("c", canaryTrafficPercent=20)).ready(3)

        first.apply(knative("c", canaryTrafficPercent=100))

        assert first.whole_status == knative_status(4, revisions=(3, 3, 3, 1), traffic=[latest(3, 100)])

    @pytest.mark.parametrize("percent", [10, None])
    def test_a_revision_that_never_becomes_ready_leaves_the_old_one_all_the_traffic(self, first, percent):
        fields = {} if percent is None else {"canaryTrafficPercent": percent}
        first.apply(knative("b", **fields)).look(r2=dead(2))

        traffic = [latest(1, 100)] if percent is None else [latest(1, 10), previous(1, 90)]
        assert first.whole_status == knative_status(
            2,
            revisions=(2, 1, 1, None),
            traffic=traffic,
            conditions=knative_conditions("False", configuration=failed(name(2))),
            model=blocked(name(2)),
        )
        assert first.shares == {1: 100}
        assert failure_of(first.state.status, generation=2) == "the reason"

    def test_promoting_what_never_became_ready_changes_nobodys_traffic(self, first):
        first.apply(knative("b", canaryTrafficPercent=10)).look(r2=dead(2))

        first.apply(knative("b", canaryTrafficPercent=100))

        assert first.shares == {1: 100}
        assert first.whole_status["components"]["predictor"]["latestRolledoutRevision"] == name(1)

    def test_going_back_to_an_earlier_template_is_a_new_revision(self, first):
        first.apply(knative("b")).look(r2=dead(2))

        first.apply(knative("a")).ready(3)

        assert first.whole_status == knative_status(3, revisions=(3, 3, 3, 1), traffic=[latest(3, 100)])

    def test_going_back_by_the_old_manifest_sends_all_to_the_canary_until_it_is_ready(self, first):
        # KServe does so: without a percentage all goes to the latest revision that is ready. A rollback
        # therefore sets 0 first, and leaves it until the old manifest's own revision is ready.
        first.apply(knative("b", canaryTrafficPercent=10)).ready(2)
        first.apply(knative("a"))
        assert first.shares == {2: 100}

    def test_going_back_in_two_steps_gives_the_canary_nothing(self, first):
        first.apply(knative("b", canaryTrafficPercent=10)).ready(2)

        first.apply(knative("b", canaryTrafficPercent=0))
        first.apply(knative("a", canaryTrafficPercent=0))
        assert first.shares == {2: 0, 1: 100}
        first.ready(3)
        assert first.shares == {3: 0, 1: 100}
        first.apply(knative("a"))

        assert first.whole_status == knative_status(5, revisions=(3, 3, 3, 1), traffic=[latest(3, 100)])

    def test_a_changed_annotation_or_label_is_a_new_revision(self, first):
        # KServe puts both on the pods, so that the template is another.
        manifest = knative("a")
        manifest["metadata"]["annotations"] = {"mulgil.dev/model-version": "2"}

        first.apply(manifest).ready(2)

        assert first.state.latest_ready == name(2)

    def test_tags_on_request(self, first):
        manifest = knative("b", canaryTrafficPercent=10)
        manifest["metadata"]["annotations"] = {"serving.kserve.io/enable-tag-routing": "true"}

        first.apply(manifest).ready(2)

        assert first.whole_status["components"]["predictor"]["traffic"] == [
            {**latest(2, 10), "tag": "latest", "url": f"{URL}/tags/latest"},
            previous(1, 90),
        ]


def standard_conditions(predictor, canaries=None, ingress=TRUE):
    conditions = {
        "IngressReady": ingress,
        "PredictorReady": predictor,
        "Ready": predictor if predictor["status"] != "True" else TRUE,
        **STOPPED,
    }
    if canaries is not None:
        reason = "AllCanariesReady" if canaries else "CanariesNotReady"
        conditions["CanaryPredictorReady"] = {"status": str(canaries), "reason": reason, **INFO}
    return conditions


def available(revision):
    return {
        "status": "True",
        "reason": "NewReplicaSetAvailable",
        "message": f"Revision {revision} is available.",
    }


def standard_status(generation, *, predictor, canaries=None, are_ready=None, model=None, is_served=True):
    ingress = TRUE if is_served else {"status": "False", "reason": "Predictor ingress not created"}
    listed = {} if canaries is None else {"canaryStatuses": canaries}
    address = {"url": URL, "address": {"url": URL}} if is_served else {}
    return {
        "observedGeneration": generation,
        "conditions": standard_conditions(predictor, are_ready, ingress),
        "components": {"predictor": {"url": URL} if is_served else {}},
        "modelStatus": model or loaded(),
        "deploymentMode": "Standard",
        "servingRuntimeName": "mulgil-model-server",
        **listed,
        **address,
    }


def canary(variant, percent, model, *, ready):
    return {"name": variant, "ready": ready, "trafficPercent": percent, "modelStatus": model}


class TestStandardForm:
    @pytest.fixture
    def stable(self, plane):
        return plane.apply(standard("a")).ready(1)

    def test_create_before_it_is_ready(self, plane):
        plane.apply(standard("a"))

        assert plane.whole_status == standard_status(
            1,
            predictor={
                "status": "Unknown",
                "reason": "ReplicaSetUpdated",
                "message": f"Revision {name(1)} is starting.",
            },
            model=loading(""),
            is_served=False,
        )

    def test_create(self, stable):
        assert stable.whole_status == standard_status(1, predictor=available(name(1)))
        assert stable.shares == {1: 100}

    def test_a_canary_gets_nothing_before_it_is_ready(self, stable):
        stable.apply(standard("a", ("v2", "b", 20)))

        assert stable.whole_status == standard_status(
            2,
            predictor=available(name(1)),
            canaries=[canary("v2", 20, loading(""), ready=False)],
            are_ready=False,
        )
        assert stable.shares == {1: 100}

    def test_a_canary(self, stable):
        stable.apply(standard("a", ("v2", "b", 20))).ready(2)

        assert stable.whole_status == standard_status(
            2,
            predictor=available(name(1)),
            canaries=[canary("v2", 20, loaded(), ready=True)],
            are_ready=True,
        )
        assert stable.shares == {1: 80, 2: 20}

    def test_more_canary(self, stable):
        stable.apply(standard("a", ("v2", "b", 20))).ready(2)

        stable.apply(standard("a", ("v2", "b", 60)))

        assert stable.whole_status == standard_status(
            3,
            predictor=available(name(1)),
            canaries=[canary("v2", 60, loaded(), ready=True)],
            are_ready=True,
        )
        assert stable.shares == {1: 40, 2: 60}

    def test_promotion_by_name_starts_nothing_anew(self, stable):
        stable.apply(standard("a", ("v2", "b", 20))).ready(2)

        stable.apply(standard("b", name="v2"))

        assert stable.whole_status == standard_status(3, predictor=available(name(2, "v2")))
        assert stable.shares == {2: 100}
        assert stable.phases == {"1.0": "retiring", "2.0": "ready"}
        assert stable.state.counter == 2

    def test_rollback_by_taking_the_canary_away(self, stable):
        stable.apply(standard("a", ("v2", "b", 20))).ready(2)

        stable.apply(standard("a"))

        assert stable.whole_status == standard_status(3, predictor=available(name(1)))
        assert stable.shares == {1: 100}
        assert stable.phases == {"1.0": "ready", "2.0": "retiring"}

    def test_a_dark_launch_has_a_server_and_no_traffic(self, stable):
        stable.apply(standard("a", ("v2", "b", 0, {"minReplicas": 1}))).ready(2)

        assert stable.whole_status == standard_status(
            2,
            predictor=available(name(1)),
            canaries=[canary("v2", 0, loaded(), ready=True)],
            are_ready=True,
        )
        assert stable.shares == {1: 100, 2: 0}

    def test_0_percent_alone_has_no_server_either(self, stable):
        # KServe's default: as many as the share of the stable ones, rounded up; of nothing, none.
        stable.apply(standard("a", ("v2", "b", 0))).look()

        idle = {
            "transitionStatus": "UpToDate",
            "states": {"activeModelState": "", "targetModelState": "Pending"},
            "copies": {"failedCopies": 0},
        }
        assert stable.whole_status == standard_status(
            2,
            predictor=available(name(1)),
            canaries=[canary("v2", 0, idle, ready=False)],
            are_ready=False,
        )
        assert stable.phases == {"1.0": "ready"}
        assert stable.state.counter == 2

    def test_rollback_after_promotion_is_a_promotion_of_the_old_one(self, stable):
        stable.apply(standard("a", ("v2", "b", 20))).ready(2)
        stable.apply(standard("b", name="v2")).look(3, r1=dead(0))

        stable.apply(standard("a"))
        # The deployment of the old name is begun anew; until it is ready, the present one answers.
        assert stable.shares == {2: 100}
        assert not is_ready(stable.state.status, generation=4)

        stable.ready(3)
        assert stable.whole_status == standard_status(4, predictor=available(name(3)))
        assert stable.phases == {"2.0": "retiring", "3.0": "ready"}

    def test_three_revisions_two_canaries(self, stable):
        stable.apply(standard("a", ("v2", "b", 25), ("v3", "c", 25))).ready(2, 3)

        assert stable.whole_status == standard_status(
            2,
            predictor=available(name(1)),
            canaries=[canary("v2", 25, loaded(), ready=True), canary("v3", 25, loaded(), ready=True)],
            are_ready=True,
        )
        assert stable.shares == {1: 50, 2: 25, 3: 25}

    def test_three_revisions_one_canary_after_another(self, stable):
        stable.apply(standard("a", ("v2", "b", 20))).ready(2)
        stable.apply(standard("b", name="v2")).look(3, r1=dead(0))

        stable.apply(standard("b", ("v3", "c", 10), name="v2")).ready(3)

        assert stable.whole_status == standard_status(
            4,
            predictor=available(name(2, "v2")),
            canaries=[canary("v3", 10, loaded(), ready=True)],
            are_ready=True,
        )
        assert stable.shares == {2: 90, 3: 10}

    def test_a_canary_that_never_becomes_ready_leaves_the_stable_one_all_the_traffic(self, stable):
        stable.apply(standard("a", ("v2", "b", 20))).look(r2=dead(2))

        assert stable.whole_status == standard_status(
            2,
            predictor=available(name(1)),
            canaries=[canary("v2", 20, blocked(name(2, "v2"), active=""), ready=False)],
            are_ready=False,
        )
        assert stable.shares == {1: 100}
        assert failure_of(stable.state.status, generation=2) == "the reason"

    def test_a_canary_that_dies_gives_its_share_back_until_it_is_there_again(self, stable):
        stable.apply(standard("a", ("v2", "b", 20))).ready(2)

        stable.look(r2=dead(-9))
        assert stable.shares == {1: 100}

        stable.look(0.2).ready(2)
        assert stable.shares == {1: 80, 2: 20}

    def test_a_new_model_under_the_same_name_takes_over_once_it_is_ready(self, stable):
        stable.apply(standard("b"))
        assert stable.shares == {1: 100}
        # As Kubernetes says it during a rolling update: available, and not yet up to date.
        assert stable.whole_status == standard_status(
            2,
            predictor={
                "status": "True",
                "reason": "MinimumReplicasAvailable",
                "message": "Deployment has minimum availability.",
            },
            model=loading(),
        )
        assert not is_ready(stable.state.status, generation=2)

        stable.ready(2)
        assert stable.whole_status == standard_status(2, predictor=available(name(2)))

    def test_a_new_model_under_the_same_name_that_never_becomes_ready(self, stable):
        stable.apply(standard("b")).look(r2=dead(2))

        assert stable.whole_status == standard_status(
            2,
            predictor={**failed(name(2)), "reason": "ProgressDeadlineExceeded"},
            model=blocked(name(2)),
        )
        assert stable.shares == {1: 100}

    def test_the_stable_servers_make_room_for_those_of_canaries_that_are_ready(self, plane):
        plane.apply(standard("a", minReplicas=4)).ready(1)
        manifest = standard("a", ("v2", "b", 25), minReplicas=4)

        plane.apply(manifest)
        assert sum(phase == "ready" for phase in plane.phases.values()) == 4

        plane.ready(2)
        assert plane.phases == {
            **{"1.0": "ready", "1.1": "ready", "1.2": "ready", "1.3": "retiring"},
            "2.0": "ready",
        }

    def test_a_canary_says_only_what_differs(self, plane):
        manifest = standard("a", ("v2", "b", 20))
        manifest["spec"]["predictor"]["model"]["env"] = [{"name": "A", "value": "1"}]

        plane.apply(manifest)

        template = plane.state.newest_of("heart-v2-predictor").template["predictor"]["model"]
        assert template["env"] == [{"name": "A", "value": "1"}]
        assert template["storageUri"] == "file:///models/b"
