"""`ddcplay alerts`: what fires, who has taken it, and what nobody wants to hear of for a while.

Works beside a running coordinator: it is told at the end of its iteration.
"""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from ddcplay.cli.arguments import AsJson, DataDir, Directory, Verbose, out_console, print_json
from ddcplay.cli.guard import guarded

if TYPE_CHECKING:
    from ddcplay.model.alert import Silence
    from ddcplay.ui.alerts_view import AlertLine

Experiment = Annotated[
    str | None,
    typer.Option("-E", "--experiment", help="Experiment or playbook (default: the only one)."),
]


class _ListFirst(TyperGroup):
    """`ddcplay alerts EXPERIMENT` is `ddcplay alerts list EXPERIMENT`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put `list` before words that name no command."""
        if not args or (args[0] not in self.commands and args[0] not in {"-h", "--help"}):
            args = ["list", *args]
        return super().parse_args(ctx, args)


def alerts_program() -> typer.Typer:
    """Return `ddcplay alerts` with its commands."""
    program = typer.Typer(
        cls=_ListFirst,
        help="Alerts: what fires, take it, silence it. `ddcplay alerts` alone lists.",
        rich_markup_mode=None,
    )
    program.command("list")(list_command)
    program.command("ack")(ack_command)
    program.command("silence")(silence_command)
    return program


@guarded
def list_command(
    experiment_name: Annotated[
        str | None,
        typer.Argument(metavar="EXPERIMENT", help="Experiment or playbook (default: the only one)."),
    ] = None,
    *,
    experiment: Experiment = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Also alerts that are pending, and silences.")
    ] = False,
    as_json: AsJson = False,
    data_dir: DataDir = None,
    directory: Directory = None,
    verbose: Verbose = 0,  # noqa: ARG001 - read by `guarded`
) -> None:
    """List the alerts that fire, the worst first."""
    from ddcplay.ui.alerts_view import alert_fields, in_order, print_alerts, print_silences  # noqa: PLC0415 - late, for a quick start

    desk = _Desk(experiment or experiment_name, data_dir, directory)
    lines = in_order([line for path in desk.chosen for line in desk.lines(path, pending=everything)])
    if as_json:
        print_json([alert_fields(line) for line in lines])
        return
    console = out_console()
    print_alerts(console, lines, desk.now, several=len(desk.chosen) > 1)
    if everything:
        print_silences(console, desk.silences(), desk.now)


@guarded
def ack_command(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The alert's name; * and ? stand for others.")],
    *,
    experiment: Experiment = None,
    host: Annotated[str | None, typer.Option("--host", help="Only on this host (or glob).")] = None,
    key: Annotated[str | None, typer.Option("--key", help="Only of this row, such as C: (or glob).")] = None,
    as_json: AsJson = False,
    data_dir: DataDir = None,
    directory: Directory = None,
    verbose: Verbose = 0,  # noqa: ARG001 - read by `guarded`
) -> None:
    """Take alerts: no reminders until they resolve.

    Exit code 2 when none of them fires.
    """
    from ddcplay.errors import UsageError  # noqa: PLC0415 - as above
    from ddcplay.store import notes  # noqa: PLC0415 - as above
    from ddcplay.ui.alerts_view import alert_fields, identity_words, taken_words  # noqa: PLC0415 - as above

    desk = _Desk(experiment, data_dir, directory)
    firing = [(path, line) for path in desk.chosen for line in desk.lines(path, pending=False)]
    wanted = {"name": name, "host": host, "key": key}
    taken = [(path, line) for path, line in firing if _is_meant(line, wanted)]
    if not taken:
        known = ", ".join(dict.fromkeys(identity_words(line.alert) for _, line in firing[:10]))
        words = " ".join(f"{what} {value!r}" for what, value in wanted.items() if value is not None)
        raise UsageError(f"no alert of {words} fires", f"firing: {known}" if known else "nothing fires")
    who = _user()
    for path, line in taken:
        notes.acknowledge(path, desk.url, line.alert.identity, desk.now, who)
    lines = [line for _, line in taken]
    if as_json:
        print_json([{**alert_fields(line), "acknowledged": True} for line in lines])
    else:
        typer.echo(taken_words(lines))


