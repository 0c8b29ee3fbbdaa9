"""Steps in containers of a Docker engine on this machine: the same pipeline, the images of a cluster."""
