"""The remote shell of a connection: opened when needed, shared by equal commands, deleted in the end.

At most one is open at a time (design §9.2): Windows allows 30 per user, and other tools want theirs too.
"""

from __future__ import annotations

from dataclasses import dataclass

from ddcplay.errors import FaultError
from ddcplay.model.plan import Target
from ddcplay.transport.base import Command
from ddcplay.transport.winrm_channel import Channel
from ddcplay.transport.wsman import Envelopes, ShellOptions
from ddcplay.transport.wsman_read import read_shell_id
from ddcplay.units import Deadline

GRACE_S = 2.0
"""How long after its deadline an answer is still awaited: Windows is up to a second late."""
COMMANDS_PER_SHELL = 200
"""Terminate does not give an operation's slot back (MS-WSMV note 118), deleting the shell does."""


@dataclass(slots=True)
class _Shell:
    shell_id: str
    key: object
    commands: int = 0


class Shells:
    """The one remote shell of a connection, shared by equal commands.

    Args:
        channel: the conversation.
        envelopes: builds requests.
        target: for the timeouts.
    """

    def __init__(self, channel: Channel, envelopes: Envelopes, target: Target) -> None:
        self.channel = channel
        self.envelopes = envelopes
        self.operation_timeout_s = target.operation_timeout_s
        self.patience_s = max(target.read_timeout_s - target.operation_timeout_s, GRACE_S)
        self.opened = 0
        self._open: _Shell | None = None

    def times(self, deadline: Deadline) -> tuple[float, Deadline]:
        """Return the OperationTimeout of a request and when the wait for its answer ends."""
        operation_s = min(self.operation_timeout_s, max(0.5, deadline.remaining_s()))
        latest = Deadline(deadline.clock, deadline.expires_at + GRACE_S, deadline.budget_s + GRACE_S)
        return operation_s, latest.capped(operation_s + self.patience_s)

    def shell_for(self, command: Command, deadline: Deadline) -> str:
        """Return a shell for a command: the open one when it fits, else a fresh one.

        Raises:
            FaultError: none could be opened.
        """
        current = self._open
        if current is not None and (
            current.key != command.shell_key() or current.commands >= COMMANDS_PER_SHELL
        ):
            self.delete(*self.times(deadline))
            current = None
        if current is None:
            options = ShellOptions(command.codepage, command.env, command.chdir)
            operation_s, latest = self.times(deadline)
            answer = self.channel.ask(self.envelopes.create_shell(options, operation_s), latest)
            current = self._open = _Shell(read_shell_id(answer), command.shell_key())
            self.opened += 1
        current.commands += 1
        return current.shell_id

    def forget(self) -> None:
        """Leave the shell alone: it is gone, or nobody can be asked to delete it (its idle limit will)."""
        self._open = None

    def delete(self, operation_s: float, deadline: Deadline) -> None:
        """Delete the shell, which ends what runs in it; a shell that is gone already is fine."""
        shell, self._open = self._open, None
        if shell is None or self.channel.lost:
            return
        try:
            self.channel.ask(self.envelopes.delete(shell.shell_id, operation_s), deadline)
        except FaultError:
            # Gone (2150858843), being closed (995) or unreachable: IdleTimeOut ends what is left.
            return
