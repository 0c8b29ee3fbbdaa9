"""What a cluster adds to a compiled pipeline, and what it leaves alone."""

import contextlib
import http.server
import threading

import pytest
import yaml
from typer.testing import CliRunner

from mulgil.cli import app
from mulgil.cluster.image_registry import find_digest
from mulgil.cluster.pipeline_settings import parse_settings, read_settings
from mulgil.errors import InputError, PermanentError, TemporaryError
from mulgil.home import SOURCE_ROOT
from mulgil.local.pipeline_spec import parse_pipeline
from pipelines.compile import compile_pipeline
from pipelines.kubernetes import adapt_to_cluster, images_of, native_manifests

GOLDEN = SOURCE_ROOT / "tests" / "golden"
COMPILED = (GOLDEN / "training.yaml").read_text(encoding="utf-8")


def settings_of(text):
    return parse_settings({"pipeline.yaml": f"config_map: places\n{text}"}, "the test")


def adapted(text, **options):
    spec, platforms = yaml.safe_load_all(adapt_to_cluster(COMPILED, settings_of(text), **options))
    return spec, platforms["platforms"]["kubernetes"]["deploymentSpec"]["executors"]


def test_the_pipeline_for_a_cluster_is_its_golden_file():
    text = adapt_to_cluster(compile_pipeline("training"), read_settings(), registry="ghcr.io/example")

    assert text == (GOLDEN / "training-cluster.yaml").read_text(encoding="utf-8"), (
        "run `make golden` if the change is meant"
    )


def test_the_native_objects_are_those_of_the_manifests_and_carry_the_same_pipeline():
    text = adapt_to_cluster(compile_pipeline("training"), read_settings())
    kept = SOURCE_ROOT / "manifests" / "components" / "kfp-native" / "pipelines.yaml"

    pipeline, version = yaml.safe_load_all(kept.read_text(encoding="utf-8"))

    assert [version["spec"]["pipelineSpec"], version["spec"]["platformSpec"]] == list(
        yaml.safe_load_all(text)
    )
    assert version["spec"]["pipelineName"] == pipeline["metadata"]["name"] == "training"


def test_another_content_is_a_version_of_another_name():
    names = {
        native_manifests(COMPILED, name="training", namespace="kubeflow", fingerprint=f)[1]["metadata"][
            "name"
        ]
        for f in ("a" * 64, "b" * 64)
    }

    assert names == {f"training-{'a' * 12}", f"training-{'b' * 12}"}


def test_the_graph_is_left_as_it_is():
    spec, _ = adapted("defaults: {retries: 2, limits: {cpu: 1, memory: 1Gi}}")
    original = yaml.safe_load(COMPILED)
    for one in (spec, original):
        for executor in one["deploymentSpec"]["executors"].values():
            executor["container"].pop("resources", None)
        for graph in (one["root"], *one["components"].values()):
            for task in graph.get("dag", {}).get("tasks", {}).values():
                task.pop("retryPolicy", None)

    assert spec == original


def test_the_local_runner_reads_what_a_cluster_gets():
    spec, _ = adapted("defaults: {retries: 2, limits: {cpu: 500m, memory: 1Gi}}")

    pipeline = parse_pipeline(yaml.safe_dump(spec))

    assert pipeline.task_names == parse_pipeline(COMPILED).task_names


def test_a_steps_own_word_goes_over_the_defaults_amount_by_amount():
    spec, _ = adapted(
        "defaults: {requests: {cpu: 250m, memory: 1Gi}, retries: 1}\n"
        "steps: {train_model: {requests: {memory: 4Gi}, retries: 0}}"
    )
    executors = spec["deploymentSpec"]["executors"]

    assert executors["exec-train-model"]["container"]["resources"] == {
        "resourceCpuRequest": "250m",
        "resourceMemoryRequest": "4Gi",
    }
    assert executors["exec-ingest-data"]["container"]["resources"]["resourceMemoryRequest"] == "1Gi"
    tasks = spec["root"]["dag"]["tasks"]
    assert tasks["ingest-data"]["retryPolicy"]["maxRetryCount"] == 1
    assert "retryPolicy" not in tasks["train-model"]


def test_a_scheduled_run_looks_at_its_source_again():
    spec, _ = adapted("steps: {ingest_data: {is_cached: false}}")
    tasks = spec["root"]["dag"]["tasks"]

    assert not tasks["ingest-data"]["cachingOptions"].get("enableCache")
    assert tasks["train-model"]["cachingOptions"]["enableCache"]
    assert read_settings().of("ingest_data").is_cached is False


def test_a_gpu_its_nodes_and_a_volume_are_told_to_kubernetes():
    spec, executors = adapted(
        "image_pull_policy: Always\n"
        "steps:\n"
        "  train_model:\n"
        "    accelerator: {type: nvidia.com/gpu, count: 2}\n"
        "    node_selector: {pool: gpu}\n"
        "    tolerations: [{key: nvidia.com/gpu, operator: Exists, effect: NoSchedule}]\n"
        "    volumes: {scratch: /scratch}\n"
        "    timeout_seconds: 60\n"
    )
    train = executors["exec-train-model"]

    resources = spec["deploymentSpec"]["executors"]["exec-train-model"]["container"]["resources"]
    assert resources["accelerator"] == {"resourceType": "nvidia.com/gpu", "resourceCount": "2"}
    assert train["nodeSelector"] == {"labels": {"pool": "gpu"}}
    assert train["tolerations"] == [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}]
    assert [(mount["constant"], mount["mountPath"]) for mount in train["pvcMount"]] == [
        ("scratch", "/scratch")
    ]
    assert (train["activeDeadlineSeconds"], train["imagePullPolicy"]) == ("60", "Always")
    assert "tolerations" not in executors["exec-ingest-data"]


