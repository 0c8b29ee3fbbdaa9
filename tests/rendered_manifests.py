"""The kustomizations under manifests/, as kubectl renders them."""

import functools
import subprocess

import yaml

from mulgil.home import SOURCE_ROOT

MANIFESTS = SOURCE_ROOT / "manifests"
GOLDEN = SOURCE_ROOT / "tests" / "golden" / "manifests"
KUBECTL = SOURCE_ROOT / ".tools" / "bin" / "kubectl"
# What is applied as it is; a component is rendered by the test of its own.
KUSTOMIZATIONS = (
    *(f"overlays/{name}" for name in ("kind", "kind-standard", "staging", "production")),
    *(f"endpoint/{name}" for name in ("knative", "standard")),
)
COMPONENTS = tuple(sorted(path.name for path in (MANIFESTS / "components").iterdir()))


@functools.cache
def render(folder):
    """Return what `kubectl kustomize` writes for a folder; its complaint is the test's."""
    assert KUBECTL.exists(), "the tests' kubectl is not there: make .tools/bin/kubectl"
    done = subprocess.run([KUBECTL, "kustomize", folder], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def rendered(name):
    """Return the objects of one of `KUSTOMIZATIONS`."""
    return list(yaml.load_all(render(MANIFESTS / name), Loader=yaml.CSafeLoader))


def as_kserve_fills(arguments):
    """Return a runtime's arguments as the container gets them, for an InferenceService of the name heart."""
    filled = {"{{.Name}}": "heart", "{{.Namespace}}": "mulgil", "$(MODEL_VERSION)": "1"}
    for placeholder, value in filled.items():
        arguments = [argument.replace(placeholder, value) for argument in arguments]
    return arguments


def golden(name):
    """Return the golden file of one of `KUSTOMIZATIONS`."""
    return GOLDEN / f"{name.replace('/', '-')}.yaml"


if __name__ == "__main__":
    GOLDEN.mkdir(parents=True, exist_ok=True)
    for one in KUSTOMIZATIONS:
        golden(one).write_text(render(MANIFESTS / one), encoding="utf-8")
