"""From an experiment's database to its report: what the coordinator and `ddcplay report` share."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
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
        rooms: host → room; empty: guessed from the names.
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


def last_playbook(directory: Path, url: str | None) -> str:
    """Return the path of the playbook that made the newest iteration, empty when nobody knows.

    Raises:
        StoreError: the experiment cannot be read; the text says what to do.
    """
    from ddcplay.store import report_reads  # noqa: PLC0415 - as above
    from ddcplay.store.queries import open_reader  # noqa: PLC0415 - as above

    with open_reader(directory, url) as reader:
        return reader.read(report_reads.last_playbook)


def rooms_by_name(hosts: Iterable[str]) -> dict[str, str]:
    """Guess rooms from host names (`lab01-pc07` is in `lab01-pc`), for want of an inventory.

    Returns:
        host → room; empty when that makes no or too many rooms.
    """
    names = tuple(hosts)
    rooms = {name: re.sub(r"[-_. ]*[0-9]+[^0-9]*$", "", name.partition(".")[0]) for name in names}
    return rooms if 1 < len(set(rooms.values())) <= len(names) / 2 else {}


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
    rooms = scope.rooms or rooms_by_name(host.host for host in data.presence)
    return replace(data, timezone=scope.timezone, rooms=tuple(rooms.items()))
