"""Each kustomization builds, says only what Kubernetes knows, and says what its golden file says."""

import copy
import os

import pytest
import yaml
from kubernetes_schemas import CRDS, has_schema, problems
from rendered_manifests import (
    COMPONENTS,
    KUSTOMIZATIONS,
    MANIFESTS,
    as_kserve_fills,
    golden,
    render,
    rendered,
)

from images.pinning import pin_images
from mulgil.serving.__main__ import build_parser

EVERYWHERE = [manifest for name in KUSTOMIZATIONS for manifest in rendered(name)]
KINDS = sorted({(manifest["apiVersion"], manifest["kind"]) for manifest in EVERYWHERE})
# Maps whose keys are the user's own.
_FREE = {
    *("labels", "annotations", "matchLabels", "data", "nodeSelector", "limits", "requests", "selector"),
    *("capacity", "stringData"),
}

needs_crds = pytest.mark.skipif(
    not CRDS.is_dir(), reason=f"the custom resources' schemas lie beside the checkout, in {CRDS}"
)


def _known(manifests):
    return [m for m in manifests if CRDS.is_dir() or has_schema(m)]


def _problems_of(manifests):
    return [f"{m['kind']} {m['metadata']['name']}: {problem}" for m in manifests for problem in problems(m)]


@pytest.mark.parametrize("name", KUSTOMIZATIONS)
def test_it_renders_to_its_golden_file(name):
    assert render(MANIFESTS / name) == golden(name).read_text(encoding="utf-8"), (
        "run `make golden` if the change is meant"
    )


@pytest.mark.parametrize("name", KUSTOMIZATIONS)
def test_every_object_has_only_fields_of_its_schema(name):
    assert _problems_of(_known(rendered(name))) == []


@needs_crds
def test_no_kind_is_without_a_schema():
    assert [
        kind for kind in KINDS if not has_schema(dict(zip(("apiVersion", "kind"), kind, strict=True)))
    ] == []


@pytest.mark.parametrize("component", COMPONENTS)
def test_a_component_builds_on_what_it_changes_and_what_comes_out_is_valid(component, tmp_path):
    before = _build(tmp_path / "before", [])
    after = _build(tmp_path / "after", [component])

    assert after != before, "it changes nothing"
    assert _problems_of(_known(after)) == []


@pytest.mark.parametrize(
    ("component", "annotations", "predictor"),
    [
        (
            "autoscaling-knative",
            {"autoscaling.knative.dev/class": "kpa.autoscaling.knative.dev"},
            {"scaleMetric": "rps", "minReplicas": 1},
        ),
        ("autoscaling-hpa", {"serving.kserve.io/autoscalerClass": "hpa"}, {"scaleMetric": "cpu"}),
        ("autoscaling-keda", {"serving.kserve.io/autoscalerClass": "keda"}, {"minReplicas": 2}),
    ],
)
def test_a_component_makes_an_endpoint_scale_by_what_the_guide_says(
    component, annotations, predictor, tmp_path
):
    (service,) = (m for m in _build(tmp_path / "endpoint", [component]) if m["kind"] == "InferenceService")

    assert annotations.items() <= service["metadata"]["annotations"].items()
    assert predictor.items() <= service["spec"]["predictor"].items()
    assert service["spec"]["predictor"]["maxReplicas"] > service["spec"]["predictor"]["minReplicas"]
    if component == "autoscaling-keda":
        (metric,) = service["spec"]["predictor"]["autoScaling"]["metrics"]
        assert metric["external"]["metric"]["backend"] == "prometheus"


def test_pinned_images_are_named_by_their_digests_wherever_they_run(tmp_path):
    digests = {"collector": "a", "mlflow": "b", "model-server": "c"}

    def find(image):
        registry, name = image.removesuffix(":7").split("/mulgil/")
        assert registry == "localhost:5000/acme"
        return f"sha256:{digests[name] * 64}"

    pin_images(tmp_path / "images", "localhost:5000/acme", "7", find)
    manifests = _build(tmp_path / "overlay", [], ["../images"])

    assert _problems_of(_known(manifests)) == []
    assert {image for manifest in manifests for image in _images(manifest)} == {
        f"localhost:5000/acme/mulgil/{name}@sha256:{digit * 64}" for name, digit in digests.items()
    }


def _images(value):
    match value:
        case {"image": str(image)}:
            yield image
        case dict():
            yield from (image for part in value.values() for image in _images(part))
        case list():
            yield from (image for part in value for image in _images(part))


def test_model_servers_speak_tls_by_a_component_and_are_probed_so(tmp_path):
    runtimes = [
        m for m in _build(tmp_path / "tls", ["endpoint-auth", "server-tls"]) if m["kind"] == "ServingRuntime"
    ]

    assert len(runtimes) == 2
    for runtime in runtimes:
        (container,) = runtime["spec"]["containers"]
        flags = build_parser().parse_args(as_kserve_fills(container["args"]))
        assert (str(flags.tls_certificate_path), str(flags.tls_key_path)) == (
            "/etc/mulgil/tls/tls.crt",
            "/etc/mulgil/tls/tls.key",
        )
        assert {"/etc/mulgil/tls", "/etc/mulgil/tokens"} <= {
            m["mountPath"] for m in container["volumeMounts"]
        }
        for kind in ("readinessProbe", "livenessProbe"):
            probe = container[kind]
            assert "tcpSocket" in probe or probe["httpGet"]["scheme"] == "HTTPS"


def _build(folder, components, others=()):
    # kustomize takes only relative paths.
    folder.mkdir()
    root = os.path.relpath(MANIFESTS, folder)
    (folder / "kustomization.yaml").write_text(
        yaml.safe_dump(
            {
                "apiVersion": "kustomize.config.k8s.io/v1beta1",
                "kind": "Kustomization",
                "resources": [f"{root}/base", f"{root}/endpoint/base"],
                "components": [*(f"{root}/components/{name}" for name in components), *others],
            }
        ),
        encoding="utf-8",
    )
    return list(yaml.load_all(render(folder), Loader=yaml.CSafeLoader))


@pytest.mark.parametrize(("api_version", "kind"), KINDS)
def test_a_typing_mistake_anywhere_in_an_object_is_found(api_version, kind):
    manifests = [m for m in EVERYWHERE if (m["apiVersion"], m["kind"]) == (api_version, kind)]
    if not _known(manifests):
        pytest.skip(f"the schema lies beside the checkout, in {CRDS}")
    richest = max(manifests, key=lambda manifest: len(list(_fields(manifest))))

    missed = [path for path in _fields(richest) if not problems(_misspelt(richest, path))]

    assert list(_fields(richest)), "there is nothing to misspell"
    assert missed == []


def _fields(value, path=()):
    """Yield the path of each field whose name a schema fixes."""
    if isinstance(value, list):
        # The first of a list stands for all.
        yield from (found for item in value[:1] for found in _fields(item, (*path, 0)))
    if not isinstance(value, dict):
        return
    for key, item in value.items():
        if path and path[-1] in _FREE:
            return
        if (*path, key) not in (("apiVersion",), ("kind",)):
            yield (*path, key)
            yield from _fields(item, (*path, key))


def _misspelt(manifest, path):
    changed = copy.deepcopy(manifest)
    place = changed
    for key in path[:-1]:
        place = place[key]
    place[f"{path[-1]}x"] = place.pop(path[-1])
    return changed