@guarded
def silence_command(
    matchers: Annotated[
        list[str] | None,
        typer.Argument(metavar="KEY=GLOB...", help="name, host, key, severity or group; all must match."),
    ] = None,
    *,
    experiment: Experiment = None,
    duration: Annotated[str | None, typer.Option("--for", help="How long, such as 2h or 3d.")] = None,
    comment: Annotated[str, typer.Option("--comment", help="Why, for those who wonder later.")] = "",
    end: Annotated[int | None, typer.Option("--end", metavar="ID", help="End this silence now.")] = None,
    listed: Annotated[bool, typer.Option("--list", help="List silences.")] = False,
    as_json: AsJson = False,
    data_dir: DataDir = None,
    directory: Directory = None,
    verbose: Verbose = 0,  # noqa: ARG001 - read by `guarded`
) -> None:
    """Keep alerts quiet for a while; what still fires afterwards is told then.

    \b
    ddcplay alerts silence name=low_disk host=pc* --for 2h --comment "disks are being swapped"
    ddcplay alerts silence --list
    ddcplay alerts silence --end 3
    """
    from ddcplay.errors import UsageError  # noqa: PLC0415 - as above
    from ddcplay.store import notes  # noqa: PLC0415 - as above
    from ddcplay.ui.alerts_view import covered_words, print_silences, silence_fields  # noqa: PLC0415 - as above

    if sum((bool(matchers), end is not None, listed)) != 1:
        raise UsageError(
            "say what to silence, or give --list, or --end ID",
            "for example:  ddcplay alerts silence name=low_disk host=pc* --for 2h",
        )
    desk = _Desk(experiment, data_dir, directory)
    if listed:
        shown = desk.silences()
    elif end is not None:
        path = desk.only()
        shown = [(path.name, notes.end_silence(path, desk.url, end, desk.now))]
    else:
        silence = _silence(matchers or (), duration, comment, desk.now)
        shown = [
            (path.name, _numbered(silence, notes.add_silence(path, desk.url, silence)))
            for path in desk.chosen
        ]
    if as_json:
        print_json([silence_fields(*each) for each in shown])
    elif shown:
        print_silences(out_console(), shown, desk.now)
    else:
        typer.echo("nothing is silenced")
    if matchers and not as_json:
        # A glob with a slip in it silences nothing, and looks just like one without.
        typer.echo(covered_words([line for path in desk.chosen for line in desk.covered(path, shown[0][1])]))


