"""Trace lines on a person's screen: whole numbers in front, long lists of names folded."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.text import Text

from ddcplay.ui.safe_text import safe_text


def print_trace(console: Console, file: Path) -> None:
    """Print a trace file, one screen line per trace line."""
    console.print(Text(str(file), style="bold", overflow="fold"))
    for line in file.read_text(encoding="utf-8", errors="replace").splitlines():
        console.print(Text(f"  {safe_text(line)}"), no_wrap=True, overflow="ellipsis")
