"""The cluster platform: what is sent to Kubeflow Pipelines and to Kubernetes."""
