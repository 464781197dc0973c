"""The lab without a network: PCs that answer at the level of connections, on whatever clock a visit brings.

For virtual time: `ddcplay simulate` asks these where `run` asks real PCs. A visit sees a PC as it was at the
moment it connected; what it then asks takes time, but does not show that time. Every answer is a function of
seed, host and moment, so a run that is taken up again gets the same ones.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache

from ddcplay.errors import FaultError
from ddcplay.lab import wmi, wmi_drives, wql
from ddcplay.lab.cim import client_value
from ddcplay.lab.machine import Machine
from ddcplay.lab.timetable import chance
from ddcplay.lab.truth import TruthLog
from ddcplay.lab.virtual_console import VirtualConsole
from ddcplay.model.plan import Target
from ddcplay.model.playbook import PingPolicy
from ddcplay.model.probe_file import ProbeFile
from ddcplay.model.result import ProbeOutput, Reason
from ddcplay.transport.base import MAX_ROWS_BYTES, Command, Connection, Placement
from ddcplay.transport.evidence import HostState, SweepAnswer
from ddcplay.units import Deadline

PORT = 5985
_CLOSED_SHARE = 0.012
"""PCs on which somebody switched WinRM off: on, but not to be collected."""
_RESET_SHARE = 0.0005
"""Visits that meet a connection cut off by the PC: it was being shut down, or the switch was."""
_ROUND_TRIP_S = 0.003
_LOGIN_S = 0.035
_QUERY_S = 0.012
_SLOW_S = {"win32_processor": 0.05, "win32_product": 4.0, "win32_quickfixengineering": 0.8}

_FOR_EVER_S = 1e9
_LASTS_S = {
    "win32_computersystemproduct": _FOR_EVER_S,
    "win32_diskdrive": _FOR_EVER_S,
    "win32_networkadapterconfiguration": _FOR_EVER_S,
    "win32_processor": _FOR_EVER_S,
    "msstoragedriver_failurepredictstatus": _FOR_EVER_S,
    "msft_physicaldisk": _FOR_EVER_S,
    "msstoragedriver_failurepredictdata": 4 * 3600.0,
    "msft_storagereliabilitycounter": 4 * 3600.0,
}
"""Classes that say the same for so many seconds: they are as they were at the last full multiple."""

Rows = tuple[Mapping[str, object], ...]
Lasting = dict[tuple[str, str], tuple[float, Rows | FaultError]]
"""Answers of one PC by namespace and query: which multiple they are of, and what they are."""


class VirtualFleet:
    """A fleet of scripted PCs; a `Transport`, and what a sweep of them would find.

    Args:
        seed: every fact follows from it.
        rooms: host → room, for the timetable.
        truth: told what really was, None for nobody.
    """

    def __init__(self, seed: int, rooms: Mapping[str, str], truth: TruthLog | None = None) -> None:
        self._seed = seed
        self._rooms = rooms
        self._truth = truth
        self._machines: dict[str, Machine] = {}
        self._lasting: dict[str, Lasting] = {}

    def machine(self, target: Target) -> Machine:
        """Return the PC behind a host of the inventory."""
        found = self._machines.get(target.host)
        if found is None:
            room = self._rooms.get(target.host, "")
            found = Machine(self._seed, target.host, room, address=target.address)
            self._machines[target.host] = found
        return found

    def is_closed(self, host: str) -> bool:
        """Say whether WinRM of a host is switched off for good."""
        return chance(self._seed, host, "closed") < _CLOSED_SHARE

    def answers(
        self, targets: Sequence[Target], policy: PingPolicy, at: float
    ) -> list[tuple[float, SweepAnswer]]:
        """Return what a sweep that begins at a Unix time finds: (seconds until it is known, answer)."""
        silent_s = policy.attempts * policy.timeout_s
        found: list[tuple[float, SweepAnswer]] = []
        off: list[str] = []
        closed: list[str] = []
        for target in targets:
            host, port = target.host, target.port or PORT
            if not self.machine(target).is_on(at):
                off.append(host)
                detail = f"no answer from {target.address} within {silent_s:g} s"
                answer = SweepAnswer(host, HostState.NO_ANSWER, False, target.address, (), detail, silent_s)  # noqa: FBT003 - the answer: off
                found.append((silent_s, answer))
            elif self.is_closed(host):
                closed.append(host)
                detail = f"{target.address} refuses port {port}"
                state = HostState.PORT_CLOSED
                answer = SweepAnswer(host, state, True, target.address, (), detail, _ROUND_TRIP_S)  # noqa: FBT003 - on
                found.append((_ROUND_TRIP_S, answer))
            else:
                answer = SweepAnswer(host, HostState.UP, True, target.address, (port,), "", _ROUND_TRIP_S)  # noqa: FBT003 - on
                found.append((_ROUND_TRIP_S, answer))
        if self._truth is not None:
            self._truth.sweep(at, off, closed, len(targets))
        return found

    def connect(self, target: Target, deadline: Deadline, open_ports: tuple[int, ...] = ()) -> Connection:
        """Connect to a PC that is on.

        Raises:
            FaultError: it is off by now, or cuts the connection.
        """
        del open_ports  # every PC has the one port
        machine, at = self.machine(target), deadline.clock.now()
        if not machine.is_on(at):
            if self._truth is not None:
                self._truth.visit(at, machine)
            deadline.clock.sleep(deadline.remaining_s())
            raise FaultError(
                "no_answer", f"no answer from {target.address}", "the PC was switched off after the sweep"
            )
        draw = chance(self._seed, target.host, at, "visit")
        fault = "transport" if draw < _RESET_SHARE else ""
        if self._truth is not None:
            self._truth.visit(at, machine, fault)
        deadline.clock.sleep(_LOGIN_S * (0.6 + draw))
        if fault:
            hint = "the PC may be shutting down; the next iteration tries again"
            raise FaultError("transport", f"{target.address} closed the connection", hint)
        lasting = self._lasting.setdefault(target.host, {})
        return VirtualConnection(machine, at, 0.6 + draw, lasting)


class VirtualConnection:
    """A connection to one PC as it was at one moment.

    Args:
        machine: the PC.
        at: the moment, UTC Unix seconds.
        pace: how slow it is, 1 for usual.
        lasting: answers of earlier visits that may still hold; this visit's are added.
    """

    def __init__(self, machine: Machine, at: float, pace: float, lasting: Lasting | None = None) -> None:
        self._machine = machine
        self._at = at
        self._pace = pace
        self._facts: dict[str, object] = {
            "scheme": "http",
            "port": PORT,
            "authentication": "simulated",
            "round_trips": 0,
        }
        self._trips = 0
        self._console: VirtualConsole | None = None
        self._lasting = {} if lasting is None else lasting

    def run(self, command: Command, deadline: Deadline) -> ProbeOutput:
        """Run a command line as the lab's cmd.exe does."""
        self._count(5)
        if self._console is None:
            self._console = VirtualConsole(self._machine, self._at)
        deadline.clock.sleep(0.09 * self._pace)  # a shell is created, and a process
        return self._console.run(command, deadline)

    def query(
        self,
        wql_text: str,
        deadline: Deadline,
        namespace: str = "root/cimv2",
        *,
        max_bytes: int = MAX_ROWS_BYTES,
    ) -> Rows:
        """Answer a query.

        Raises:
            FaultError: no such namespace or class, no query, or the time is up.
        """
        del max_bytes  # what the PCs have is far below
        self._count(1)
        query = _parsed(wql_text)
        takes_s = (_ROUND_TRIP_S + _SLOW_S.get(query.name, _QUERY_S)) * self._pace
        left_s = deadline.remaining_s()
        deadline.clock.sleep(min(takes_s, left_s))
        if takes_s > left_s:
            raise FaultError("timeout", "the query did not answer in time", "raise the probe's timeout")
        return self._answered(namespace.replace("\\", "/"), wql_text, query)

    def _answered(self, namespace: str, text: str, query: wql.Query) -> Rows:
        """Answer, out of an earlier visit's answer where the class says the same for longer."""
        lasts_s = _LASTS_S.get(query.name)
        if lasts_s is None:
            return _answer(self._machine, self._at, namespace, query)
        moment = self._at // lasts_s
        known = self._lasting.get((namespace, text))
        if known is None or known[0] != moment:
            try:
                rows: Rows | FaultError = _answer(self._machine, moment * lasts_s, namespace, query)
            except FaultError as fault:
                rows = fault
            known = self._lasting[namespace, text] = (moment, rows)
        if isinstance(known[1], FaultError):
            raise FaultError(known[1].reason, known[1].message, known[1].hint)
        return known[1]

    def put(self, file: ProbeFile, shell: Command, deadline: Deadline) -> Placement:
        """Take no file: nothing of a file could run here."""
        del file, shell, deadline
        trouble = ProbeOutput(
            reason=Reason.UNSUPPORTED,
            detail="simulated PCs run no programs of yours",
            hint="simulate plays of w32probe, wmi and command",
        )
        return Placement("", "", trouble=trouble)

    def facts(self) -> Mapping[str, object]:
        """Tell what was chosen."""
        return self._facts

    def close(self) -> None:
        """Nothing is open."""

    def abort(self) -> None:
        """Nothing waits."""

    def _count(self, trips: int) -> None:
        self._trips += trips
        self._facts["round_trips"] = self._trips


