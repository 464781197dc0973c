"""Secrets: references that are resolved as late as possible, and a redactor that knows what was resolved."""
