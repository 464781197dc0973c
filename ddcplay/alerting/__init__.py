"""Alerts as a pure state machine."""
