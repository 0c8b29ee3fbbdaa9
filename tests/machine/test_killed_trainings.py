"""A training that is killed goes on in another process, and ends as one that was left alone."""

from killed_trainings import check_a_kill_changes_nothing


def test_a_training_in_memory_that_is_killed_ends_as_one_that_was_not(tmp_path):
    # One that is streamed: tests/integration.
    check_a_kill_changes_nothing(tmp_path, megabytes=64)
