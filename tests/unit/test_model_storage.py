"""Models in an object store, fetched once into a cache; fsspec's store in memory stands for one."""

import fsspec
import pytest

from mulgil.errors import InputError, TemporaryError
from mulgil.local.plane import fetch_model
from mulgil.local.plane.model_server import command_line
from mulgil.local.plane.objects import parse_inference_service
from mulgil.local.plane.revisions import ServiceKey
from mulgil.local.plane.storage import fetch


@pytest.fixture
def store():
    store = fsspec.filesystem("memory")
    store.pipe({"/bucket/heart/manifest.json": b"{}", "/bucket/heart/saved_model/variables": b"12"})
    yield store
    store.rm("/bucket", recursive=True)


def test_a_model_is_fetched_whole_and_once(store, tmp_path):
    folder = fetch("memory://bucket/heart", tmp_path / "models")

    files = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    assert files == ["manifest.json", "saved_model/variables"]
    (folder / "manifest.json").write_text("kept", encoding="utf-8")
    assert fetch("memory://bucket/heart", tmp_path / "models") == folder
    assert (folder / "manifest.json").read_text(encoding="utf-8") == "kept"


def test_a_model_that_was_written_anew_is_fetched_anew(store, tmp_path):
    before = fetch("memory://bucket/heart", tmp_path)
    store.pipe("/bucket/heart/manifest.json", b"{ }")

    after = fetch("memory://bucket/heart", tmp_path)

    assert before != after
    assert (before / "manifest.json").read_bytes() == b"{}"
    assert (after / "manifest.json").read_bytes() == b"{ }"


def test_a_model_that_breaks_off_leaves_nothing(store, tmp_path, monkeypatch):
    def break_off(*_):
        raise ConnectionResetError("gone")

    monkeypatch.setattr(store, "get_file", break_off)

    with pytest.raises(TemporaryError, match="cannot be fetched"):
        fetch("memory://bucket/heart", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_model_that_is_not_there_is_named(store, tmp_path):
    with pytest.raises(InputError, match="memory://bucket/lung"):
        fetch("memory://bucket/lung", tmp_path)


def server_command(uri, tmp_path, **predictor):
    model = {"modelFormat": {"name": "mulgil"}, "storageUri": uri}
    service = parse_inference_service(
        {
            "apiVersion": "serving.kserve.io/v1beta1",
            "kind": "InferenceService",
            "metadata": {"name": "heart"},
            "spec": {"predictor": {"model": model, **predictor}},
        }
    )
    return command_line(
        service.spec.predictor,
        ServiceKey("clinic", "heart"),
        revision="r",
        port=1,
        grpc_port=None,
        volumes=tmp_path,
        models=tmp_path / "models",
        collector_url="http://127.0.0.1:9",
        folder=tmp_path / "plane",
    )


def test_a_remote_model_is_fetched_by_the_process_that_becomes_its_server(store, tmp_path, monkeypatch):
    begun = []
    monkeypatch.setattr(fetch_model.os, "execv", lambda *command: begun.append(command))
    command = server_command("s3://bucket/heart", tmp_path)
    arguments = [argument.replace("s3://", "memory://") for argument in command[4:]]

    assert fetch_model.main(arguments) == 0

    ((program, argv),) = begun
    assert program == argv[0]
    assert argv[1:4] == ["-P", "-m", "mulgil.serving"]
    assert argv[argv.index("--model-path") + 1] == str(fetch("memory://bucket/heart", tmp_path / "models"))


@pytest.mark.parametrize(
    ("logger", "url"),
    [({}, "http://127.0.0.1:9"), ({"url": "http://127.0.0.1:5/x"}, "http://127.0.0.1:5/x"), (None, None)],
)
def test_the_logger_is_the_planes_own_or_the_one_that_is_named(tmp_path, logger, url):
    command = server_command("/models/heart", tmp_path, **({} if logger is None else {"logger": logger}))

    told = command[command.index("--log-url") + 1] if "--log-url" in command else None
    assert told == url
    assert url is None or command[command.index("--namespace") + 1] == "clinic"
