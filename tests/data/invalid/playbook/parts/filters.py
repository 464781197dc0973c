"""A class that a wrong playbook misspells; this file is never run."""

from ddcplay import Filter

LIMIT = 10


class LowDisk(Filter):
    """Nothing."""
