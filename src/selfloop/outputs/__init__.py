"""Showing results: plots, reports, files. Nothing here computes a statistic."""
