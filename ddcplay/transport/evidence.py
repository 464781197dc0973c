"""What the sweep saw of a host and what follows from it: values and one pure decision, no sockets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum


class HostState(StrEnum):
    """What the sweep says about a host; all but `up` are also reasons of an attempt."""

    UP = "up"
    NO_ANSWER = "no_answer"
    PORT_CLOSED = "port_closed"
    NO_NAME = "no_name"


class Knock(StrEnum):
    """How one TCP port took a connect, the most telling answer first."""

    OPEN = "open"
    CLOSED = "closed"
    SILENT = "silent"
    UNREACHABLE = "unreachable"
    UNTRIED = "untried"


@dataclass(frozen=True, slots=True)
class SweepAnswer:
    """One host's answer, told once per sweep.

    Args:
        host: inventory name.
        state: up, no_answer, port_closed or no_name.
        on: whether the machine was seen switched on; None when nobody looked or could look.
        address: the IP address that answered (or was asked first), None without one.
        open_ports: what the transport may connect to, best first.
        detail: one line for a human; may hold text a target sent.
        elapsed_s: from the first look at this host to its answer, in seconds.
    """

    host: str
    state: HostState
    on: bool | None
    address: str | None
    open_ports: tuple[int, ...]
    detail: str
    elapsed_s: float


@dataclass(frozen=True, slots=True)
class Evidence:
    """Everything one sweep saw of one address of a host.

    Args:
        ports: port → answer, best port first; empty when TCP was not asked.
        echo: whether an ICMP echo came back; None when none was sent.
        winrm: port → what WS-Man Identify found wrong, "" when it was answered; None when not asked.
    """

    ports: Mapping[int, Knock] = field(default_factory=dict)
    echo: bool | None = None
    winrm: Mapping[int, str] | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """The part of a `SweepAnswer` that follows from the evidence."""

    state: HostState
    on: bool | None
    open_ports: tuple[int, ...]
    detail: str


def decide(seen: Evidence) -> Verdict:
    """Say what the evidence means.

    A machine that is on without answering on its WinRM port is `port_closed`, whether it refused the
    connect or only answered a ping: that is somebody's to-do list, not an absence (design §2).
    """
    opened = [port for port, knock in seen.ports.items() if knock is Knock.OPEN]
    if opened and seen.winrm is not None:
        return _identified(opened, seen.winrm)
    if opened:
        return Verdict(HostState.UP, True, tuple(opened), f"port {_list(opened)} open")  # noqa: FBT003 - `on`
    if not seen.ports and seen.echo:
        return Verdict(HostState.UP, True, (), "answers ping")  # noqa: FBT003 - `on`
    closed = [port for port, knock in seen.ports.items() if knock is Knock.CLOSED]
    if closed:
        return _not_collectable(f"port {_list(closed)} refused: WinRM is off, or still starting")
    if seen.echo:
        return _not_collectable(
            f"answers ping, but not on port {_list(list(seen.ports))}: WinRM is off, or a firewall drops it"
        )
    return _nothing(seen)


def _identified(opened: Sequence[int], winrm: Mapping[int, str]) -> Verdict:
    proven = tuple(port for port in opened if winrm.get(port) == "")
    if proven:
        return Verdict(HostState.UP, True, proven, f"WinRM answers on port {_list(proven)}")  # noqa: FBT003 - `on`
    troubles = "; ".join(f"port {port} is open, but {winrm.get(port, 'was not asked')}" for port in opened)
    return _not_collectable(troubles)


def _not_collectable(detail: str) -> Verdict:
    return Verdict(HostState.PORT_CLOSED, True, (), detail)  # noqa: FBT003 - `on`


def _nothing(seen: Evidence) -> Verdict:
    knocks = set(seen.ports.values())
    on: bool | None = False
    if not seen.ports:
        detail = "no answer to ping"
    elif knocks == {Knock.UNTRIED}:
        on, detail = (
            None,
            "not looked at: this machine could not open a socket (files, memory or local rules)",
        )
    elif Knock.SILENT not in knocks:
        detail = "unreachable: the network says there is no way to it"
    else:
        detail = f"no answer on port {_list(list(seen.ports))}"
        detail += " nor to ping" if seen.echo is False else ""
    return Verdict(HostState.NO_ANSWER, on, (), detail)


def _list(ports: Sequence[int]) -> str:
    return ", ".join(str(port) for port in ports)
