"""Judge a model bundle once on the test rows, and decide whether it may go on."""

# The sections of project.yaml that this step reads; the cache goes by them.
PROJECT_SECTIONS: frozenset[str] = frozenset({"gates", "name", "task"})
