"""How Hypothesis works in every test: as slow as the machine is, since a test asserts no time."""

from hypothesis import settings

settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")
