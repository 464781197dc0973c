"""Runs experiments: iterations, visits, the pipeline."""
