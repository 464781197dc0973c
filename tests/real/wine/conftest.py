"""Lab hosts on Wine, and the program that the tests send there."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from filelock import FileLock

from ddcplay.lab.fleet import LabConfig, LabHost, RunningLab
from ddcplay.lab.wine import Wine, compile_program, missing
from ddcplay.model.inventory import SecretRef
from ddcplay.model.plan import Target
from ddcplay.transport.winrm import WinRMConnection, WinRMTransport
from ddcplay.units import Deadline, SystemClock

HOSTS = 5
PASSWORD = SecretRef("plain", "lab")


@pytest.fixture(scope="session")
def wine() -> Wine:
    """A prefix of the tests' own, kept for the next run: making one takes ten seconds."""
    reason = missing()
    if reason:
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    there = Wine(cache / "ddcplay-tests" / "wine")
    there.prepare()
    return there


@pytest.fixture(scope="session")
def probe_exe(wine: Wine) -> Path:
    """The console program, built for this run."""
    built = wine.prefix.parent / "probe.exe"
    with FileLock(f"{built}.lock"):
        compile_program(Path(__file__).with_name("probe.c"), built, "-lshell32")
    return built


@pytest.fixture(scope="session")
def place(wine: Wine, probe_exe: Path):
    """Put the program on a host and return its path there; a way to send files can stand in for this copy."""

    def copy(connection: WinRMConnection) -> str:
        there = wine.drive / "probes"
        there.mkdir(exist_ok=True)
        target = there / "probe 1.exe"
        with FileLock(f"{there}.lock"):
            if not target.exists() or target.read_bytes() != probe_exe.read_bytes():
                target.write_bytes(probe_exe.read_bytes())
        return "C:\\probes\\probe 1.exe"

    return copy


@pytest.fixture(scope="session")
def lab(wine: Wine, lab_factory) -> RunningLab:
    hosts = tuple(LabHost(f"wine{number}", backend="wine") for number in range(1, HOSTS + 1))
    return lab_factory(LabConfig(hosts, wine_prefix=str(wine.prefix)))


@pytest.fixture
def connect(lab: RunningLab) -> Iterator:
    """Connect to a host by its number."""
    clock = SystemClock()
    transport = WinRMTransport(lambda _: lab.host("wine1").password, clock)
    opened: list[WinRMConnection] = []

    def to(number: int = 1) -> WinRMConnection:
        address, port = lab.endpoint(f"wine{number}")
        target = Target(
            "wine", address, port=port, scheme="http", user="lab", password=PASSWORD, auth=("ntlm",)
        )
        opened.append(transport.connect(target, Deadline.after(clock, 10)))
        return opened[-1]

    yield to
    for connection in opened:
        connection.close()
