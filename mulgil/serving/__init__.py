"""The model server: a bundle behind KServe's V1 and V2 protocols; no TensorFlow or Feast in the process."""
