"""The public door of ddcplay; names are imported when they are first used (PEP 562)."""

from __future__ import annotations

__version__ = "0.1.0"
