"""Commands that look before anything is run: plan, check, ping, probe, inventory."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from ddcplay.cli.arguments import (
    AsJson,
    DataDir,
    Directory,
    ExtraVars,
    InventoryPaths,
    Limit,
    SkipTags,
    Tags,
    Verbose,
    make_options,
    out_console,
    print_json,
    warn,
)
from ddcplay.cli.guard import guarded

if TYPE_CHECKING:
    from ddcplay.model.inventory import Inventory
    from ddcplay.model.plan import ProbeSpec
    from ddcplay.model.playbook import FilterEntry, Play

Playbooks = Annotated[
    list[str],
    typer.Argument(metavar="PLAYBOOK...", help="Files; also found under playbooks/, .yml may be left out."),
]
PatternArgument = Annotated[
    str, typer.Argument(metavar="PATTERN", help="Hosts, as in Ansible: labs:!maintenance.")
]


@guarded
def plan_command(
    playbooks: Playbooks,
    *,
    inventory: InventoryPaths = None,
    limit: Limit = None,
    tags: Tags = None,
    skip_tags: SkipTags = None,
    extra_vars: ExtraVars = None,
    as_json: AsJson = False,
    directory: Directory = None,
    verbose: Verbose = 0,
) -> None:
    """Show what a run would do.

    Every probe per host, word for word as the target will log it. Nothing is sent, no secret is needed.
    """
    from ddcplay import app  # noqa: PLC0415 - commands import what they need when they run
    from ddcplay.ui.plan_view import plan_fields, print_plan  # noqa: PLC0415 - same

    options = make_options(
        directory=directory,
        inventory=inventory,
        limit=limit,
        tags=tags,
        skip_tags=skip_tags,
        extra_vars=extra_vars,
    )
    prepared = app.prepare(playbooks, options)
    warn(prepared.warnings)
    if as_json:
        print_json(
            [
                plan_fields(item.play.name, item.plan, command_line, chains=_chains(item.play))
                for item in prepared.plays
            ]
        )
        return
    console = out_console()
    for item in prepared.plays:
        chains = _chains(item.play)
        print_plan(console, item.play.name, item.plan, command_line, chains=chains, full=verbose > 0)


def _chains(play: Play) -> dict[str, tuple[FilterEntry, ...]]:
    return {probe.name: probe.filters for probe in play.probes if probe.filters}


@guarded
def check_command(
    playbooks: Playbooks,
    *,
    inventory: InventoryPaths = None,
    limit: Limit = None,
    extra_vars: ExtraVars = None,
    directory: Directory = None,
    verbose: Verbose = 0,
) -> None:
    """Look for mistakes in playbooks and inventory.

    Renders every probe for every host; nothing is contacted.
    Exit code 0 when all is well (warnings are told), 2 when something is wrong.
    """
    from ddcplay import app  # noqa: PLC0415 - as above
    from ddcplay.cli.volume import volume_lines  # noqa: PLC0415 - as above
    from ddcplay.ui.chain_view import chain_lines  # noqa: PLC0415 - as above
    from ddcplay.ui.safe_text import safe_text  # noqa: PLC0415 - as above
    from ddcplay.ui.words import plural  # noqa: PLC0415 - as above

    options = make_options(directory=directory, inventory=inventory, limit=limit, extra_vars=extra_vars)
    prepared = app.prepare(playbooks, options)
    warn(prepared.warnings)
    hosts = {host.host for item in prepared.plays for host in item.plan.hosts}
    probes = sum(len(item.plan.probe_names) for item in prepared.plays)
    counts = (plural(len(prepared.plays), "play"), plural(len(hosts), "host"), plural(probes, "probe"))
    typer.echo(f"fine: {', '.join(counts)}")
    for line in volume_lines(prepared):
        typer.echo(line)
    if verbose:
        for item in prepared.plays:
            about = f"{plural(len(item.plan.hosts), 'host')}, {', '.join(item.plan.probe_names)}"
            typer.echo(f"  {item.playbook.path}: {item.play.name} ({item.plan.experiment}): {about}")
            for probe, chain in _chains(item.play).items():
                typer.echo(f"    filters of {probe}:")
                for line in chain_lines(chain):
                    typer.echo(f"      {safe_text(line)}")


@guarded
def ping_command(
    pattern: PatternArgument = "all",
    *,
    login: Annotated[
        bool, typer.Option("--login", help="Log on, too (connect, authenticate, close).")
    ] = False,
    inventory: InventoryPaths = None,
    limit: Limit = None,
    extra_vars: ExtraVars = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON line per host.")] = False,
    directory: Directory = None,
    verbose: Verbose = 0,
) -> int:
    """Sweep hosts: who is on, who answers.

    Tells which machines are on and whose WinRM port is open. Exit code 4 when no host answered.
    """
    from ddcplay import app  # noqa: PLC0415 - as above
    from ddcplay.ui.json_lines import dump_line  # noqa: PLC0415 - as above
    from ddcplay.ui.sweep_view import ping_fields, print_ping  # noqa: PLC0415 - as above

    options = make_options(directory=directory, inventory=inventory, limit=limit, extra_vars=extra_vars)
    rows: list[app.PingRow] = []

    def take(row: app.PingRow) -> None:
        rows.append(row)
        if as_json:
            sys.stdout.buffer.write(dump_line(ping_fields(row)))
            sys.stdout.buffer.flush()

    answered = app.ping(pattern, options, login=login, on_row=take)
    if not as_json:
        print_ping(out_console(), rows, login=login, full=verbose > 0)
    return 0 if answered else 4


@guarded
def probe_command(
    pattern: PatternArgument,
    *,
    command: Annotated[str | None, typer.Option("-c", "--command", help="A cmd.exe line.")] = None,
    powershell: Annotated[str | None, typer.Option("-p", "--powershell", help="PowerShell text.")] = None,
    wql: Annotated[str | None, typer.Option("-w", "--wql", help="A WQL query; starts no process.")] = None,
    namespace: Annotated[
        str | None, typer.Option("--namespace", help="WMI namespace of -w; default root/cimv2.")
    ] = None,
    inventory: InventoryPaths = None,
    limit: Limit = None,
    extra_vars: ExtraVars = None,
    timeout: Annotated[str, typer.Option("--timeout", help="Per host, such as 30s or 2m.")] = "60s",
    concurrency: Annotated[
        int | None, typer.Option("-f", "--concurrency", min=1, help="Visits in flight.")
    ] = None,
    save: Annotated[
        str | None, typer.Option("--save", metavar="EXPERIMENT", help="Archive results under this name.")
    ] = None,
    as_csv: Annotated[
        bool, typer.Option("--csv", help="CSV on standard output: one row per host, with -w per row found.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON line per host on standard output.")
    ] = False,
    data_dir: DataDir = None,
    directory: Directory = None,
    verbose: Verbose = 0,
) -> int:
    """Run one command, script or query, now.

    Equal answers are shown together, with the hosts that gave them; rows of -w as one table. Nothing is
    archived without --save.
    """
    from ddcplay import app  # noqa: PLC0415 - as above
    from ddcplay.cli.run import watching  # noqa: PLC0415 - as above
    from ddcplay.engine.stop import StopRequest  # noqa: PLC0415 - as above
    from ddcplay.model.result import Outcome  # noqa: PLC0415 - as above
    from ddcplay.ui import answers, rows  # noqa: PLC0415 - as above

    kind, text = _what_to_run(
        {"command": command, "powershell": powershell, "wmi": wql},
        namespace,
        one_format=not (as_csv and as_json),
    )
    options = make_options(
        directory=directory,
        inventory=inventory,
        limit=limit,
        extra_vars=extra_vars,
        data_dir=data_dir,
        concurrency=concurrency,
    )
    stop = StopRequest()
    with watching(stop, as_json=as_json, verbose=verbose, quiet=not as_json) as watch:
        results = app.probe(
            pattern,
            kind,
            text,
            options,
            watch.observers,
            stop,
            timeout_s=_seconds(timeout),
            save=save,
            more={} if namespace is None else {"namespace": namespace},
        )
    if watch.reader_gone.is_set():
        return 0
    if as_csv:
        (rows if kind == "wmi" else answers).write_csv(sys.stdout, results)
    elif not as_json:
        show = rows.print_rows if kind == "wmi" else answers.print_answers
        show(out_console(), results, full=verbose > 0)
    if stop.finish.is_set():
        return 0 if stop.by_service_manager else 130
    return 3 if any(result.outcome is Outcome.FAILED for result in results) else 0


def inventory_program() -> typer.Typer:
    """Return `ddcplay inventory` with its commands."""
    program = typer.Typer(help="Look at the inventory.", no_args_is_help=True)
    program.command("list")(_inventory_list)
    program.command("host")(_inventory_host)
    program.command("graph")(_inventory_graph)
    return program


@guarded
def _inventory_list(
    pattern: PatternArgument = "all",
    inventory: InventoryPaths = None,
    limit: Limit = None,
    as_json: Annotated[bool, typer.Option("--json", help="The shape of ansible-inventory --list.")] = False,
    directory: Directory = None,
    verbose: Verbose = 0,  # noqa: ARG001 - read by `guarded`
) -> None:
    """List hosts with their room and address."""
    from ddcplay import app  # noqa: PLC0415 - as above
    from ddcplay.config.inventory_views import inventory_list  # noqa: PLC0415 - as above
    from ddcplay.ui.inventory_view import print_hosts  # noqa: PLC0415 - as above

    options = make_options(directory=directory, inventory=inventory, limit=limit)
    found, warnings = app.load_inventory(options)
    warn(warnings)
    if as_json and pattern == "all" and limit is None:
        print_json(inventory_list(found))
        return
    hosts = app.select(found, pattern, options)
    if as_json:
        values = host_values(found)
        print_json({host.name: values.get(host.name, {}) for host in hosts})
        return
    print_hosts(out_console(), found, hosts)


@guarded
def _inventory_host(
    name: Annotated[str, typer.Argument(metavar="HOST")],
    inventory: InventoryPaths = None,
    as_json: AsJson = False,
    directory: Directory = None,
    verbose: Verbose = 0,  # noqa: ARG001 - as above
) -> None:
    """Show one host's groups and variables; secrets stay references."""
    from ddcplay import app  # noqa: PLC0415 - as above
    from ddcplay.ui.inventory_view import print_host  # noqa: PLC0415 - as above

    options = make_options(directory=directory, inventory=inventory)
    found, warnings = app.load_inventory(options)
    warn(warnings)
    hosts = [found.hosts[name]] if name in found.hosts else list(app.select(found, name, options))
    values = host_values(found)
    if as_json:
        chosen = {host.name: values.get(host.name, {}) for host in hosts}
        print_json(chosen.get(name, chosen))
        return
    for host in hosts:
        print_host(out_console(), host, values.get(host.name, {}))


