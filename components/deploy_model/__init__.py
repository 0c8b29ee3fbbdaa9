"""Deploy a registered, approved model as an InferenceService, and see it answer."""

# The sections of project.yaml that this step reads; the cache goes by them.
PROJECT_SECTIONS: frozenset[str] = frozenset({"name", "rollout", "serving"})
# It changes what all runs share.
ACTS_OUTSIDE = True
# The folders of Mulgil's home that it works in; a container of it gets them.
STORES: frozenset[str] = frozenset({"mlflow", "rollouts", "serving"})
# What its core needs, heaviest last: interpreters share what components begin alike.
IMPORTS: tuple[str, ...] = ("mulgil.contract",)
# For a new version, which it makes the champion, and not where that serves already.
SPARE_IMPORTS: tuple[str, ...] = ("pandas", "mulgil.registry:import_mlflow")
