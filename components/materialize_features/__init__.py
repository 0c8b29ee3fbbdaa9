"""Keeps the features in Feast, joins the training rows at their point in time, and fills the online store."""

# The sections of project.yaml that this step reads; the cache goes by them.
PROJECT_SECTIONS: frozenset[str] = frozenset({"name", "serving"})
# It changes what all runs share.
ACTS_OUTSIDE = True
# The folders of Mulgil's home that it works in; a container of it gets them.
STORES: frozenset[str] = frozenset({"feature_store"})
# What its core needs, heaviest last: interpreters share what components begin alike.
IMPORTS: tuple[str, ...] = ("mulgil.contract", "pandas", "pyarrow.parquet")
