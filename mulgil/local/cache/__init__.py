"""The step cache: what a step's outputs depend on, and the outputs kept under the hash of that."""
