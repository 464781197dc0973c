"""Lab hosts whose commands are real Win32 processes: Wine's cmd.exe behind a small launcher of ours.

Everything up to the command line is the scripted PC's; from there on a real program runs, with a real exit
code, real pipes and a real process table. `host.c` says why Wine alone is not enough. What Wine does not have
(priority classes, WMI, PowerShell) it does not have here either.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from filelock import FileLock

from ddcplay.errors import DdcplayError
from ddcplay.lab.program import Program, StreamName, Write
from ddcplay.lab.shells import Command
from ddcplay.lab.wmi import Row

COMPILER = "x86_64-w64-mingw32-gcc"
_PLACES = ("/usr/lib/wine", "/usr/lib/x86_64-linux-gnu/wine", "/opt/wine-stable/bin")
_LAUNCHER = "C:\\ddclab\\host.exe"
_SHELL = "C:\\windows\\system32\\cmd.exe"
_IDLE_S = 120
"""A wineserver without processes ends after this, so a run leaves none behind."""
_DRAIN_S = 1.0
_READY = "ddclab.ready"
_EPOCH_1601 = datetime(1601, 1, 1, tzinfo=UTC)
_TASKKILL = re.compile(r"\s*taskkill\b(.*)", re.IGNORECASE)


def missing() -> str:
    """Say what keeps Wine hosts from running here; empty when nothing does."""
    if sys.platform == "win32":
        return "Wine hosts need Linux"
    for program in ("wine64", "wineserver", COMPILER):
        if _found(program) is None:
            return f"{program} is not installed (Debian: wine wine64 gcc-mingw-w64-x86-64)"
    return ""


def _found(program: str) -> str | None:
    for place in _PLACES:
        for name in (f"{program}64" if program == "wineserver" else program, program):
            if os.access(f"{place}/{name}", os.X_OK):
                return f"{place}/{name}"
    return shutil.which(program)


def _program(name: str) -> str:
    path = _found(name)
    if path is None:
        raise DdcplayError(f"a lab host of backend `wine` needs {name}", missing())
    return path


def compile_program(source: Path, target: Path, *options: str) -> None:
    """Build a Win32 console program.

    Args:
        source: C file.
        target: .exe to write, replaced at once.
        *options: for the linker.

    Raises:
        DdcplayError: the compiler is missing or refuses.
    """
    made = target.with_name(f"{target.name}.{uuid.uuid4().hex}")
    done = subprocess.run(
        [_program(COMPILER), "-O2", "-s", "-Wall", "-o", str(made), str(source), *options],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise DdcplayError(f"{source.name} does not compile: {done.stderr[-2000:]}")
    made.replace(target)


@dataclass(frozen=True, slots=True)
class Wine:
    """A Windows directory tree that is ready, with a warm wineserver.

    Args:
        prefix: the directory.
    """

    prefix: Path

    @property
    def drive(self) -> Path:
        """Drive C: of every host on this prefix."""
        return self.prefix / "drive_c"

    def environment(self, more: Mapping[str, str] | None = None) -> dict[str, str]:
        """Return the environment of a Wine process: nothing of ours but what it needs.

        Args:
            more: variables the Windows program is to see.
        """
        return {
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            "LANG": "C.UTF-8",
            **(more or {}),
            "HOME": str(self.prefix),
            "WINEPREFIX": str(self.prefix),
            "WINEDEBUG": "-all",
            "WINEDLLOVERRIDES": "mscoree,mshtml=",
        }

    def prepare(self) -> None:
        """Make the prefix unless it is there, build the launcher, and start the wineserver.

        Raises:
            DdcplayError: something is missing, or Wine does not start.
        """
        self.prefix.mkdir(parents=True, exist_ok=True, mode=0o700)
        with FileLock(f"{self.prefix}.lock"):
            if not (self.prefix / _READY).exists():
                self.call("wineboot", "-i", timeout_s=180)
                self._shut_in()
                (self.prefix / _READY).touch()
            home = self.drive / "ddclab"
            (home / "run").mkdir(parents=True, exist_ok=True)
            source = Path(__file__).with_name("host.c")
            built = home / "host.exe"
            if not built.exists() or built.stat().st_mtime < source.stat().st_mtime:
                compile_program(source, built, "-municode", "-lntdll")
            # Before anything else: services.exe would inherit, and keep open, the pipes of the first command.
            subprocess.run(
                [_program("wineserver"), f"-p{_IDLE_S}"],
                env=self.environment(),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
                check=False,
            )
            self.call(_LAUNCHER, "list", timeout_s=60)

    def _shut_in(self) -> None:
        """Take the way out of the prefix: drive Z: is the whole machine, the user's folders are home."""
        for drive in (self.prefix / "dosdevices").iterdir():
            if drive.name != "c:":
                drive.unlink()
        for folder in (self.drive / "users").glob("*/*"):
            if folder.is_symlink():
                folder.unlink()
                folder.mkdir()

    def call(self, *arguments: str, timeout_s: float) -> None:
        """Run a program of the prefix to its end, its output thrown away.

        Args:
            *arguments: Windows path of the program, and what it is given.
            timeout_s: how long it may take, in seconds.

        Raises:
            DdcplayError: it did not end with 0.
        """
        done = subprocess.run(
            [_program("wine64"), *arguments],
            env=self.environment(),
            cwd=self.drive if self.drive.exists() else self.prefix,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=timeout_s,
            start_new_session=True,
            check=False,
        )
        if done.returncode:
            raise DdcplayError(f"wine {arguments[0]} ended with {done.returncode} in {self.prefix}")

    async def ask(self, *arguments: str) -> bytes:
        """Run the launcher for something else than a command and return what it prints."""
        process = await asyncio.create_subprocess_exec(
            _program("wine64"),
            _LAUNCHER,
            *arguments,
            env=self.environment(),
            cwd=self.drive,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
        printed, _ = await process.communicate()
        return printed

    async def processes(self, shells: Mapping[int, int]) -> list[Row]:
        """Return the real processes as instances of Win32_Process.

        Args:
            shells: process id of a command → id of the shell that it is shown below.
        """
        rows: list[Row] = []
        for text in (await self.ask("list")).decode("utf-8", errors="replace").splitlines():
            pid, parent, created, line = text.split("\t", 3)
            words = line.split('"') if line.startswith('"') else line.split()
            rows.append(
                {
                    "CommandLine": line,
                    "CreationDate": _EPOCH_1601 + timedelta(microseconds=int(created) // 10),
                    "Handle": pid,
                    "Name": next((word for word in words if word), "").rpartition("\\")[2],
                    "ParentProcessId": shells.get(int(pid), int(parent)),
                    "Priority": 8,
                    "ProcessId": int(pid),
                    "SessionId": 0,
                    "WorkingSetSize": 4_000_000,
                }
            )
        return rows


@dataclass(frozen=True, slots=True)
class Start:
    """What a Wine host is asked to run.

    Args:
        wine: where.
        line: as the client sent it.
        codepage: of its console.
        env: variables that the shell was given.
        directory: working directory, empty for that of drive C:.
        started: told the process id once it is known.
    """

    wine: Wine
    line: str
    codepage: int
    env: Mapping[str, str]
    directory: str
    started: Callable[[int], None]


def _nothing() -> Program:
    yield from ()
    return 0


class WineCommand(Command):
    """One command of a Wine host; to the service it looks like a scripted one.

    Args:
        command_id: as in `Command`.
        start: what runs.
        on_end: as in `Command`.
    """

    def __init__(self, command_id: str, start: Start, on_end: Callable[[], None] | None = None) -> None:
        self._start = start
        super().__init__(command_id, _nothing(), on_end)

    async def _run(self, program: Program) -> int:
        program.close()
        killed = _TASKKILL.fullmatch(self._start.line)
        if killed:
            await self._start.wine.ask("kill", *re.findall(r"/pid\s+(\d+)", killed[1], re.IGNORECASE))
            return 0
        name = uuid.uuid4().hex
        folder = self._start.wine.drive / "ddclab" / "run"
        line, result = folder / f"{name}.line", folder / f"{name}.result"
        line.write_bytes(f'{_SHELL} /C "{self._start.line}"'.encode("utf-8", errors="replace"))
        try:
            return await self._host(name, result)
        finally:
            line.unlink(missing_ok=True)
            result.unlink(missing_ok=True)

    async def _host(self, name: str, result: Path) -> int:
        where = f"C:\\ddclab\\run\\{name}"
        process = await asyncio.create_subprocess_exec(
            _program("wine64"),
            *(_LAUNCHER, "run", f"{where}.line", f"{where}.result", str(self._start.codepage)),
            *([self._start.directory] if self._start.directory else []),
            env=self._start.wine.environment(self._start.env),
            cwd=self._start.wine.drive,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
        assert process.stdin
        assert process.stdout
        assert process.stderr
        pumps = [
            asyncio.create_task(self._pump("stdout", process.stdout)),
            asyncio.create_task(self._pump("stderr", process.stderr)),
        ]
        feed = asyncio.create_task(self._feed(process.stdin))
        watch = asyncio.create_task(self._tell_pid(result))
        try:
            await process.wait()
            # What left the job may keep the pipes open for as long as it likes.
            await asyncio.wait(pumps, timeout=_DRAIN_S)
            return _exit_code(result)
        finally:
            for task in (*pumps, feed, watch):
                task.cancel()
            with contextlib.suppress(ProcessLookupError):
                # The launcher's job dies with it, and everything in it.
                os.killpg(process.pid, signal.SIGKILL)
            process.stdin.close()
            await asyncio.shield(process.wait())

    async def _tell_pid(self, result: Path) -> None:
        while True:
            found = re.search(r"^pid (\d+)$", _text(result), re.MULTILINE)
            if found:
                self._start.started(int(found[1]))
                return
            await asyncio.sleep(0.02)

    async def _pump(self, stream: StreamName, pipe: asyncio.StreamReader) -> None:
        while data := await pipe.read(65536):
            await self._print(Write(stream, data))

    async def _feed(self, pipe: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while (data := await self._next_input()) is not None:
                pipe.write(data)
                await pipe.drain()
            pipe.close()


def _text(result: Path) -> str:
    try:
        return result.read_text(encoding="ascii")
    except FileNotFoundError:
        return ""


def _exit_code(result: Path) -> int:
    found = re.search(r"^exit (\d+)$", _text(result), re.MULTILINE)
    return int(found[1]) if found else 1
