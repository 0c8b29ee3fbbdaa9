"""Fit the preprocessing and the model, and write the model bundle."""

# The sections of project.yaml that this step reads; the cache goes by them.
PROJECT_SECTIONS: frozenset[str] = frozenset({"decision", "name", "task", "training"})
