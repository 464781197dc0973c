"""A user's filter beside a playbook; reading the playbook looks at it and never runs it."""

from __future__ import annotations

from ddcplay import Filter


class LowDisk(Filter):
    """Does nothing."""
