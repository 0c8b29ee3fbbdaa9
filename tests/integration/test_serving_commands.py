"""`mulgil apply`, `get`, `describe`, `logs` and `delete`, as a user types them, on a real plane."""

import io
import json
import os
import subprocess
import sys

import pytest
import yaml
from served_bundles import edit_json, network, seal

from mulgil import cli
from mulgil.local.plane.client import ServingPlane


@pytest.fixture(scope="module")
def bundles(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    for name in ("first", "second", "broken"):
        network(0).write_bundle(folder / name)
    edit_json(folder / "broken" / "example.json", prediction=0.123)
    seal(folder / "broken")
    return folder


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    home = tmp_path_factory.mktemp("home")
    yield home
    ServingPlane(home / "serving").down()


@pytest.fixture
def mulgil(home, monkeypatch, capsys):
    """Run a command; return its exit code, what it wrote, and what it wrote as errors."""
    monkeypatch.setenv("MULGIL_HOME", str(home))

    def run(*arguments, stdin=""):
        monkeypatch.setattr("sys.argv", ["mulgil", *map(str, arguments)])
        monkeypatch.setattr("sys.stdin", io.StringIO(stdin))
        try:
            cli.main()
            code = 0
        except SystemExit as left:
            code = left.code or 0
        told = capsys.readouterr()
        return code, told.out, told.err

    return run


def manifest(bundle, name="heart", namespace="default", **fields):
    model = {"modelFormat": {"name": "mulgil"}, "storageUri": bundle.as_uri()}
    return {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"predictor": {"model": model, **fields}},
    }


