"""What `ddcplay check` says about disk space."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from ddcplay.config.settings import Settings
    from ddcplay.engine.preparing import Prepared
    from ddcplay.planning.volume import ProbeSize


def volume_lines(prepared: Prepared) -> Iterator[str]:
    """Yield a line per play that has a schedule: what it writes per day and what lies there in the end."""
    import time  # noqa: PLC0415 - commands import what they need, for a quick start

    from ddcplay.planning.volume import predict  # noqa: PLC0415 - same
    from ddcplay.ui.safe_text import safe_text  # noqa: PLC0415 - same
    from ddcplay.ui.words import plural  # noqa: PLC0415 - same

    kept = prepared.settings.retention
    for item in prepared.plays:
        experiment = item.plan.experiment
        seen = _seen(prepared.settings.data_dir / experiment, prepared.settings)
        hosts = len(item.pool) if item.pool is not None else len(item.plan.hosts)
        volume = predict(item.play, hosts, seen, time.time())
        if volume is None:
            continue
        total = volume.kept(kept.archive_s, kept.attempts_s, kept.samples_s)
        parts = f"outputs {_size(volume.archive)}, database {_size(volume.attempts + volume.samples)}"
        each = f"{plural(hosts, 'host')}, {volume.iterations:,.0f} iterations a day"
        yield f"{safe_text(experiment)}: about {_size(volume.total)} per day ({parts}; {each})"
        yield f"    about {_size(total)} once the oldest goes (settings retention)"
        if volume.assumed:
            names = ", ".join(volume.assumed)
            yield f"    assumed, for want of a run: every host is on, usual sizes ({safe_text(names)})"
        else:
            yield "    sizes are those of the last attempts"


def _seen(directory: Path, settings: Settings) -> dict[str, ProbeSize]:
    """Return what the experiment's last attempts brought; nothing when it never ran or cannot be read."""
    from ddcplay.engine.database import database_url  # noqa: PLC0415 - as above
    from ddcplay.errors import DdcplayError  # noqa: PLC0415 - as above
    from ddcplay.planning.volume import ProbeSize  # noqa: PLC0415 - as above
    from ddcplay.store.queries import open_reader  # noqa: PLC0415 - as above
    from ddcplay.store.size_reads import recent_sizes  # noqa: PLC0415 - as above

    if settings.database is not None:  # `check` contacts nothing, so no database server either
        return {}
    try:
        with open_reader(directory, database_url(settings)) as reader:
            return {probe: ProbeSize(*sizes) for probe, sizes in reader.read(recent_sizes).items()}
    except DdcplayError:
        return {}


def _size(amount: float) -> str:
    for unit, size in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6)):
        if amount >= size:
            return f"{amount / size:,.1f} {unit}"
    return f"{amount / 1e6:.2f} MB"
