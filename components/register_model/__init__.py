"""Register an approved model bundle as a version of its model."""
