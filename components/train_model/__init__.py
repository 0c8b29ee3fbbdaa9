"""Fit the preprocessing and the model, and write the model bundle."""
