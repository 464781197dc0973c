"""Command lines on a PC in virtual time: the lab's cmd.exe, driven by a clock instead of a connection."""

from __future__ import annotations

from ddcplay.lab.cmdline import run_line, run_program
from ddcplay.lab.machine import Machine
from ddcplay.lab.program import Console, Read, Sleep, Write, base_environment
from ddcplay.model.result import ProbeOutput, Reason
from ddcplay.transport.base import Command
from ddcplay.units import Deadline

_USER = "LAB\\lab"


class VirtualConsole:
    """What a remote shell of one visit keeps.

    Args:
        machine: the PC.
        at: the moment at which it is seen, UTC Unix seconds.
    """

    def __init__(self, machine: Machine, at: float) -> None:
        self._machine = machine
        self._at = at
        self._files: dict[str, bytes] = {}

    def run(self, command: Command, deadline: Deadline) -> ProbeOutput:
        """Run a command to its end or to the deadline."""
        begun = deadline.clock.now()
        environment = base_environment(self._machine, _USER) | dict(command.env)
        console = Console(
            self._machine,
            lambda: self._at + deadline.clock.now() - begun,
            _USER,
            command.codepage,
            environment,
            files=self._files,
            piped_stdin=command.stdin is not None,
        )
        if command.chdir:
            console.cwd = command.chdir
        program = (
            run_program(console, command.line) if command.skip_shell else run_line(console, command.line)
        )
        streams = {"stdout": bytearray(), "stderr": bytearray()}
        given = [command.stdin] if command.stdin else []
        answer: bytes | None = None
        while True:
            try:
                step = program.send(answer)
            except StopIteration as end:
                code: int = end.value
                return ProbeOutput(code, bytes(streams["stdout"]), bytes(streams["stderr"]), accepted=True)
            answer = None
            match step:
                case Write(stream, data):
                    streams[stream] += data
                case Sleep(seconds):
                    deadline.clock.sleep(min(seconds, deadline.remaining_s()))
                case Read():
                    answer = given.pop() if given else None
            reason = Reason.TIMEOUT if deadline.expired() else None
            if max(map(len, streams.values())) > command.max_output_bytes:
                reason = Reason.OUTPUT_LIMIT
            if reason is not None:
                program.close()
                return ProbeOutput(
                    stdout=bytes(streams["stdout"][: command.max_output_bytes]),
                    stderr=bytes(streams["stderr"][: command.max_output_bytes]),
                    reason=reason,
                    detail=f"ended after {deadline.budget_s:g} s"
                    if reason is Reason.TIMEOUT
                    else "too much output",
                    hint="raise timeout or max_output of the probe",
                    accepted=True,
                    kill_verified=True,
                )
