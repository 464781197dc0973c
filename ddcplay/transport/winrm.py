"""The WinRM transport: one connection per visit, every wait bounded, every trouble a `FaultError`.

`WinRMTransport.connect` chooses a place and logs on, `WinRMConnection` runs commands over it. Envelopes are
in `wsman`, sockets in `winrm_wire`, authentication in `winrm_auth` and `winrm_login`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ddcplay.errors import FaultError
from ddcplay.model.plan import Target
from ddcplay.model.probe_file import ProbeFile
from ddcplay.model.result import ProbeOutput, Reason
from ddcplay.transport.base import MAX_ROWS_BYTES, Command, Placement, SecretResolver
from ddcplay.transport.put import FileTransfer
from ddcplay.transport.smb import SmbAccess
from ddcplay.transport.winrm_auth import Endpoint, Method, TlsContexts, endpoints, method_for, url_of
from ddcplay.transport.winrm_channel import Channel
from ddcplay.transport.winrm_command import CommandRun
from ddcplay.transport.winrm_faults import MuteError, TlsFaultError, translated
from ddcplay.transport.winrm_http import WireAdapter
from ddcplay.transport.winrm_login import Login
from ddcplay.transport.winrm_query import Query
from ddcplay.transport.winrm_shells import Shells
from ddcplay.transport.winrm_wire import Wire
from ddcplay.transport.wsman import Envelopes, identify
from ddcplay.transport.wsman_read import read_identity
from ddcplay.units import Clock, Deadline

_CLOSE_S = 3.0
_FIRST_PLACE_SHARE = 0.5
"""Of the connect budget: a filtered 5986 must leave time for 5985."""


@dataclass(frozen=True, slots=True)
class Choice:
    """What was chosen for a connection."""

    endpoint: Endpoint
    method: Method
    url: str
    passed_over: tuple[str, ...]


class WinRMConnection:
    """An authenticated connection to one host, used by one thread (`abort` excepted).

    Args:
        target: where and how.
        choice: what was chosen and why.
        channel: the conversation, logged on.
        wire: its sockets.
        clock: where time comes from.
        smb: how to log on to the target's shares, None when there is no way.
    """

    def __init__(
        self,
        target: Target,
        choice: Choice,
        channel: Channel,
        wire: Wire,
        *,
        clock: Clock,
        smb: SmbAccess | None = None,
    ) -> None:
        self._choice = choice
        self._smb = smb
        self._files: list[str] = []
        self._channel = channel
        self._wire = wire
        self._clock = clock
        self._envelopes = Envelopes(choice.url)
        self._shells = Shells(channel, self._envelopes, target)

    def run(self, command: Command, deadline: Deadline) -> ProbeOutput:
        """Run one command to its end or to the deadline; see `Connection.run`."""
        if self._channel.lost:
            return ProbeOutput(
                reason=Reason.TRANSPORT,
                detail=f"the connection was lost before: {self._channel.lost}",
                hint="the next iteration connects anew",
                connection_lost=True,
            )
        return CommandRun(self._shells, command, deadline, self.query).run()

    def query(
        self,
        wql: str,
        deadline: Deadline,
        namespace: str = "root/cimv2",
        *,
        max_bytes: int = MAX_ROWS_BYTES,
    ) -> tuple[Mapping[str, object], ...]:
        """Run one WQL query over Enumerate and Pull; see `Connection.query`.

        Raises:
            RowsLimitError: there are more rows than `max_bytes` takes.
            FaultError: reason `wql`, `timeout`, `transport`, `quota`.
        """
        return Query(self._channel, self._envelopes, wql, namespace, max_bytes).rows(deadline)

    def put(self, file: ProbeFile, shell: Command, deadline: Deadline) -> Placement:
        """Make sure that the target holds a file; see `Connection.put`."""
        placement = FileTransfer(self.run, self._smb).place(file, shell, deadline)
        way = placement.way or "not sent"
        self._files.append(f"{file.remote_name}: {'; '.join((way, *placement.passed_over))}")
        return placement

    def facts(self) -> Mapping[str, object]:
        """Tell what was chosen and why."""
        choice = self._choice
        return {
            "scheme": choice.endpoint.scheme,
            "port": choice.endpoint.port,
            "url": choice.url,
            "place_why": choice.endpoint.why,
            "passed_over": choice.passed_over,
            "auth": choice.method.name,
            "auth_why": choice.method.why,
            "encryption": _encryption(choice),
            "shells_opened": self._shells.opened,
            "sessions_rebuilt": self._channel.rebuilt,
            "round_trips": self._channel.round_trips,
            "files": tuple(self._files),
        }

    def close(self) -> None:
        """Delete the remote shell and close the sockets; bounded by a few seconds, never raises."""
        try:
            self._shells.delete(_CLOSE_S, Deadline.after(self._clock, _CLOSE_S))
        finally:
            self._channel.close()

    def abort(self) -> None:
        """Shut the sockets down from another thread."""
        self._wire.abort()


def _encryption(choice: Choice) -> str:
    if choice.method.sealed:
        return "message"
    return "tls" if choice.endpoint.scheme == "https" else "none"


class WinRMTransport:
    """Connects to hosts over WinRM.

    Args:
        resolve: turns a secret's reference into the secret; its `SecretError` is let through.
        clock: where time comes from.
    """

    def __init__(self, resolve: SecretResolver, clock: Clock) -> None:
        self._resolve = resolve
        self._clock = clock
        self._contexts = TlsContexts()

    def connect(
        self, target: Target, deadline: Deadline, open_ports: tuple[int, ...] = ()
    ) -> WinRMConnection:
        """Connect and authenticate; see `Transport.connect`.

        Raises:
            FaultError: `no_answer`, `port_closed`, `no_name` before TCP is up; `auth`, `transport`, `quota`,
                `timeout` after.
            SecretError: the password's reference cannot be resolved; nothing was contacted.
        """
        password = self._resolve(target.password) if target.password is not None else None
        places = endpoints(target, open_ports)
        passed_over: list[FaultError] = []
        for number, place in enumerate(places):
            last = number == len(places) - 1
            share = deadline if last else deadline.capped(deadline.remaining_s() * _FIRST_PLACE_SHARE)
            try:
                return self._connect_to(
                    target, place, password, share, tuple(str(f.message) for f in passed_over)
                )
            except FaultError as fault:
                if last or not _try_next(fault, place):
                    raise _most_telling([*passed_over, fault]) from fault
                passed_over.append(fault)
        raise AssertionError("there is always a place to try")

    def _connect_to(
        self,
        target: Target,
        place: Endpoint,
        password: str | None,
        deadline: Deadline,
        passed_over: tuple[str, ...],
    ) -> WinRMConnection:
        method = method_for(target, place.scheme)
        _check_credentials(target, method, password)
        url = url_of(target, place)
        context = self._contexts.context_for(target) if place.scheme == "https" else None
        wire = Wire(target.address, place.port)
        channel = Channel(lambda: _login(target, url, method, password, WireAdapter(wire, context)), wire)
        if target.proxy is None:
            wire.connect(deadline)
        try:
            channel.log_on(deadline)
            if not wire.bound:
                # Basic and certificates are shown with each request: one without effect proves them.
                read_identity(channel.ask(identify(), deadline, repeatable=True))
        except BaseException:
            channel.close()
            raise
        chosen = Choice(place, method, url, passed_over)
        smb = _smb_access(target, method, password)
        return WinRMConnection(target, chosen, channel, wire, clock=self._clock, smb=smb)


def _login(target: Target, url: str, method: Method, password: str | None, adapter: WireAdapter) -> Login:
    with translated("logon"):
        return Login(target, url, method, password, adapter)


def _check_credentials(target: Target, method: Method, password: str | None) -> None:
    if method.name in ("kerberos", "certificate"):
        return
    if not target.user or password is None:
        missing = "ansible_user" if not target.user else "ansible_password"
        raise FaultError(
            "auth", f"{method.name} needs {missing}, which is not written", "write it in the inventory"
        )


def _smb_access(target: Target, method: Method, password: str | None) -> SmbAccess | None:
    """Use for SMB what WinRM was logged on with; a certificate means nothing to SMB."""
    if method.name == "certificate":
        return None
    port = target.options.get("smb_port", 445)
    if method.name == "kerberos":
        return SmbAccess(target.address, target.user, None, "kerberos", int(str(port)))
    return SmbAccess(target.address, target.user, password, "ntlm", int(str(port)))


def _try_next(fault: FaultError, place: Endpoint) -> bool:
    """A refused logon is never tried elsewhere: on many hosts that would lock the account."""
    if not place.chosen:
        return False
    return fault.reason in ("port_closed", "no_answer") or isinstance(fault, TlsFaultError | MuteError)


def _most_telling(faults: list[FaultError]) -> FaultError:
    """What came nearest to a connection says most; at equal distance the last one."""
    order = ("no_name", "no_answer", "port_closed")
    return max(enumerate(faults), key=lambda item: (_rank(item[1].reason, order), item[0]))[1]


def _rank(reason: str, order: tuple[str, ...]) -> int:
    return order.index(reason) if reason in order else len(order)