@guarded
def _inventory_graph(
    inventory: InventoryPaths = None,
    directory: Directory = None,
    verbose: Verbose = 0,  # noqa: ARG001 - as above
) -> None:
    """Draw the tree of groups and hosts."""
    from ddcplay import app  # noqa: PLC0415 - as above
    from ddcplay.config.inventory_views import inventory_graph  # noqa: PLC0415 - as above
    from ddcplay.ui.safe_text import safe_text  # noqa: PLC0415 - as above

    found, warnings = app.load_inventory(make_options(directory=directory, inventory=inventory))
    warn(warnings)
    typer.echo(safe_text(inventory_graph(found), block=True).rstrip("\n"))


def host_values(inventory: Inventory) -> Mapping[str, Mapping[str, object]]:
    """Return all hosts' variables ready to print: secrets as references."""
    from ddcplay.config.inventory_views import inventory_list  # noqa: PLC0415 - as above

    shown = cast("dict[str, Any]", inventory_list(inventory))
    values: Mapping[str, Mapping[str, object]] = shown["_meta"]["hostvars"]
    return values


def command_line(spec: ProbeSpec) -> str:
    """Return the exact command line of a probe, as its kind writes it."""
    from ddcplay import plugins  # noqa: PLC0415 - as above
    from ddcplay.probing.base import Probe  # noqa: PLC0415 - as above

    kind = cast("type[Probe]", plugins.load("ddcplay.probes", spec.kind))
    return kind().command_line(spec)


def _what_to_run(
    asked: Mapping[str, str | None], namespace: str | None, *, one_format: bool
) -> tuple[str, str]:
    from ddcplay.errors import UsageError  # noqa: PLC0415 - as above

    if not one_format:
        raise UsageError("--csv and --json exclude each other", "choose one")
    given = [(kind, text) for kind, text in asked.items() if text is not None]
    if len(given) != 1:
        raise UsageError("probe runs exactly one thing", "write -c COMMAND, -p POWERSHELL or -w WQL")
    if namespace is not None and given[0][0] != "wmi":
        raise UsageError("--namespace goes with -w alone", "leave it out, or write -w WQL")
    return given[0]


def _seconds(text: str) -> float:
    from ddcplay.errors import UsageError  # noqa: PLC0415 - as above
    from ddcplay.units import parse_duration  # noqa: PLC0415 - as above

    try:
        seconds = parse_duration(text if not text.replace(".", "", 1).isdigit() else float(text))
    except ValueError as error:
        raise UsageError(f"--timeout: {error}") from error
    if seconds <= 0:
        raise UsageError("--timeout must be above 0")
    return seconds
