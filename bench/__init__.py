"""Figures of speed and size, measured side by side and never asserted in a test."""
