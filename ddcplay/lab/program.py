"""What a simulated program is: a generator of steps, so that a real loop or a virtual clock can drive it."""

from __future__ import annotations

import codecs
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import Literal

from ddcplay.lab.machine import Machine
from ddcplay.lab.processes import ProcessTable

StreamName = Literal["stdout", "stderr"]


@dataclass(frozen=True, slots=True)
class Write:
    """Bytes for a stream."""

    stream: StreamName
    data: bytes


@dataclass(frozen=True, slots=True)
class Sleep:
    """Seconds that pass."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Read:
    """A read from standard input; the driver sends bytes, or None at its end."""


Step = Write | Sleep | Read
Program = Generator[Step, "bytes | None", int]
"""Runs step by step and returns the exit code."""


@dataclass(slots=True)
class Console:
    """The state of one process: what cmd.exe keeps between the commands of a line.

    Args:
        machine: the PC it runs on.
        now: Unix time of the lab.
        user: who started it, domain first.
        codepage: console code page; output is encoded in it.
        env: environment variables, names as written.
        cwd: working directory.
        files: the PC's files by lower-case path; shared by every process of the PC. A directory that was made
            is a key that ends in a backslash.
        busy: directories with a program that runs; they cannot be removed.
        piped_stdin: standard input is a pipe that somebody will close.
        processes: what remote shells started on the PC; shared by every process of it.
    """

    machine: Machine
    now: Callable[[], float]
    user: str
    codepage: int = 437
    env: dict[str, str] = field(default_factory=dict)
    cwd: str = "C:\\Windows\\system32"
    files: dict[str, bytes] = field(default_factory=dict)
    piped_stdin: bool = True
    processes: ProcessTable = field(default_factory=ProcessTable)
    busy: set[str] = field(default_factory=set)
    last_code: int = 0
    exited: bool = False

    def encode(self, text: str) -> bytes:
        """Encode text as a console program of this code page prints it; what it cannot hold becomes `?`."""
        return text.encode(codec_of(self.codepage) or "utf-8", errors="replace")

    def out(self, text: str) -> Write:
        """Make a line-end-correct write to stdout."""
        return Write("stdout", self.encode(text.replace("\n", "\r\n")))

    def err(self, text: str) -> Write:
        """Make a line-end-correct write to stderr."""
        return Write("stderr", self.encode(text.replace("\n", "\r\n")))

    def variable(self, name: str) -> str | None:
        """Look an environment variable up, whatever its case."""
        wanted = name.upper()
        return next((value for key, value in self.env.items() if key.upper() == wanted), None)


def codec_of(codepage: int) -> str | None:
    """Return Python's codec for a Windows code page, None when there is none."""
    if codepage == 65001:
        return "utf-8"
    try:
        return codecs.lookup(f"cp{codepage}").name
    except LookupError:
        return None


def base_environment(machine: Machine, user: str) -> dict[str, str]:
    """Return the environment of a fresh remote shell."""
    name = user.rpartition("\\")[2]
    profile = f"C:\\Users\\{name}"
    return {
        "ALLUSERSPROFILE": "C:\\ProgramData",
        "APPDATA": f"{profile}\\AppData\\Roaming",
        "COMPUTERNAME": machine.computer_name,
        "ComSpec": "C:\\Windows\\system32\\cmd.exe",
        "NUMBER_OF_PROCESSORS": str(machine.cpu[3]),
        "OS": "Windows_NT",
        "Path": "C:\\Windows\\system32;C:\\Windows;C:\\Windows\\System32\\WindowsPowerShell\\v1.0\\",
        "PATHEXT": ".COM;.EXE;.BAT;.CMD;.VBS;.JS;.WSF;.MSC",
        "PROCESSOR_ARCHITECTURE": "AMD64",
        "ProgramData": "C:\\ProgramData",
        "ProgramFiles": "C:\\Program Files",
        "PUBLIC": "C:\\Users\\Public",
        "SystemDrive": "C:",
        "SystemRoot": "C:\\Windows",
        "TEMP": f"{profile}\\AppData\\Local\\Temp",
        "TMP": f"{profile}\\AppData\\Local\\Temp",
        "USERDOMAIN": machine.domain,
        "USERNAME": name,
        "USERPROFILE": profile,
        "windir": "C:\\Windows",
    }
