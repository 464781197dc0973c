"""What a transport promises: one connection per visit, every wait bounded, every trouble a `FaultError`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from ddcplay.model.inventory import SecretRef
from ddcplay.model.plan import Target
from ddcplay.model.result import ProbeOutput
from ddcplay.units import Deadline

SecretResolver = Callable[[SecretRef], str]
"""Turns a reference into the secret, as late as possible; raises `SecretError`."""


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

    def shell_key(self) -> tuple[int, tuple[tuple[str, str], ...], str | None]:
        """Return what commands must share to run in the same remote shell."""
        return (self.codepage, self.env, self.chdir)


class Connection(Protocol):
    """An authenticated connection to one host, used by one visit in one thread."""

    def run(self, command: Command, deadline: Deadline) -> ProbeOutput:
        """Run one command to its end or to the deadline, whichever comes first.

        Never raises for trouble of the host: `ProbeOutput.reason` tells (timeout, quota, transport,
        output_limit …) and partial output is kept. Returns at the latest 5 s after the deadline, even
        when the peer is mute. `exit_code` is not judged here.
        """

    def query(
        self, wql: str, deadline: Deadline, namespace: str = "root/cimv2"
    ) -> tuple[Mapping[str, object], ...]:
        """Run one WQL query and return its rows.

        Raises:
            FaultError: with reason `wql`, `timeout`, `transport`, `quota`.
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
