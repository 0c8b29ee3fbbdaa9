"""Simulated rollouts: how often a good canary is rolled back, and how many requests a bad one touches."""
