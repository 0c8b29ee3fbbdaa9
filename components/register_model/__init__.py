"""Register an approved model bundle as a version of its model."""

# The sections of project.yaml that this step reads; the cache goes by them.
PROJECT_SECTIONS: frozenset[str] = frozenset({"name", "training"})
# It changes what all runs share.
ACTS_OUTSIDE = True
# The folders of Mulgil's home that it works in; a container of it gets them.
STORES: frozenset[str] = frozenset({"mlflow"})
# What its core needs, heaviest last: interpreters share what components begin alike.
IMPORTS: tuple[str, ...] = ("mulgil.contract", "pandas", "mulgil.registry:import_mlflow")
