"""Reads a project's source into a split, typed dataset, and sets aside what is wrong, with the reason."""
