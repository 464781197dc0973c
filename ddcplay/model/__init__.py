"""Frozen values that travel between the parts; standard library only."""
