"""Keeps the features in Feast, joins the training rows at their point in time, and fills the online store."""
