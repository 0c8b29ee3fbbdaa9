"""Start the rollout of a deployed model's new version, and wait for its verdict where that is asked."""

# The sections of project.yaml that this step reads; the cache goes by them.
PROJECT_SECTIONS: frozenset[str] = frozenset({"name", "rollout"})
# It changes what all runs share.
ACTS_OUTSIDE = True
# The folders of Mulgil's home that it works in; a container of it gets them.
STORES: frozenset[str] = frozenset({"rollouts", "serving"})
# What its core needs, heaviest last: interpreters share what components begin alike.
IMPORTS: tuple[str, ...] = ("mulgil.contract",)
