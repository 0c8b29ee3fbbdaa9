"""Reads a project's source into a split, typed dataset, and sets aside what is wrong, with the reason."""

# The sections of project.yaml that this step reads; the cache goes by them.
PROJECT_SECTIONS: frozenset[str] = frozenset({"name", "source", "split"})
# The folders of Mulgil's home that it works in; a container of it gets them.
STORES: frozenset[str] = frozenset({"spans"})
# It changes nothing but what its flags name.
ACTS_OUTSIDE = False
# What its core needs, heaviest last: interpreters share what components begin alike.
IMPORTS: tuple[str, ...] = ("mulgil.contract", "pandas", "pyarrow.parquet", "sklearn.model_selection")
