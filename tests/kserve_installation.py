"""What an API server says of its KServe."""

import json

DEPLOYMENT = "/apis/apps/v1/namespaces/kserve/deployments/kserve-controller-manager"
CONFIG_MAP = "/api/v1/namespaces/kserve/configmaps/inferenceservice-config"
GROUPS = ("serving.kserve.io", "serving.knative.dev", "gateway.networking.k8s.io")


def install_kserve(stub, release="v0.21.0", mode="Knative", *, gateway=True, groups=GROUPS):
    """Let a stand-in for the API server answer as one with KServe does."""
    proxy = {"name": "kube-rbac-proxy", "image": "proxy:v0.18.0"}
    controller = {"name": "manager", "image": f"kserve/kserve-controller:{release}"}
    stub.answers |= {
        DEPLOYMENT: {"spec": {"template": {"spec": {"containers": [proxy, controller]}}}},
        CONFIG_MAP: {
            "data": {
                "deploy": json.dumps({"defaultDeploymentMode": mode}),
                "ingress": json.dumps({"enableGatewayApi": gateway}),
            }
        },
        "/apis": {"groups": [{"name": name} for name in groups]},
    }
