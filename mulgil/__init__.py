"""Mulgil: one data dictionary, one pipeline and one InferenceService, from a table to a watched model."""

__version__ = "0.1.0"
