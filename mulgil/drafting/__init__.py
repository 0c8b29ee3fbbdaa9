"""Drafts a project from a table: what each column is, and what only a person can say."""