class _Desk:
    """The experiments a command is about, as of one moment.

    Args:
        experiment: as the user named it.
        data_dir: of the command line.
        directory: of the command line.
    """

    def __init__(self, experiment: str | None, data_dir: Path | None, directory: Path | None) -> None:
        from ddcplay.cli.experiments import choose_experiments, read_settings  # noqa: PLC0415 - as above
        from ddcplay.engine.database import database_url  # noqa: PLC0415 - as above
        from ddcplay.units import SystemClock  # noqa: PLC0415 - as above

        settings = read_settings(directory, data_dir)
        self.url = database_url(settings)
        self.chosen = choose_experiments(experiment, settings)
        self.now = SystemClock().now()
        self._directory = directory

    def only(self) -> Path:
        """Return the one experiment that is meant.

        Raises:
            UsageError: a playbook has several.
        """
        from ddcplay.errors import UsageError  # noqa: PLC0415 - as above

        if len(self.chosen) != 1:
            names = ", ".join(path.name for path in self.chosen)
            raise UsageError("numbers of silences belong to one experiment", f"name it with -E: {names}")
        return self.chosen[0]

    def lines(self, path: Path, *, pending: bool) -> list[AlertLine]:
        """Return an experiment's alerts that fire, and those that are about to."""
        from ddcplay.alerting.book import NOTE_MEMBER, groups_of  # noqa: PLC0415 - as above
        from ddcplay.alerting.silence import covering  # noqa: PLC0415 - as above
        from ddcplay.model.alert import Status  # noqa: PLC0415 - as above
        from ddcplay.store.queries import open_reader  # noqa: PLC0415 - as above
        from ddcplay.ui.alerts_view import AlertLine  # noqa: PLC0415 - as above

        with open_reader(path, self.url) as reader:
            alerts, silences, taken = reader.alerts(), reader.silences(self.now), reader.acknowledged()
        by_group = any(key == "group" for silence in silences for key, _ in silence.matchers)
        groups = self._groups() if by_group else {}
        found = []
        for alert in alerts:
            status, fired_at = alert.state.status, alert.state.fired_at
            if status is Status.OK or (status is Status.PENDING and not pending):
                continue
            if alert.state.note == NOTE_MEMBER:  # a host's part in a rule that counts
                continue
            at = taken.get(alert.identity)
            acknowledged = alert.state.acknowledged or (
                at is not None and fired_at is not None and at >= fired_at
            )
            about = groups_of(alert, groups)
            silence = covering(silences, alert.identity, alert.severity, about, self.now)
            found.append(AlertLine(alert, acknowledged, silence))
        return found

    def covered(self, path: Path, silence: Silence) -> list[AlertLine]:
        """Return an experiment's alerts that fire and that a silence covers."""
        from ddcplay.alerting.book import groups_of  # noqa: PLC0415 - as above
        from ddcplay.alerting.silence import covers  # noqa: PLC0415 - as above

        groups = self._groups() if any(key == "group" for key, _ in silence.matchers) else {}
        return [
            line
            for line in self.lines(path, pending=False)
            if covers(
                silence, line.alert.identity, line.alert.severity, groups_of(line.alert, groups), self.now
            )
        ]

    def silences(self) -> list[tuple[str, Silence]]:
        """Return the silences of all chosen experiments that are not over."""
        from ddcplay.store.queries import open_reader  # noqa: PLC0415 - as above

        found = []
        for path in self.chosen:
            with open_reader(path, self.url) as reader:
                found += [(path.name, silence) for silence in reader.silences(self.now)]
        return found

    def _groups(self) -> dict[str, tuple[str, ...]]:
        """Return host → groups; an inventory that cannot be read must not hide alerts."""
        from ddcplay import app  # noqa: PLC0415 - as above
        from ddcplay.cli.arguments import make_options, warn  # noqa: PLC0415 - as above
        from ddcplay.errors import DdcplayError  # noqa: PLC0415 - as above

        try:
            inventory, _ = app.load_inventory(make_options(directory=self._directory))
        except DdcplayError as error:
            warn([f"silences by group are not shown, the inventory cannot be read: {error.message}"])
            return {}
        return {name: host.groups for name, host in inventory.hosts.items()}


def _is_meant(line: AlertLine, wanted: dict[str, str | None]) -> bool:
    identity = line.alert.identity
    found = {"name": identity.name, "host": identity.host, "key": identity.key}
    return all(
        glob is None or found[what] == glob or fnmatchcase(found[what].casefold(), glob.casefold())
        for what, glob in wanted.items()
    )


def _silence(words: Sequence[str], duration: str | None, comment: str, now: float) -> Silence:
    from ddcplay.alerting.silence import parse_wish  # noqa: PLC0415 - as above
    from ddcplay.errors import UsageError  # noqa: PLC0415 - as above
    from ddcplay.model.alert import Silence  # noqa: PLC0415 - as above
    from ddcplay.units import parse_duration  # noqa: PLC0415 - as above

    wish = parse_wish(words)
    try:
        for_s = wish.for_s if duration is None else parse_duration(duration)
    except ValueError as error:
        raise UsageError(f"--for {duration}: {error}") from None
    if not for_s:
        raise UsageError("a silence must end some time", "say how long:  --for 2h")
    return Silence(0, wish.matchers, now, now + for_s, comment, _user())


def _numbered(silence: Silence, number: int) -> Silence:
    from dataclasses import replace  # noqa: PLC0415 - as above

    return replace(silence, id=number)


def _user() -> str:
    import getpass  # noqa: PLC0415 - as above

    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):  # a container without a name for its user
        return ""
