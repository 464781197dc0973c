"""`ddcplay results`: attempts and samples on the terminal, as CSV or as JSON lines."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ddcplay.cli.arguments import (
    DataDir,
    Directory,
    InventoryPaths,
    Verbose,
    make_options,
    out_console,
    warn,
)
from ddcplay.cli.guard import guarded

if TYPE_CHECKING:
    from datetime import tzinfo

    from ddcplay.config.settings import Settings
    from ddcplay.model.options import Options
    from ddcplay.store.queries import ExperimentReader
    from ddcplay.store.result_reads import Wanted

SHOWN = 50
"""So many of the newest are shown on a terminal; files and programs get all."""


@guarded
def results_command(
    experiment: Annotated[
        str | None,
        typer.Argument(metavar="EXPERIMENT", help="Experiment or playbook (default: the only one)."),
    ] = None,
    *,
    samples: Annotated[
        str | None,
        typer.Option(
            "--samples", metavar="PROBE", help="What a probe stored, or one of its lists (usage_disks)."
        ),
    ] = None,
    fields: Annotated[
        str | None, typer.Option("--fields", help="Columns, separated by commas (default: those that fit).")
    ] = None,
    probe: Annotated[str | None, typer.Option("--probe", help="Attempts of this probe alone.")] = None,
    host: Annotated[
        str | None, typer.Option("--host", help="Hosts: a pattern such as 'lab01-*:!pc7'.")
    ] = None,
    group: Annotated[str | None, typer.Option("--group", help="Hosts of an inventory's group.")] = None,
    outcome: Annotated[
        list[str] | None,
        typer.Option("--outcome", help="ok, failed, unavailable or skipped; may be repeated."),
    ] = None,
    reason: Annotated[
        list[str] | None, typer.Option("--reason", help="Such as timeout; may be repeated.")
    ] = None,
    since: Annotated[
        str | None, typer.Option("--since", help="From then on: 2026-11-01, 2026-11-01T08:00 or 7d ago.")
    ] = None,
    until: Annotated[str | None, typer.Option("--until", help="Up to then, same forms.")] = None,
    where: Annotated[
        str | None,
        typer.Option("--where", help="Expression over record and data: 'data.disk_free_pct < 10'."),
    ] = None,
    newest: Annotated[
        int | None,
        typer.Option("-n", "--newest", min=1, help=f"Only so many of the newest (table: {SHOWN})."),
    ] = None,
    as_csv: Annotated[bool, typer.Option("--csv", help="CSV, safe for spreadsheets.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON line per row.")] = False,
    inventory: InventoryPaths = None,
    data_dir: DataDir = None,
    directory: Directory = None,
    verbose: Verbose = 0,  # noqa: ARG001 - read by `guarded`
) -> None:
    """Show attempts, or what filters stored.

    \b
    ddcplay results classroom-usage --outcome failed --since 7d
    ddcplay results classroom-usage --samples usage --where "data.disk_free_pct < 10"
    ddcplay results classroom-usage --samples usage_disks --csv > disks.csv
    """
    from ddcplay.cli.experiments import choose_experiments, read_settings  # noqa: PLC0415 - late, for a quick start
    from ddcplay.engine.database import database_url  # noqa: PLC0415 - same
    from ddcplay.errors import UsageError  # noqa: PLC0415 - same
    from ddcplay.store.queries import open_reader  # noqa: PLC0415 - same

    if as_csv and as_json:
        raise UsageError("--csv and --json exclude each other", "choose one")
    settings = read_settings(directory, data_dir)
    chosen = choose_experiments(experiment, settings)
    if as_csv and len(chosen) > 1:
        names = ", ".join(path.name for path in chosen)
        raise UsageError("one CSV cannot hold several experiments", f"name one of: {names}")
    options = make_options(directory=directory, inventory=inventory, data_dir=data_dir)
    url = database_url(settings)
    for path in chosen:
        with open_reader(path, url) as reader:
            place = _Place(reader, path, url, settings, options)
            wanted = place.wanted((host, group), probe, (outcome, reason), (since, until))
            count = newest if newest is not None else None if as_csv or as_json else SHOWN
            rows = _Rows(reader, wanted, samples, where)
            form = "csv" if as_csv else "json" if as_json else "table"
            _show(rows.newest(count), form, fields, place.zone)
            if rows.unjudged:
                warn([f"--where could not judge {rows.unjudged} rows, which are left out: {rows.why}"])


class _Place:
    """One experiment and what its project says about it."""

    def __init__(
        self, reader: ExperimentReader, path: Path, url: str | None, settings: Settings, options: Options
    ) -> None:
        from ddcplay.cli.period import play_zone  # noqa: PLC0415 - as above

        self._reader = reader
        self._options = options
        self.zone = play_zone(path, url, settings)

    def wanted(
        self,
        hosts: tuple[str | None, str | None],
        probe: str | None,
        kinds: tuple[Sequence[str] | None, Sequence[str] | None],
        period: tuple[str | None, str | None],
    ) -> Wanted:
        """Read the filters.

        Raises:
            UsageError: one of them is nothing.
        """
        import time  # noqa: PLC0415 - as above

        from ddcplay.cli.period import instant  # noqa: PLC0415 - as above
        from ddcplay.model.result import Outcome, Reason  # noqa: PLC0415 - as above
        from ddcplay.store.result_reads import Wanted  # noqa: PLC0415 - as above

        now = time.time()
        since, until = (
            None if text is None else float(instant(text, option, self.zone, now))
            for text, option in zip(period, ("--since", "--until"), strict=True)
        )
        return Wanted(
            hosts=self._hosts(*hosts),
            probe=probe,
            outcomes=_words(kinds[0], "--outcome", [each.value for each in Outcome]),
            reasons=_words(kinds[1], "--reason", [each.value for each in Reason]),
            since=since,
            until=until,
        )

    def _hosts(self, pattern: str | None, group: str | None) -> frozenset[str] | None:
        """Return the hosts meant: those that were ever asked, and fit."""
        from ddcplay import app  # noqa: PLC0415 - as above
        from ddcplay.errors import PatternError  # noqa: PLC0415 - as above
        from ddcplay.model.inventory import Group, Host, Inventory  # noqa: PLC0415 - as above
        from ddcplay.planning.pattern import select_hosts  # noqa: PLC0415 - as above
        from ddcplay.store.result_reads import known_hosts  # noqa: PLC0415 - as above

        if pattern is None and group is None:
            return None
        known = self._reader.read(known_hosts)
        asked = Inventory({name: Host(name) for name in known}, {"all": Group("all", known)})
        wanted = ":&".join(part for part in (pattern, group) if part)
        if group is None:
            try:  # the experiment's own hosts suffice, also when the inventory is gone
                return frozenset(each.name for each in select_hosts(asked, wanted).hosts)
            except PatternError:
                pass
        inventory, warnings = app.load_inventory(self._options)
        warn(warnings)
        both = Inventory({**asked.hosts, **inventory.hosts}, {**asked.groups, **inventory.groups})
        return frozenset(each.name for each in select_hosts(both, wanted).hosts)


class _Rows:
    """The rows that fit, as mappings: `started_at` in UTC Unix seconds, fields of samples under `data`."""

    def __init__(
        self, reader: ExperimentReader, wanted: Wanted, table: str | None, where: str | None
    ) -> None:
        from ddcplay.errors import Place  # noqa: PLC0415 - as above
        from ddcplay.templating.expression import Expression  # noqa: PLC0415 - as above

        self._reader = reader
        self._wanted = wanted
        self._table = table
        self._where = None if where is None else Expression(where, Place("--where"))
        if self._where is not None:
            self._where.check()
        self.unjudged = 0
        self.why = ""

    def newest(self, count: int | None) -> Iterator[dict[str, Any]]:
        """Return the newest rows, oldest first; all of them are streamed."""
        rows = self._fitting(newest_first=count is not None)
        return rows if count is None else iter(list(islice(rows, count))[::-1])

    def _fitting(self, *, newest_first: bool) -> Iterator[dict[str, Any]]:
        for row in self._all(newest_first=newest_first):
            if self._where is None or self._fits(row):
                yield row

    def _all(self, *, newest_first: bool) -> Iterator[dict[str, Any]]:
        from ddcplay.frames import shape_of  # noqa: PLC0415 - as above
        from ddcplay.store import result_reads  # noqa: PLC0415 - as above
        from ddcplay.ui.results_view import attempt_row  # noqa: PLC0415 - as above

        name, reader, wanted = self._table, self._reader, self._wanted
        if name is None:
            found = reader.stream(
                lambda c, n: result_reads.attempts(c, n, reader.experiment, wanted, newest_first=newest_first)
            )
            yield from map(attempt_row, found)
            return
        shape = reader.read(lambda c, n: shape_of(c, n, name))
        yield from reader.stream(
            lambda c, n: result_reads.samples(c, n, shape, wanted, newest_first=newest_first)
        )

    def _fits(self, row: Mapping[str, Any]) -> bool:
        from ddcplay.errors import TemplateError  # noqa: PLC0415 - as above

        data = row.get("data") or {}
        record = {name: value for name, value in row.items() if name != "data"}
        try:
            return self._where is not None and self._where.evaluate({"record": record, "data": data, **data})
        except TemplateError as error:  # a field is null or missing in this row: it neither fits nor fails
            self.unjudged += 1
            self.why = error.message
            return False


def _show(rows: Iterator[dict[str, Any]], form: str, fields: str | None, zone: tzinfo) -> None:
    from ddcplay.ui.results_view import csv_lines, json_row, print_rows  # noqa: PLC0415 - as above

    chosen = [name.strip() for name in fields.split(",") if name.strip()] if fields else []
    if form == "json":
        for row in rows:
            sys.stdout.buffer.write(json_row(row, chosen))
        sys.stdout.buffer.flush()
    elif form == "csv":
        for line in csv_lines(rows, chosen):
            sys.stdout.write(line)
    else:
        print_rows(out_console(), list(rows), chosen, zone)


def _words(values: Sequence[str] | None, option: str, known: Sequence[str]) -> tuple[str, ...]:
    """Split `a,b` and check each word.

    Raises:
        UsageError: one that is not known.
    """
    from ddcplay.errors import UsageError  # noqa: PLC0415 - as above

    words = tuple(word.strip() for value in values or () for word in value.split(",") if word.strip())
    for word in words:
        if word not in known:
            raise UsageError(f"{option} {word!r} is none", f"known: {', '.join(known)}")
    return words
