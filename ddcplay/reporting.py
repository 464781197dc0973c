"""From an experiment's database to its report: what the coordinator and `ddcplay report` share."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import sqlalchemy as sa

    from ddcplay.model.report import ReportData
    from ddcplay.report.study import Study


@dataclass(frozen=True, slots=True)
class ReportScope:
    """What a report is about.

    Args:
        since: iteration id from which on (included), None for the first.
        until: iteration id up to which (included), None for the newest.
        timezone: IANA name, the play's.
        rooms: host → room; empty when nobody knows rooms.
    """

    since: int | None = None
    until: int | None = None
    timezone: str = "UTC"
    rooms: Mapping[str, str] = field(default_factory=dict)


def read_counts(directory: Path, url: str | None, scope: ReportScope) -> ReportData:
    """Count a period, for the periodic mail.

    Args:
        directory: `<data>/<experiment>`.
        url: SQLAlchemy URL of setting `database`, None for `experiment.db`.
        scope: which period, whose rooms.

    Raises:
        StoreError: the experiment cannot be read; the text says what to do.
    """
    from ddcplay.store.queries import open_reader  # noqa: PLC0415 - late, for a quick start

    with open_reader(directory, url) as reader:
        return reader.read(lambda connection, number: _counts(connection, number, scope))


def read_study(directory: Path, url: str | None, scope: ReportScope) -> Study:
    """Read a period with its samples, as of one moment.

    Args:
        directory: `<data>/<experiment>`.
        url: SQLAlchemy URL of setting `database`, None for `experiment.db`.
        scope: which period, whose rooms.

    Raises:
        StoreError: the experiment cannot be read; the text says what to do.
    """
    from ddcplay.report.study import study  # noqa: PLC0415 - as above
    from ddcplay.store import report_reads  # noqa: PLC0415 - as above
    from ddcplay.store.queries import open_reader  # noqa: PLC0415 - as above

    def work(connection: sa.Connection, number: int) -> Study:
        data = _counts(connection, number, scope)
        period = (data.since, data.until)
        probe = report_reads.usage_probe(connection, number)
        samples = report_reads.usage_samples(connection, number, probe, *period) if probe else ()
        return study(data, report_reads.visits(connection, number, *period), samples, probe)

    with open_reader(directory, url) as reader:
        return reader.read(work)


def write_report(study: Study, file: Path, made_at: float, *, simulated: bool = False) -> None:
    """Write the HTML report; a browser never sees half of it.

    Args:
        study: what it says.
        file: its place; replaced.
        made_at: UTC Unix seconds.
        simulated: say on top that no machine was asked.

    Raises:
        OSError: it cannot be written.
    """
    from ddcplay import __version__  # noqa: PLC0415 - as above
    from ddcplay.report.html import Page, html_report  # noqa: PLC0415 - as above

    text = html_report(study, Page(made_at, __version__, simulated))
    draft = file.with_name(f".{file.name}.{os.getpid()}.new")
    try:
        draft.write_text(text, encoding="utf-8", errors="replace")
        draft.replace(file)
    finally:
        draft.unlink(missing_ok=True)


def _counts(connection: sa.Connection, number: int, scope: ReportScope) -> ReportData:
    from ddcplay.store.report_reads import report_data  # noqa: PLC0415 - as above

    data = report_data(connection, number, scope.since, scope.until)
    return replace(data, timezone=scope.timezone, rooms=tuple(scope.rooms.items()))