def test_secrets_are_named_and_become_variables_of_the_steps_that_need_them():
    _, executors = adapted(
        "config_map_keys: [A]\nsecrets: {store: [KEY]}\nsteps: {ingest_data: {secrets: {database: [URL]}}}"
    )

    def variables(step):
        return {s["secretName"]: [k["envVar"] for k in s["keyToEnv"]] for s in executors[step]["secretAsEnv"]}

    assert variables("exec-ingest-data") == {"store": ["KEY"], "database": ["URL"]}
    assert variables("exec-train-model") == {"store": ["KEY"]}
    assert executors["exec-train-model"]["configMapAsEnv"][0]["configMapName"] == "places"


def test_a_secret_that_not_every_cluster_has_is_asked_for_and_not_required():
    _, executors = adapted("steps: {deploy_model: {optional_secrets: {tokens: [TOKEN]}}}")

    (tokens,) = executors["exec-deploy-model"]["secretAsEnv"]
    assert (tokens["secretName"], tokens["optional"]) == ("tokens", True)
    assert tokens["keyToEnv"] == [{"secretKey": "TOKEN", "envVar": "TOKEN"}]


def test_without_the_component_that_asks_for_tokens_no_step_needs_their_secret():
    settings = read_settings()

    needed = {secret for step in settings.steps for secret in settings.of(step).secrets}
    assert "mulgil-serving-tokens" not in needed
    for step in ("deploy_model", "roll_out_model"):
        assert "mulgil-serving-tokens" in settings.of(step).optional_secrets


def test_the_gpu_components_settings_go_over_those_of_the_base():
    base = {"pipeline.yaml": "config_map: c\nsteps: {train_model: {limits: {cpu: 1}, retries: 3}}"}

    merged = parse_settings(
        base | {"pipeline-gpu.yaml": "steps: {train_model: {limits: {cpu: 8}}}"}, "the test"
    )

    assert (merged.of("train_model").limits.cpu, merged.of("train_model").retries) == ("8", 3)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("stepz: {}", "stepz"),
        ("defaults: {limits: {cpu: lots}}", "defaults.limits.cpu"),
        ("steps: {train_model: {tolerations: [{kee: x}]}}", "steps.train_model.tolerations.0.key"),
        ("{", "not YAML"),
    ],
)
def test_a_mistake_in_the_settings_is_named(text, words):
    with pytest.raises(InputError, match=words):
        settings_of(text)


def test_settings_about_a_step_that_is_not_there_are_refused():
    with pytest.raises(InputError, match=r"trian_model"):
        adapted("steps: {trian_model: {retries: 1}}")


def test_settings_are_read_out_of_a_rendered_overlay(tmp_path):
    overlay = tmp_path / "overlay.yaml"
    overlay.write_text(
        (GOLDEN / "manifests" / "overlays-kind.yaml").read_text(encoding="utf-8"), encoding="utf-8"
    )
    (tmp_path / "none.yaml").write_text("kind: ConfigMap\ndata: {}\n", encoding="utf-8")

    assert read_settings(overlay) == read_settings()
    with pytest.raises(InputError, match="There are no pipeline settings"):
        read_settings(tmp_path / "none.yaml")


DIGEST = "sha256:" + "0" * 64


@contextlib.contextmanager
def registry(answers):
    """Serve the manifests of a registry; `answers` gives (status, headers) by path and authorization."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_HEAD(self):
            status, headers = answers(self.path, self.headers.get("Authorization"), self.headers["Host"])
            body = headers.pop("body", b"")
            self.send_response(status)
            for key, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(key, value)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        do_GET = do_HEAD  # noqa: N815

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_images_are_pinned_by_the_digests_that_their_registry_has(tmp_path):
    def answers(path, authorization, host):
        assert path.startswith("/v2/acme/mulgil/")
        return 200, {"Docker-Content-Digest": DIGEST}

    with registry(answers) as host:
        CliRunner().invoke(
            app,
            ["compile", "--registry", f"{host}/acme", "--pin-digests", "--output", str(tmp_path / "p.yaml")],
            catch_exceptions=False,
        )
    images = images_of((tmp_path / "p.yaml").read_text(encoding="utf-8"))

    assert images
    assert all(image.startswith(f"{host}/acme/mulgil/") for image in images)
    assert all(image.endswith(f"@{DIGEST}") for image in images)
    assert len({image.partition("@")[0].count(":") for image in images} - {1}) == 0


def test_a_registry_that_wants_a_token_is_given_one():
    def answers(path, authorization, host):
        if path.startswith("/token"):
            assert "scope=repository" in path
            return 200, {"body": b'{"token": "let-me"}'}
        if authorization != "Bearer let-me":
            challenge = f'Bearer realm="http://{host}/token",service="r",scope="repository:mulgil/a:pull"'
            return 401, {"WWW-Authenticate": challenge}
        return 200, {"Docker-Content-Digest": DIGEST}

    with registry(answers) as host:
        assert find_digest(f"{host}/mulgil/a:1") == DIGEST


@pytest.mark.parametrize(
    ("status", "kind", "words"),
    [
        (404, InputError, "has no image"),
        (403, PermanentError, "docker login"),
        (500, TemporaryError, "status 500"),
    ],
)
def test_a_registry_that_does_not_give_a_digest_is_told_apart(status, kind, words):
    with registry(lambda *_: (status, {})) as host, pytest.raises(kind, match=words):
        find_digest(f"{host}/mulgil/a:1")


def test_pinning_without_a_registry_is_refused():
    with pytest.raises(InputError, match="--registry"):
        find_digest("mulgil/ingest-data:0.1.0")
