#!/usr/bin/env bash
# A cluster in Docker on this machine, with Kubeflow Pipelines, KServe and what Mulgil needs there; `make cluster-up`
# and `make cluster-down`. Each step leaves what is there as it is, so that it may be run again after whatever stopped it.
#
#   cluster.sh up|down [--mode knative|standard] [--dry-run]
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
top=$(cd "$here/../.." && pwd)
name=mulgil
state=$top/.tools/cluster
mulgil=${MULGIL:-$top/.venv/bin/mulgil}
python=${PYTHON:-$top/.venv/bin/python}
# shellcheck source=manifests/kind/versions.env
source "$here/versions.env"

refuse() {
  echo "cluster.sh: $*" >&2
  exit 2
}

verb=${1:-}
mode=knative
is_dry=
[ $# -eq 0 ] || shift
while [ $# -gt 0 ]; do
  case $1 in
    --mode)
      mode=${2:-}
      shift 2 || refuse "--mode names none. Expected: knative or standard"
      ;;
    --dry-run)
      is_dry=yes
      shift
      ;;
    *) refuse "unknown option. Expected: --mode or --dry-run. Received: $1" ;;
  esac
done
case $verb in up | down) ;; *) refuse "no such verb. Expected: up or down. Received: $verb" ;; esac
case $mode in knative | standard) ;; *) refuse "no such mode. Expected: knative or standard. Received: $mode" ;; esac

# Say what is done, and do it.
run() {
  echo "+ $*"
  [ -n "$is_dry" ] || "$@"
}

# Whether something is there already; a dry run shows what is done where nothing is.
there() {
  [ -z "$is_dry" ] && "$@" >/dev/null 2>&1
}

