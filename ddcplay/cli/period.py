"""Moments on the command line: dates in the play's time zone, or lengths of time before now."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import tzinfo

    from ddcplay.config.settings import Settings


def instant(text: str, option: str, where: tzinfo, now: float) -> int:
    """Read a moment: a date, an ISO time, or a length of time before now.

    Raises:
        UsageError: none of these.
    """
    from datetime import datetime  # noqa: PLC0415 - late, for a quick start

    from ddcplay.errors import UsageError  # noqa: PLC0415 - as above
    from ddcplay.units import parse_duration  # noqa: PLC0415 - as above

    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        try:
            return int(now - parse_duration(text))
        except ValueError:
            raise UsageError(
                f"{option} {text!r} is no time", "write 2026-11-01, 2026-11-01T08:00 or 7d"
            ) from None
    return int((moment if moment.tzinfo else moment.replace(tzinfo=where)).timestamp())


def play_zone(experiment: Path, url: str | None, settings: Settings) -> tzinfo:
    """Return the time zone of the play that made an experiment; UTC when its playbook is gone.

    Args:
        experiment: `<data>/<experiment>`.
        url: of the configured database, None for the experiment's own.
        settings: of the project.
    """
    from ddcplay.config.playbook_file import find_playbook, read_playbook  # noqa: PLC0415 - as above
    from ddcplay.errors import DdcplayError  # noqa: PLC0415 - as above
    from ddcplay.report.words import zone  # noqa: PLC0415 - as above
    from ddcplay.reporting import last_playbook  # noqa: PLC0415 - as above
    from ddcplay.templating.environment import render_value  # noqa: PLC0415 - as above

    named = last_playbook(experiment, url)
    if not named:
        return zone("UTC")
    try:
        path = find_playbook(named, settings.project_root, Path.cwd(), project_first=True)
        book = read_playbook(path, render=render_value, project_root=settings.project_root)
    except DdcplayError:
        return zone("UTC")
    return zone(next((play.timezone for play in book.plays if play.experiment == experiment.name), "UTC"))
