"""How Hypothesis works in every test: as slow as the machine is, since a test asserts no time."""

from hypothesis import settings

# The same examples each time, so that a change is judged by itself and not by luck; `make test-all` looks for
# new ones.
settings.register_profile("repeatable", deadline=None, derandomize=True)
settings.register_profile("exploring", deadline=None)
settings.load_profile("repeatable")
