"""What `ddcplay plan` shows: every rendered probe per host, word for word as the target will log it.

Hosts whose plans are equal share one block: a classroom of 16 equal PCs is one block, not sixteen.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
from types import MappingProxyType

from rich.console import Console
from rich.text import Text

from ddcplay.model.inventory import SecretRef
from ddcplay.model.plan import HostPlan, Plan, ProbeSpec, Target
from ddcplay.model.playbook import FilterEntry
from ddcplay.model.probe_file import OPTION as FILE_OPTION
from ddcplay.model.probe_file import ProbeFile
from ddcplay.ui.chain_view import chain_fields, chain_lines
from ddcplay.ui.safe_text import safe_text
from ddcplay.ui.tables import folded, indented
from ddcplay.ui.words import plural
from ddcplay.units import format_duration

CommandLine = Callable[[ProbeSpec], str]
"""Tells the exact command line of a probe; `cli` makes it from the plug-ins."""

Chains = Mapping[str, tuple[FilterEntry, ...]]
"""Probe → its filter chain."""

_NO_CHAINS: Chains = MappingProxyType({})
_ADDRESSES_SHOWN = 4
_LINES_SHOWN = 20


def print_plan(
    console: Console,
    play: str,
    plan: Plan,
    command_line: CommandLine,
    *,
    chains: Chains = _NO_CHAINS,
    full: bool = False,
) -> None:
    """Print one play's plan.

    Args:
        console: where to.
        play: the play's name.
        plan: rendered for every host.
        command_line: see `CommandLine`.
        chains: what is done with each probe's results.
        full: all lines of long scripts, all addresses, whole options of filters.
    """
    head = Text(safe_text(play), style="bold")
    head.append(
        f"  experiment {safe_text(plan.experiment)} · {plural(len(plan.hosts), 'host')}", style="not bold"
    )
    console.print(head)
    for hosts in equal_plans(plan):
        _print_block(console, hosts, command_line, full=full)
    for probe in plan.probe_names:
        _print_chain(console, probe, chains.get(probe, ()), full=full)
    console.print()


def _print_chain(console: Console, probe: str, chain: tuple[FilterEntry, ...], *, full: bool) -> None:
    if not chain:
        return
    console.print(Text(f"filters of {safe_text(probe)}", style="bold"))
    for line in chain_lines(chain, full=full):
        console.print(indented(Text(safe_text(line), style="dim", overflow="fold"), 2))


def equal_plans(plan: Plan) -> list[tuple[HostPlan, ...]]:
    """Group hosts that differ in name, address and port only, in inventory order."""
    blocks: dict[str, list[HostPlan]] = {}
    for host in plan.hosts:
        key = repr((host.probes, host.skips, _target_words(host.target)))
        blocks.setdefault(key, []).append(host)
    return [tuple(block) for block in blocks.values()]


def plan_fields(
    play: str, plan: Plan, command_line: CommandLine, *, chains: Chains = _NO_CHAINS
) -> dict[str, object]:
    """Return a plan as JSON-ready values; secrets stay references."""
    return {
        "play": play,
        "experiment": plan.experiment,
        "probes": list(plan.probe_names),
        "filters": {probe: chain_fields(chains[probe]) for probe in plan.probe_names if probe in chains},
        "hosts": [
            {
                "host": host.host,
                "groups": list(host.groups),
                "room": host.room,
                "target": _target_fields(host.target),
                "probes": [_probe_fields(spec, command_line) for spec in host.probes],
                "skips": [
                    {"probe": skip.probe, "reason": str(skip.reason), "detail": skip.detail}
                    for skip in host.skips
                ],
            }
            for host in plan.hosts
        ],
        "warnings": list(plan.warnings),
    }


def _print_block(
    console: Console, hosts: tuple[HostPlan, ...], command_line: CommandLine, *, full: bool
) -> None:
    first = hosts[0]
    console.print(Text(folded([host.host for host in hosts], None), style="bold cyan", overflow="fold"))
    words = f"{_addresses(hosts, full=full)}{_target_words(first.target)}"
    console.print(indented(Text(safe_text(words), style="dim", overflow="fold"), 2))
    for spec in first.probes:
        console.print(indented(Text(f"{safe_text(spec.name)}  {_limits(spec)}", style="bold"), 2))
        file = spec.options.get(FILE_OPTION)
        if isinstance(file, ProbeFile):
            about = f"{file.path} · {file.size:,} bytes · sha256 {file.sha256[:16]}… · cleanup {file.cleanup}"
            console.print(Text(f"    {safe_text(about)}", style="dim"), soft_wrap=True)
        lines = safe_text(command_line(spec), block=True).splitlines() or [""]
        shown = lines if full else lines[:_LINES_SHOWN]
        # soft_wrap: a command line that is copied from the screen must not hold line ends of ours.
        for line in shown:
            console.print(Text(f"    {line}", style="green"), soft_wrap=True)
        if len(shown) < len(lines):
            console.print(
                indented(Text(f"… {plural(len(lines) - len(shown), 'more line')} (-v)", style="dim"))
            )
    for skip in first.skips:
        about = f": {safe_text(skip.detail)}" if skip.detail else ""
        console.print(
            indented(Text(f"{safe_text(skip.probe)}  skipped, {skip.reason}{about}", style="cyan"), 2)
        )


def _addresses(hosts: tuple[HostPlan, ...], *, full: bool) -> str:
    several_ports = len({host.target.ports() for host in hosts}) > 1
    different = [
        f"{host.host}={_endpoint(host.target, with_port=several_ports)}"
        for host in hosts
        if several_ports or host.target.address != host.host
    ]
    if not different:
        return _ports(hosts[0].target)
    shown = different if full else different[:_ADDRESSES_SHOWN]
    more = f" … {len(different) - len(shown)} more" if len(shown) < len(different) else ""
    ports = "" if several_ports else _ports(hosts[0].target)
    return f"at {' '.join(shown)}{more} · {ports}"


def _endpoint(target: Target, *, with_port: bool) -> str:
    return f"{target.address}:{'/'.join(map(str, target.ports()))}" if with_port else target.address


def _ports(target: Target) -> str:
    return f"port {'/'.join(map(str, target.ports()))} · "


def _target_words(target: Target) -> str:
    words = [target.connection]
    if target.scheme:
        words.append(target.scheme)
    words.append(f"user {target.user}" if target.user else "user of this session")
    if target.password is not None:
        words.append(f"password {target.password}")
    words.append(f"auth {', '.join(target.auth) if target.auth else 'kerberos, else ntlm'}")
    if target.message_encryption != "auto":
        words.append(f"message encryption {target.message_encryption}")
    if not target.cert_validation:
        words.append("certificate not checked")
    return " · ".join(words)


def _limits(spec: ProbeSpec) -> str:
    words = [f"({spec.kind}", f"timeout {format_duration(spec.timeout_s)}"]
    if spec.ok_codes != (0,):
        words.append(f"ok_codes {', '.join(map(str, spec.ok_codes))}")
    if spec.retries:
        words.append(plural(spec.retries, "retry", "retries"))
    return ", ".join(words) + ")"


def _probe_fields(spec: ProbeSpec, command_line: CommandLine) -> dict[str, object]:
    left_out = {"body"}
    values = {
        item.name: _plain(getattr(spec, item.name)) for item in fields(spec) if item.name not in left_out
    }
    return {**values, "command_line": command_line(spec)}


def _target_fields(target: Target) -> dict[str, object]:
    return {item.name: _plain(getattr(target, item.name)) for item in fields(target)}


def _plain(value: object) -> object:
    match value:
        case SecretRef():
            return str(value)
        case bytes():
            return value.decode("utf-8", errors="replace")
        case Mapping():
            return {str(key): _plain(item) for key, item in value.items()}
        case tuple() | list():
            return [_plain(item) for item in value]
        case bool() | int() | float() | None:
            return value
        case _:
            return str(value)
