"""The container images."""