def test_objects_are_applied_shown_changed_and_deleted(mulgil, bundles, tmp_path, home):
    file = tmp_path / "services.yaml"
    objects = [manifest(bundles / "first"), manifest(bundles / "second", "pump", "clinic", minReplicas=2)]
    file.write_text(yaml.safe_dump_all(objects), encoding="utf-8")

    code, out, _ = mulgil("apply", "-f", file, "--wait")
    assert code == 0
    assert out.splitlines()[:2] == [
        "inferenceservice.serving.kserve.io/heart created",
        "inferenceservice.serving.kserve.io/pump created",
    ]
    # What was read back, a list, may be applied again, and from standard input.
    _, listed, _ = mulgil("get", "isvc", "-A", "-o", "yaml")
    assert mulgil("apply", "-f", "-", stdin=listed)[1].splitlines() == [
        "inferenceservice.serving.kserve.io/pump unchanged",
        "inferenceservice.serving.kserve.io/heart unchanged",
    ]
    canary = json.dumps(manifest(bundles / "second", canaryTrafficPercent=10))
    assert "heart configured" in mulgil("apply", "-f", "-", "--wait", stdin=canary)[1]

    header, row = mulgil("get", "isvc", "heart")[1].splitlines()
    assert header.split() == [
        *("NAME", "URL", "READY", "PREV", "LATEST", "PREVROLLEDOUTREVISION", "LATESTREADYREVISION", "AGE")
    ]
    name, url, *told, age = row.split()
    assert (name, told) == ("heart", ["True", "90", "10", "heart-predictor-00001", "heart-predictor-00002"])
    assert url.endswith("/serving/default/heart")
    assert age[-1] == "s"
    assert mulgil("get", "isvc", "-A", "-o", "name")[1].split() == [
        "inferenceservice.serving.kserve.io/pump",
        "inferenceservice.serving.kserve.io/heart",
    ]
    assert "Knative              2" in mulgil("get", "isvc", "-n", "clinic", "-o", "wide")[1]
    assert json.loads(mulgil("get", "isvc", "heart", "-o", "json")[1])["metadata"]["generation"] == 2

    described = mulgil("describe", "isvc/heart")[1]
    assert "heart-predictor-00001   90        prev" in described
    assert 'Created Revision "heart-predictor-00002"' in described
    assert "heart-predictor-00002 10%, heart-predictor-00001 90%" in described

    lines = mulgil("logs", "pump", "-n", "clinic", "--tail", "1")[1].splitlines()
    assert [line.split("]")[0] for line in lines] == ["[pump-predictor-00001-0", "[pump-predictor-00001-1"]
    assert all("ready on" in line for line in lines)

    command = [sys.executable, "-m", "mulgil.cli", "get", "isvc", "heart", "--watch"]
    environment = {**os.environ, "MULGIL_HOME": str(home), "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as watching:
        assert watching.stdout.readline() and " 10 " in watching.stdout.readline()
        promoted = json.dumps(manifest(bundles / "second"))
        mulgil("apply", "-f", "-", "--wait", stdin=promoted)
        while "100" not in (line := watching.stdout.readline()):
            assert line
        # One that is not there keeps nobody from removing the others.
        both = yaml.safe_dump_all([manifest(bundles / "first", "no"), manifest(bundles / "first")])
        code, out, err = mulgil("delete", "-f", "-", stdin=both)
        assert (code, out) == (2, 'inferenceservice.serving.kserve.io "heart" deleted\n')
        assert "There is no InferenceService default/no" in err
        while "deleted" not in (line := watching.stdout.readline()):
            assert line
        assert line == out
        watching.terminate()

    assert mulgil("delete", "isvc", "pump", "-n", "clinic")[1] == (
        'inferenceservice.serving.kserve.io "pump" deleted\n'
    )
    assert mulgil("get", "isvc", "-A")[1] == "No resources found.\n"
    # What reads it is a program, to which no objects are an empty list.
    assert json.loads(mulgil("get", "isvc", "-o", "json")[1])["items"] == []
    assert yaml.safe_load(mulgil("get", "isvc", "-o", "yaml")[1])["items"] == []
    assert mulgil("get", "isvc", "-o", "name")[1] == ""


def test_why_a_model_cannot_be_served_is_told(mulgil, bundles):
    code, _, err = mulgil("apply", "-f", "-", "--wait", stdin=json.dumps(manifest(bundles / "broken")))
    assert code == 4
    assert "gives another prediction here" in err

    described = mulgil("describe", "isvc", "heart")[1]
    assert "Last failure:" in described
    assert "Warning   LatestCreatedFailed   " in described
    # In one line what the server said last, and not the line of advice below it.
    (ready,) = [line for line in described.splitlines() if line.lstrip().startswith("Ready ")]
    assert "failed with message: " in ready and "gives another prediction here" in ready
    code, out, err = mulgil("delete", "isvc", "no", "heart")
    assert (code, out) == (2, 'inferenceservice.serving.kserve.io "heart" deleted\n')
    assert "There is no InferenceService default/no" in err


@pytest.mark.parametrize(
    ("arguments", "stdin", "told"),
    [
        (("apply",), "", "There is nothing to apply"),
        (("apply", "-f", "-"), "", "No objects in -"),
        (("apply", "-f", "-"), "a: [", "- is not YAML"),
        (("apply", "-f", "-"), "{", "- is not YAML"),
        (("apply", "-f", "-"), '{"kind": "List", "items": 5}', "items in - is wrong"),
        (("apply", "-f", "-"), "spec: {a: 1}\nspec: {a: 2}", "the key 'spec' stands twice"),
        (("apply", "-f", "-"), '{"kind": "Pod", "kind": "Pod"}', "the key 'kind' stands twice"),
        (("apply", "-f", "-"), "{kind: Pod}", "kind is not what the local serving plane runs"),
        (("apply", "-f", "/no/such.yaml"), "", "Cannot read /no/such.yaml: No such file or directory"),
        (("apply", "-f", "-"), "kind: Pod", "kind is not what the local serving plane runs"),
        (("apply", "-f", "-"), "heart", "the manifest is wrong"),
        (("delete",), "", "What is to be deleted is not clear"),
        (("delete", "pod", "heart"), "", "Received: kind=pod"),
        (("delete", "isvc"), "", "The name of the InferenceService is missing"),
        (("delete", "isvc", "no"), "", "There is no InferenceService default/no"),
        (("describe", "isvc", "no"), "", "There is no InferenceService default/no"),
        (("logs", "no"), "", "There is no InferenceService default/no"),
        (("get", "isvc", "no"), "", "There is no InferenceService default/no"),
    ],
)
def test_a_mistake_is_named(mulgil, arguments, stdin, told):
    code, _, err = mulgil(*arguments, stdin=stdin)

    assert code == 2
    assert told in err


def test_nothing_is_applied_where_one_of_several_is_wrong(mulgil, bundles):
    objects = [manifest(bundles / "first", "right"), manifest(bundles / "first", "Wrong")]

    code, _, err = mulgil("apply", "-f", "-", stdin=yaml.safe_dump_all(objects))

    assert code == 2
    assert "metadata.name" in err
    assert "No resources found" in mulgil("get", "isvc")[1]
