"""The model server: a bundle behind KServe's V1 and V2 REST protocols, with no TensorFlow in the process."""
