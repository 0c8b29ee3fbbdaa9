"""Judge a dataset against its dictionary with TFDV, and leave statistics, anomalies and a verdict."""

# This step reads nothing of project.yaml; the cache goes by it.
PROJECT_SECTIONS: frozenset[str] = frozenset()
# The folders of Mulgil's home that it works in; a container of it gets them.
STORES: frozenset[str] = frozenset()
# It changes nothing but what its flags name.
ACTS_OUTSIDE = False
# What its core needs, heaviest last: interpreters share what components begin alike.
IMPORTS: tuple[str, ...] = ()