@lru_cache(maxsize=1024)
def _parsed(text: str) -> wql.Query:
    try:
        query = wql.parse(text)
    except wql.WqlError as error:
        raise FaultError("wql", f"{error}: {text[:200]}", "correct the query") from None
    return replace(query, name=query.name.lower())


def _answer(machine: Machine, at: float, namespace: str, query: wql.Query) -> Rows:
    """Return the rows as a client reads them.

    Raises:
        FaultError: with reason `wql`.
    """
    if not wmi.has_namespace(machine, namespace):
        raise FaultError("wql", f"there is no namespace {namespace}", "correct namespace")
    try:
        rows = _rows(machine, at, namespace, query)
        if rows is None:
            raise FaultError("wql", f"there is no class {query.name} in {namespace}", "correct the query")
        if not rows or query.columns is None:
            return tuple({key: client_value(value) for key, value in row.items()} for row in rows)
        names = _spelt(query.columns, tuple(rows[0]))
        return tuple({name: client_value(row[name]) for name in names} for row in rows)
    except wmi_drives.NotSupportedError:
        raise FaultError("wql", f"no driver answers {query.name} (not supported)", "leave it out") from None
    except wql.WqlError as error:
        raise FaultError("wql", f"{error}", "correct the query") from None


def _rows(machine: Machine, at: float, namespace: str, query: wql.Query) -> list[wmi.Row] | None:
    """Return the instances that meet the condition, None without such a class."""
    same = wql.equality(query)
    if same == ("name", "explorer.exe") and query.name == "win32_process":
        return wmi.processes_named(machine, at, "explorer.exe")  # of some twenty that nobody asked for
    found = wmi.rows_of(machine, at, namespace, query.name)
    if found is None or not query.where or not found[1]:
        return None if found is None else found[1]
    column = {name.lower(): name for name in found[1][0]}.get(same[0]) if same else None
    if same and column:
        return [row for row in found[1] if wql.is_equal(row[column], same[1])]
    return [row for row in found[1] if query.matches(row)]


@lru_cache(maxsize=1024)
def _spelt(wanted: tuple[str, ...], known: tuple[str, ...]) -> tuple[str, ...]:
    """Return the columns as the class spells them."""
    spelt = {name.lower(): name for name in known}
    if any(column.lower() not in spelt for column in wanted):
        raise wql.WqlError("invalid query")
    return tuple(spelt[column.lower()] for column in wanted)
