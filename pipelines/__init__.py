"""The pipelines' graphs, and their compilation to KFP's intermediate representation."""
