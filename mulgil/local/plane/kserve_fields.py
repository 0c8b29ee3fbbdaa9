"""The fields that KServe's InferenceService has, so that an unknown one is told from one not honoured here.

Source:
    The CRD of KServe v0.20.0,
    https://github.com/kserve/kserve/blob/v0.20.0/config/crd/full/serving.kserve.io_inferenceservices.yaml;
    tests hold it against KServe's own types.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence

_FIELDS = {
    "spec": "canary explainer predictor tracing transformer",
    "spec.canary": "predictor trafficPercent",
    "spec.predictor": """
        activeDeadlineSeconds affinity annotations autoScaling automountServiceAccountToken batcher
        canaryTrafficPercent containerConcurrency containers deploymentStrategy dnsConfig dnsPolicy
        enableServiceLinks ephemeralContainers hostAliases hostIPC hostNetwork hostPID hostUsers hostname
        hostnameOverride huggingface imagePullSecrets initContainers labels lightgbm logger maxReplicas
        minReplicas model name nodeName nodeSelector onnx os overhead paddle pmml preemptionPolicy priority
        priorityClassName pytorch readinessGates resourceClaims resources restartPolicy runtimeClassName
        scaleMetric scaleMetricType scaleTarget schedulerName schedulingGates schedulingGroup securityContext
        serviceAccount serviceAccountName setHostnameAsFQDN shareProcessNamespace sklearn storageContainerName
        storageUris subdomain tensorflow terminationGracePeriodSeconds timeout tolerations
        topologySpreadConstraints triton volumes workerSpec xgboost
    """,
    "spec.predictor.model": """
        args command confidential env envFrom image imagePullPolicy lifecycle livenessProbe modelFormat name
        ports protocolVersion readinessProbe resizePolicy resources restartPolicy restartPolicyRules runtime
        runtimeVersion securityContext startupProbe stdin stdinOnce storage storageUri terminationMessagePath
        terminationMessagePolicy tty volumeDevices volumeMounts workingDir
    """,
    "spec.predictor.model.env": "name value valueFrom",
    "spec.predictor.model.modelFormat": "name version",
    "spec.predictor.model.resources": "claims limits requests",
    "spec.predictor.logger": """
        batchInterval batchSize marshallerUrl metadataAnnotations metadataHeaders mode storage url
    """,
}
FIELDS = {path: frozenset(names.split()) for path, names in _FIELDS.items()}


def is_known(path: Sequence[str | int]) -> bool:
    """Whether KServe has a field."""
    # Any resource may be requested and limited, such as `nvidia.com/gpu`.
    is_resource = len(path) > 1 and path[-2] in ("requests", "limits")
    return is_resource or path[-1] in _siblings(path)


def suggest(path: Sequence[str | int]) -> str:
    """Return the field that was probably meant; empty where there is none like it."""
    return next(iter(difflib.get_close_matches(str(path[-1]), _siblings(path), n=1)), "")


def _siblings(path: Sequence[str | int]) -> frozenset[str]:
    parent = ".".join(str(part) for part in path[:-1] if isinstance(part, str))
    return FIELDS.get(re.sub(r"^spec\.canary\.predictor", "spec.predictor", parent), frozenset())
