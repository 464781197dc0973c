"""What a transport promises: one connection per visit, every wait bounded, every trouble a `FaultError`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from ddcplay.errors import FaultError
from ddcplay.model.inventory import SecretRef
from ddcplay.model.plan import Target
from ddcplay.model.probe_file import ProbeFile
from ddcplay.model.result import ProbeOutput
from ddcplay.units import Deadline

SecretResolver = Callable[[SecretRef], str]
"""Turns a reference into the secret, as late as possible; raises `SecretError`."""

MAX_ROWS_BYTES = 1024 * 1024
"""Bound of a query's rows where nothing else is asked for."""


@dataclass(frozen=True, slots=True)
class Watch:
    """What is looked at while a command runs, on the same connection.

    Args:
        ask: returns why the command has to end, None when it may go on; raises `FaultError` when it
            cannot tell.
        every_s: seconds between looks; no wait for output is longer.
        reason: of an attempt that was ended so, one of the words of `model.result.Reason`.
    """

    ask: Callable[[Deadline], str | None]
    every_s: float
    reason: str = "user_logged_on"


class RowsLimitError(FaultError):
    """A query has more rows than were asked for.

    Args:
        message: what happened.
        hint: what to do.
        rows: those that fit.
    """

    def __init__(self, message: str, hint: str, rows: tuple[Mapping[str, object], ...] = ()) -> None:
        super().__init__("output_limit", message, hint)
        self.rows = rows


@dataclass(frozen=True, slots=True)
class Command:
    """One remote process.

    Args:
        line: the whole command line; cmd.exe reads it unless `skip_shell`.
        stdin: bytes for standard input, None for none (the process then sees no pipe).
        env: environment variables of the shell.
        chdir: working directory of the shell.
        codepage: console code page of the shell.
        max_output_bytes: per stream; beyond it the command is ended (`output_limit`), what came is kept.
        skip_shell: start the program directly, without `cmd /c`.
        kill_tree: after an expiry end the children too.
        last: no further command follows on this connection, so its end needs no Signal before Delete.
        watch: looked at now and then while it runs; may end it.
    """

    line: str
    stdin: bytes | None = field(default=None, repr=False)
    env: tuple[tuple[str, str], ...] = ()
    chdir: str | None = None
    codepage: int = 65001
    max_output_bytes: int = 1024 * 1024
    skip_shell: bool = False
    kill_tree: bool = True
    last: bool = False
    watch: Watch | None = field(default=None, repr=False, compare=False)

    def shell_key(self) -> tuple[int, tuple[tuple[str, str], ...], str | None]:
        """Return what commands must share to run in the same remote shell."""
        return (self.codepage, self.env, self.chdir)


@dataclass(frozen=True, slots=True)
class Placement:
    """What became of a file that was to be put on a target.

    Args:
        directory: its private directory, as the target resolved it, or as written when it did not answer;
            it may exist even after trouble.
        path: the file's path there.
        way: `there` (the target held it), `smb`, `winrm, tar`, `winrm, powershell`; "" after trouble.
        passed_over: ways that were tried in vain, with the reason.
        round_trips: WinRM requests made.
        trouble: None when the file is in place and its hash was compared, else what stands for the probe.
    """

    directory: str
    path: str
    way: str = ""
    passed_over: tuple[str, ...] = ()
    round_trips: int = 0
    trouble: ProbeOutput | None = None


class Connection(Protocol):
    """An authenticated connection to one host, used by one visit in one thread."""

    def run(self, command: Command, deadline: Deadline) -> ProbeOutput:
        """Run one command to its end or to the deadline, whichever comes first.

        Never raises for trouble of the host: `ProbeOutput.reason` tells (timeout, quota, transport,
        output_limit …) and partial output is kept. Returns at the latest 5 s after the deadline, even
        when the peer is mute. `exit_code` is not judged here.
        """

    def query(
        self,
        wql: str,
        deadline: Deadline,
        namespace: str = "root/cimv2",
        *,
        max_bytes: int = MAX_ROWS_BYTES,
    ) -> tuple[Mapping[str, object], ...]:
        """Run one WQL query and return its rows; opens no shell.

        Args:
            wql: one SELECT.
            deadline: of all its pages together.
            namespace: WMI namespace, either kind of slash.
            max_bytes: of the rows as compact JSON.

        Raises:
            RowsLimitError: there are more; it carries the rows that fit.
            FaultError: with reason `wql`, `timeout`, `transport`, `quota`.
        """

    def put(self, file: ProbeFile, shell: Command, deadline: Deadline) -> Placement:
        """Make sure that the target holds a file, in the file's private directory.

        Never raises for trouble of the host. Nothing ever stands under the file's name unless its content is
        complete; what the target holds already is not sent again.

        Args:
            file: what, where to, and which way.
            shell: whose code page, environment and directory the remote commands of the transfer share.
            deadline: of everything together.
        """

    def facts(self) -> Mapping[str, object]:
        """Tell what was chosen and why: scheme, port, authentication, encryption (for `-v` and `doctor`)."""

    def close(self) -> None:
        """Delete the remote shell and close the sockets; bounded by a few seconds, never raises."""

    def abort(self) -> None:
        """Shut the sockets down from another thread, so that whatever waits on them ends at once."""


class Transport(Protocol):
    """A way to reach hosts: `winrm`, later `ssh` and `local`."""

    def connect(self, target: Target, deadline: Deadline, open_ports: tuple[int, ...] = ()) -> Connection:
        """Connect and authenticate.

        Args:
            target: where and how.
            deadline: of the connect; already capped by `connect_timeout`.
            open_ports: what the sweep saw open, to save trying closed ones.

        Raises:
            FaultError: reason `no_answer`, `port_closed`, `no_name` before TCP is up; `auth`, `transport`,
                `quota` or `timeout` after.
        """
