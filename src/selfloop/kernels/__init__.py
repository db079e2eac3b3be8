"""Numerical work on plain numpy arrays: arrays in, arrays out."""
