"""Looks at a table before anything is learned of it: what its columns hold, and what of it would mislead."""
