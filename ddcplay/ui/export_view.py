"""What `ddcplay export` and `ddcplay prune` print at their end."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.text import Text

from ddcplay.engine.retention import Pruned
from ddcplay.exporting import Exported
from ddcplay.ui.safe_text import safe_text
from ddcplay.ui.tables import table
from ddcplay.ui.words import plural


def print_exported(console: Console, files: Sequence[Exported]) -> None:
    """List the files of an export."""
    shown = table("table", "rows", "file", right=("rows",))
    for each in files:
        shown.add_row(Text(safe_text(each.table)), Text(f"{each.rows:,}"), Text(safe_text(str(each.file))))
    console.print(shown)


def prune_words(experiment: str, pruned: Pruned, *, dry_run: bool) -> str:
    """Tell what went, or would go, in a line."""
    rows, cut = pruned.rows, pruned.cut
    name = safe_text(experiment)
    if not pruned.anything:
        return f"{name}: nothing is old enough"
    parts = [
        f"{plural(cut.blocks, 'block')} of cumulative files ({cut.bytes / 1e6:.1f} MB)",
        plural(rows.attempts, "attempt"),
        plural(rows.samples, "sample"),
        plural(rows.facts, "former static fact"),
        plural(rows.events, "told event"),
    ]
    return f"{name}: {'would remove' if dry_run else 'removed'} {', '.join(parts)}"
