"""Remote shells and their commands: output waiting to be fetched, input to be read, quotas counted."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from ddcplay.lab.program import Console, Program, Read, Sleep, StreamName, Write

# A program that prints more than its reader fetches blocks on a full pipe, as on Windows.
_PIPE_BYTES = 4 * 1024 * 1024
CTRL_C_EXIT = 0xC000013A
_TERMINATED_EXIT = 1


class Command:
    """One running or ended command of a shell.

    Args:
        command_id: upper-case GUID or what the client chose.
        program: what runs.
        on_end: called once, when the program has ended or was ended.
    """

    def __init__(self, command_id: str, program: Program, on_end: Callable[[], None] | None = None) -> None:
        self.command_id = command_id
        self.exit_code: int | None = None
        self.gone = False
        self._on_end = on_end
        self.output: deque[tuple[StreamName, bytes]] = deque()
        self._buffered = 0
        self._input: deque[bytes | None] = deque()
        self._changed = asyncio.Event()
        self._task = asyncio.get_running_loop().create_task(self._drive(program))

    def send(self, data: bytes, *, end: bool) -> None:
        """Give the program input; `end` closes the pipe."""
        if data:
            self._input.append(data)
        if end:
            self._input.append(None)
        self._changed.set()

    def kill(self, exit_code: int = _TERMINATED_EXIT) -> None:
        """End the program where it is."""
        if self.exit_code is None:
            self._task.cancel()
            self._ended(exit_code)
        self._changed.set()

    def vanish(self) -> None:
        """End the program because its shell is deleted; a pending Receive is aborted."""
        self.gone = True
        self.kill()

    async def news(self, timeout_s: float) -> bool:
        """Wait until there is output or an end; False when `timeout_s` passed without any."""
        loop = asyncio.get_running_loop()
        until = loop.time() + timeout_s
        while not self.output and self.exit_code is None and not self.gone:
            self._changed.clear()
            remaining = until - loop.time()
            if remaining <= 0:
                return False
            try:
                await asyncio.wait_for(self._changed.wait(), remaining)
            except TimeoutError:
                return False
        return True

    def fetch(self, pieces: int, piece_bytes: int) -> list[tuple[StreamName, bytes]]:
        """Take at most `pieces` pieces of output, each of at most `piece_bytes` bytes, in order."""
        taken: list[tuple[StreamName, bytes]] = []
        while self.output and len(taken) < pieces:
            stream, data = self.output.popleft()
            while len(data) < piece_bytes and self.output and self.output[0][0] == stream:
                data += self.output.popleft()[1]
            if len(data) > piece_bytes:
                self.output.appendleft((stream, data[piece_bytes:]))
                data = data[:piece_bytes]
            taken.append((stream, data))
            self._buffered -= len(data)
        if taken:
            self._changed.set()
        return taken

    async def _drive(self, program: Program) -> None:
        code = _TERMINATED_EXIT
        try:
            code = await self._run(program)
        finally:
            program.close()  # a program that is ended lets go of what it held
            if self.exit_code is None:
                self._ended(code)
            self._changed.set()

    async def _run(self, program: Program) -> int:
        answer: bytes | None = None
        while True:
            try:
                step = program.send(answer)
            except StopIteration as end:
                return int(end.value)
            if isinstance(step, Write):
                answer = None
                await self._print(step)
            else:
                answer = await self._perform(step)

    def _ended(self, exit_code: int) -> None:
        self.exit_code = exit_code
        if self._on_end is not None:
            self._on_end()

    async def _print(self, step: Write) -> None:
        if step.data:
            self.output.append((step.stream, step.data))
            self._buffered += len(step.data)
            self._changed.set()
        while self._buffered > _PIPE_BYTES:
            self._changed.clear()
            await self._changed.wait()

    async def _perform(self, step: Sleep | Read) -> bytes | None:
        if isinstance(step, Sleep):
            await asyncio.sleep(step.seconds)
            return None
        return await self._next_input()

    async def _next_input(self) -> bytes | None:
        while not self._input:
            self._changed.clear()
            await self._changed.wait()
        return self._input.popleft()


@dataclass(slots=True)
class Shell:
    """A remote shell; belongs to a user, not to a connection.

    Args:
        shell_id: upper-case GUID.
        owner: user in lower case, without domain.
        console: what each of its commands starts from.
        idle_s: life without requests, seconds.
        client_ip: as shown in the shell's properties.
        created: loop time of Create.
        pid: id of its process.
        given: environment and working directory as the client wrote them.
    """

    shell_id: str
    owner: str
    console: Console
    idle_s: float
    client_ip: str
    created: float
    pid: int = 0
    given: tuple[Mapping[str, str], str] = field(default=({}, ""))
    cwd_missing: bool = False
    touched: float = 0.0
    pending: int = 0
    started: int = 0
    commands: dict[str, Command] = field(default_factory=dict)
    ended: set[str] = field(default_factory=set)

    def running(self) -> int:
        """Return how many commands still run."""
        return sum(command.exit_code is None for command in self.commands.values())

    def close(self) -> None:
        """Kill every command and the shell's own process."""
        for command in self.commands.values():
            command.vanish()
        self.commands.clear()
        self.console.processes.end(self.pid)


class ShellTable:
    """All shells of a host."""

    def __init__(self) -> None:
        self.by_id: dict[str, Shell] = {}

    def owned_by(self, user: str) -> list[Shell]:
        """Return a user's shells."""
        return [shell for shell in self.by_id.values() if shell.owner == user]

    def operations_of(self, user: str) -> int:
        """Count a user's operations: requests that wait, and commands until their shell is deleted."""
        return sum(shell.pending + shell.started for shell in self.owned_by(user))

    def expire(self, now: float, on_expired: Callable[[Shell], None]) -> None:
        """Drop shells that were idle for longer than they may be."""
        for shell in list(self.by_id.values()):
            if not shell.pending and now - shell.touched > shell.idle_s:
                del self.by_id[shell.shell_id]
                shell.close()
                on_expired(shell)

    def clear(self) -> None:
        """Drop every shell, as a power cut does."""
        for shell in self.by_id.values():
            shell.close()
        self.by_id.clear()
