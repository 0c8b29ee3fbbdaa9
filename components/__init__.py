"""The pipeline's steps: each an ordinary program, and a KFP container component."""
