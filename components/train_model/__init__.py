"""Fit the preprocessing and the model, and write the model bundle."""

# The sections of project.yaml that this step reads; the cache goes by them.
PROJECT_SECTIONS: frozenset[str] = frozenset(
    {"cross_validation", "decision", "name", "split", "task", "training"}
)
# The folders of Mulgil's home that it works in; a container of it gets them.
STORES: frozenset[str] = frozenset({"checkpoints", "examples", "tuning"})
# It changes nothing but what its flags name.
ACTS_OUTSIDE = False
# What its core needs, heaviest last: interpreters share what components begin alike.
IMPORTS: tuple[str, ...] = (
    "mulgil.contract",
    "pandas",
    "pyarrow.parquet",
    "sklearn.model_selection",
    "components.tensorflow_startup:start_tensorflow",
)
