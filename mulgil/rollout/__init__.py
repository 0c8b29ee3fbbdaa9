"""Rollouts: a release as a statistical decision with a written verdict.

`evidence` and `analysis` are pure functions of counts; sources, drivers, files and clocks stand around them.
"""
