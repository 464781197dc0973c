"""Jinja in two phases: plan time (strings) and record time (expressions)."""