require() {
  local missing=()
  for tool in "$@"; do
    command -v "$tool" >/dev/null || missing+=("$tool")
  done
  [ ${#missing[@]} -eq 0 ] || [ -n "$is_dry" ] ||
    refuse "not found: ${missing[*]}. To do: install them; kind and kubectl are one file each"
}

# The file is this cluster's alone: whatever kubectl's current context is, nothing is written there.
use_own_kubeconfig() {
  run mkdir -p "$state"
  export KUBECONFIG=$state/kubeconfig
}

make_cluster() {
  there has_cluster ||
    run kind create cluster --name "$name" --image "$KIND_NODE_IMAGE" --wait 180s
  run kind export kubeconfig --name "$name" --kubeconfig "$KUBECONFIG"
}

has_cluster() {
  kind get clusters | grep -qx "$name"
}

load_images() {
  local reference references
  references=$("$python" -m images.images --list)
  for reference in $references; do
    there docker image inspect "$reference" || [ -n "$is_dry" ] ||
      refuse "there is no image $reference. To do: make images"
    run kind load docker-image "$reference" --name "$name"
  done
}

install_gateway() {
  local release=https://github.com/envoyproxy/gateway/releases/download
  run kubectl apply --server-side --force-conflicts -f "$release/$ENVOY_GATEWAY_VERSION/install.yaml"
  run kubectl wait --namespace envoy-gateway-system --for=condition=Available --timeout=300s deployment/envoy-gateway
  run kubectl apply -f "$here/gateway.yaml"
}

# KServe's installer keeps what it finds.
install_kserve() {
  local installer=$state/kserve-$mode-$KSERVE_VERSION.sh
  if ! there test -s "$installer"; then
    run curl --fail --silent --show-error --location --output "$installer.part" \
      "https://github.com/kserve/kserve/releases/download/$KSERVE_VERSION/kserve-$mode-mode-full-install-with-manifests.sh"
    run mv "$installer.part" "$installer"
  fi
  if [ "$mode" = standard ]; then
    run env GATEWAY_NETWORK_LAYER=envoy bash "$installer"
  else
    run bash "$installer"
  fi
}

install_kfp() {
  local source=github.com/kubeflow/pipelines/manifests/kustomize
  run kubectl apply --server-side --force-conflicts -k "$source/cluster-scoped-resources?ref=$KFP_VERSION"
  run kubectl wait --for=condition=Established --timeout=120s crd/workflows.argoproj.io
  run kubectl apply --server-side --force-conflicts -k "$source/env/platform-agnostic?ref=$KFP_VERSION"
  run kubectl wait --namespace kubeflow --for=condition=Available --timeout=900s deployment/ml-pipeline \
    deployment/seaweedfs
}

# A secret that is there stays; its values, one `NAME=value` a line of the input, are on no command line and in no file.
keep_secret() {
  local values
  values=$(cat)
  there kubectl --namespace mulgil get secret "$1" && return
  echo "+ kubectl --namespace mulgil create secret generic $1 --from-env-file=…"
  [ -n "$is_dry" ] || kubectl --namespace mulgil create secret generic "$1" --from-env-file=/dev/stdin <<<"$values"
}

value_of() {
  [ -n "$is_dry" ] ||
    kubectl --namespace "$1" get secret "$2" --output "go-template={{ index .data \"$3\" | base64decode }}"
}

random() {
  openssl rand -hex 24
}

# Steps run in KFP's namespace, and read the same there.
copy_secret() {
  echo "+ kubectl --namespace kubeflow apply -f … # mulgil/$1"
  [ -n "$is_dry" ] ||
    kubectl --namespace mulgil get secret "$1" --output json |
    jq '{apiVersion, kind, type, data, metadata: {name: .metadata.name}}' |
      kubectl --namespace kubeflow apply -f -
}

make_secrets() {
  local token database secret
  token=$(random)
  echo "POSTGRES_PASSWORD=$(random)" | keep_secret mulgil-postgres
  database=postgresql://mulgil:$(value_of mulgil mulgil-postgres POSTGRES_PASSWORD)@postgres.mulgil.svc:5432
  echo "MLFLOW_BACKEND_STORE_URI=$database/mlflow" | keep_secret mulgil-mlflow
  printf 'MULGIL_FEAST_REGISTRY_URL=%s/feast\nMULGIL_REDIS_PASSWORD=%s\n' "$database" "$(random)" |
    keep_secret mulgil-feature-store
  printf 'tokens=%s\nMULGIL_SERVING_TOKEN=%s\n' "$token" "$token" | keep_secret mulgil-serving-tokens
  printf 'AWS_ACCESS_KEY_ID=%s\nAWS_SECRET_ACCESS_KEY=%s\n' \
    "$(value_of kubeflow mlpipeline-minio-artifact accesskey)" \
    "$(value_of kubeflow mlpipeline-minio-artifact secretkey)" | keep_secret mulgil-object-store
  for secret in mulgil-feature-store mulgil-serving-tokens mulgil-object-store; do
    copy_secret "$secret"
  done
}

install_mulgil() {
  local overlay=$top/manifests/overlays/kind
  [ "$mode" = knative ] || overlay=$top/manifests/overlays/kind-standard
  run kubectl apply -f "$top/manifests/base/namespace.yaml"
  make_secrets
  run kubectl apply --server-side --force-conflicts -k "$overlay"
  run kubectl --namespace mulgil rollout status --timeout=600s deployment/mlflow
  run kubectl --namespace mulgil rollout status --timeout=300s statefulset/collector
}

up() {
  require docker kind kubectl curl git openssl jq
  use_own_kubeconfig
  make_cluster
  load_images
  [ "$mode" = knative ] || install_gateway
  install_kserve
  install_kfp
  install_mulgil
  echo "The cluster is yours by: export KUBECONFIG=$KUBECONFIG"
  run "$mulgil" doctor --context "kind-$name"
}

down() {
  require kind
  run kind delete cluster --name "$name"
  run rm -rf "$state"
}

cd "$top"
"$verb"
