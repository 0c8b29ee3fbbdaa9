"""A rollout that is kept in the cluster outlives the step that drives it, and one step at a time does."""

import contextlib
import threading

import pytest
import yaml
from api_server_stub import ApiServerStub, refused, serving
from kserve_cluster import KServeCluster, isvc
from rollouts import Callers, Scene
from typer.testing import CliRunner

from mulgil.cli.rollout import rollout_app
from mulgil.errors import InputError, TemporaryError
from mulgil.rollout import releasing
from mulgil.rollout.cluster_store import COMMAND_MANAGER, SERVICE_LABEL, ClusterRolloutStore
from mulgil.rollout.drivers.knative import KnativeDriver
from mulgil.rollout.record import Phase
from mulgil.rollout.store import Command


@pytest.fixture
def stub():
    return ApiServerStub()


@pytest.fixture
def api(stub):
    with serving(stub) as client:
        yield client


@pytest.fixture
def open_store(api, tmp_path):
    """Return what opens the store as another container does: with nothing but the API server."""
    count = iter(range(100))
    return lambda **more: ClusterRolloutStore("default", api, tmp_path / f"container-{next(count)}", **more)


@pytest.fixture
def mulgil(api, tmp_path, monkeypatch):
    """Return what runs `mulgil rollout` as a person whose kubeconfig means the cluster."""
    place = tmp_path / "kubeconfig"
    kubeconfig = {
        "current-context": "kind",
        "contexts": [{"name": "kind", "context": {"cluster": "kind", "user": "kind"}}],
        "clusters": [{"name": "kind", "cluster": {"server": api.configuration.host}}],
        "users": [{"name": "kind", "user": {}}],
    }
    place.write_text(yaml.safe_dump(kubeconfig), encoding="utf-8")
    monkeypatch.setattr("kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(place))
    monkeypatch.setenv("MULGIL_HOME", str(tmp_path / "home"))

    def run(*words, is_refused=False):
        answer = CliRunner().invoke(rollout_app, [*words])
        assert isinstance(answer.exception, InputError if is_refused else type(None)), answer.output
        return str(answer.exception) if is_refused else answer.output

    return run


@pytest.fixture
def scene(open_store, tmp_path):
    scene = Scene(
        tmp_path / "unused",
        KnativeDriver(cluster := KServeCluster(), lambda manifest: None),
        Callers(cluster),
    )
    scene.store = open_store()
    scene.settle(isvc("1"))
    return scene


def test_a_step_that_is_killed_at_any_move_is_gone_on_with_by_one_that_knows_nothing(scene, open_store):
    rollout = scene.start(isvc("2"))
    moves = 0
    while not scene.store.read(rollout.rollout_id).phase.is_over:
        scene.store = open_store()
        scene.drive(rollout, most_moves=3)
        moves += 1

    assert moves > 3
    assert scene.store.read(rollout.rollout_id).phase is Phase.PROMOTED
    assert scene.callers.cluster.share("2") == 100


def test_it_is_an_object_of_the_namespace_that_says_whose_it_is(scene, stub):
    rollout = scene.start(isvc("2"))

    (item,) = (found for (plural, _, _), found in stub.objects.items() if plural == "configmaps")
    assert item["metadata"]["labels"][SERVICE_LABEL] == "heart"
    assert scene.store.list() == [rollout]
    assert scene.store.find("heart") == rollout
    assert scene.store.under_way("heart", "default") == rollout
    assert scene.store.under_way("lung", "default") is None


def test_one_step_at_a_time_drives_it_and_the_next_when_that_one_is_over(scene, open_store):
    rollout = scene.start(isvc("2"))
    first, second = open_store(), open_store()

    with first.driving(rollout.rollout_id) as is_firsts:
        with second.driving(rollout.rollout_id) as is_seconds:
            assert (is_firsts, is_seconds) == (True, False)
        assert second.is_driven(rollout.rollout_id)

    assert not second.is_driven(rollout.rollout_id)
    with second.driving(rollout.rollout_id) as is_seconds:
        assert is_seconds


def test_a_step_that_says_nothing_any_more_is_taken_over_from_and_writes_no_more(
    scene, open_store, monkeypatch
):
    rollout = scene.start(isvc("2"))
    lost, next_one = open_store(lease_seconds=0.4), open_store(lease_seconds=0.4)
    # A network that lets nothing of it through for longer than its lease.
    is_cut, renew = threading.Event(), lost._take
    with lost.driving(rollout.rollout_id) as is_mine:
        assert is_mine
        monkeypatch.setattr(lost, "_take", lambda name: _cut() if is_cut.is_set() else renew(name))
        assert next_one.is_driven(rollout.rollout_id)
        threading.Event().wait(0.6)
        assert next_one.is_driven(rollout.rollout_id)
        is_cut.set()
        threading.Event().wait(0.6)
        with next_one.driving(rollout.rollout_id) as is_taken:
            assert is_taken
            is_cut.clear()
            threading.Event().wait(0.3)
            with pytest.raises(TemporaryError, match="taken the rollout"):
                lost.write(rollout)
            next_one.write(rollout)


def _cut():
    raise TemporaryError("cut")


def test_a_person_aborts_it_by_a_field_of_the_object_that_no_move_takes_away(scene, stub):
    rollout = scene.start(isvc("2"))
    scene.drive(rollout, most_moves=4)

    scene.store.command(rollout.rollout_id, Command.ABORT)
    scene.drive(rollout)

    assert scene.store.read(rollout.rollout_id).phase is Phase.ROLLED_BACK
    assert scene.store.read_command(rollout.rollout_id) is Command.ABORT
    (owners,) = (found for (plural, _, _), found in stub.owners.items() if plural == "configmaps")
    assert owners["data", "command"] == COMMAND_MANAGER
    assert scene.callers.cluster.share("1") == 100


def test_an_unknown_rollout_is_said_to_be_unknown(scene):
    with pytest.raises(InputError, match="There is no rollout yet"):
        scene.store.read("heart-1")


@pytest.fixture
def see_to(scene, monkeypatch):
    """Return what the step does with a rollout, by the scene's clock and calling `meanwhile` to wait."""
    monkeypatch.setattr(releasing, "surroundings", lambda record: contextlib.nullcontext(scene.around))
    monkeypatch.setattr(releasing, "finish", scene.finished.append)
    monkeypatch.setattr("mulgil.rollout.driving.Clock", lambda: scene.clock)

    def see_to(rollout, meanwhile):
        monkeypatch.setattr(releasing.time, "sleep", lambda seconds: meanwhile())
        ended = releasing._see_to(scene.store, rollout)
        assert [one.phase for one in scene.finished] == [ended.phase]
        return ended

    return see_to


def test_the_step_stays_until_the_verdict_and_one_that_waits_takes_over(scene, open_store, see_to):
    rollout = scene.start(isvc("2"))
    waits = []
    with contextlib.ExitStack() as stack:
        stack.enter_context(open_store().driving(rollout.rollout_id))
        # The other one ends without having come to an end.
        ended = see_to(rollout, lambda: (waits.append(1), stack.close()))

    assert waits == [1]
    assert ended.phase is Phase.PROMOTED


def test_a_person_sees_and_ends_the_rollouts_of_a_cluster_as_those_of_a_machine(scene, stub, mulgil):
    assert "No rollouts in the namespace default" in mulgil("history", "--cluster-namespace", "default")
    rollout = scene.start(isvc("2"))
    scene.drive(rollout, most_moves=4)

    assert rollout.rollout_id in mulgil("history", "--cluster-namespace", "default", "--context", "kind")
    shown = mulgil("status", "heart", "--cluster-namespace", "default")
    assert "default/heart: version 1 to 2, driver knative" in shown

    # Its step hears it at the next look.
    driven = threading.Timer(0.5, lambda: scene.drive(rollout))
    driven.start()
    assert "rolled_back" in mulgil("abort", "heart", "--cluster-namespace", "default")
    driven.join()
    assert scene.store.read(rollout.rollout_id).phase is Phase.ROLLED_BACK


def test_looking_at_a_clusters_rollouts_needs_a_namespace_and_a_cluster_that_answers(scene, stub, mulgil):
    assert "add --cluster-namespace" in mulgil("history", "--context", "kind", is_refused=True)
    unknown = mulgil("history", "--cluster-namespace", "default", "--context", "elsewhere", is_refused=True)
    assert "There is no cluster to talk to" in unknown
    assert "There is no rollout yet" in mulgil("status", "--cluster-namespace", "default", is_refused=True)


def test_an_api_server_that_is_gone_for_a_while_ends_nothing(scene, stub, see_to):
    rollout = scene.start(isvc("2"))
    waits = []
    stub.refusals[:] = [None] * 7 + [refused(503, "restarting")] * 9

    assert see_to(rollout, lambda: waits.append(1)).phase is Phase.PROMOTED
    assert stub.refusals == []
    assert waits


def test_a_record_that_is_over_has_room_in_an_object(scene, stub):
    scene.drive(scene.start(isvc("2")))

    (item,) = (found for (plural, _, _), found in stub.objects.items() if plural == "configmaps")
    # etcd takes a mebibyte and a half, and a ConfigMap's data may have one.
    assert len(item["binaryData"]["record.json.gz"]) < 2**20 / 8
