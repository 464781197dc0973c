"""Labs that the tests of this directory share, and clients that speak to them byte by byte."""

from __future__ import annotations

import base64
import contextlib
import json
import socket
import sqlite3
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import winrm
from winrm.protocol import Protocol

from ddcplay.lab.fleet import LabConfig, LabHost, Quotas, RunningLab
from ddcplay.store.trace import TraceLine, parse_line

USER, PASSWORD = "lab", "lab-Passw0rd"
SHELL = "http://schemas.microsoft.com/wbem/wsman/1/windows/shell"
TRANSFER = "http://schemas.xmlsoap.org/ws/2004/09/transfer"


@dataclass(frozen=True)
class RawAnswer:
    status_line: str
    headers: list[tuple[str, str]]
    body: bytes

    @property
    def status(self) -> int:
        return int(self.status_line.split(" ")[1])

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key.lower() == name.lower()]


@pytest.fixture(scope="session")
def lab(lab_factory: Callable[[LabConfig], RunningLab]) -> RunningLab:
    """One lab for tests that leave no trace in it."""
    return lab_factory(
        LabConfig(
            (
                LabHost("ntlm", ("labs", "lab01"), schemes=("negotiate", "basic")),
                LabHost("clear", ("labs",), schemes=("basic", "negotiate"), allow_unencrypted=True),
                LabHost("tls", https=True, schemes=("negotiate", "basic", "certificate")),
                LabHost("strict", https=True, schemes=("negotiate",), cbt="strict"),
                LabHost("small", schemes=("basic",), allow_unencrypted=True, quotas=Quotas(3, 8, 2)),
                LabHost("brief", schemes=("basic",), allow_unencrypted=True, quotas=Quotas(min_idle_s=0.1)),
                LabHost("off", power="off"),
                LabHost("refusing", power="off", off_mode="refused"),
            ),
            seed=7,
        )
    )


class Project:
    """A project directory with a lab, the program run in it, and what it left in the experiment `road`."""

    def __init__(self, path: Path, lab: RunningLab) -> None:
        self.path, self.lab = path, lab
        self.started: list[subprocess.Popen[str]] = []
        self.data = path / "data" / "road"
        self.write("lab.yml", lab.inventory_yaml())

    def write(self, name: str, text: str) -> None:
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start `ddcplay ARGUMENTS` in the project."""
        line = [sys.executable, "-m", "ddcplay", *arguments]
        pipe = subprocess.PIPE
        program = subprocess.Popen(line, cwd=self.path, stdout=pipe, stderr=pipe, text=True)
        self.started.append(program)
        return program

    def run(self, *arguments: str, code: int = 0) -> tuple[str, str]:
        """Run `ddcplay ARGUMENTS` to its end and return what it wrote on both outputs."""
        program = self.start(*arguments)
        out, err = program.communicate(timeout=120)
        assert program.returncode == code, out + err
        return out, err

    def rows(self, query: str, data: Path | None = None) -> list[Any]:
        with contextlib.closing(sqlite3.connect((data or self.data) / "experiment.db")) as database:
            return database.execute(query).fetchall()

    def end(self) -> None:
        """End the lab and what still runs."""
        self.lab.stop()
        for program in self.started:
            if program.returncode is None:
                program.kill()
                program.communicate()

    def samples(self, data: Path | None = None) -> list[tuple[Any, ...]]:
        """Return (iteration, host, probe, label, data, key) of every sample, in the order they were made."""
        found = self.rows(
            "select iteration, host, probe, label, data, key from sample order by attempt", data
        )
        return [(*row[:4], json.loads(row[4]), json.loads(row[5])) for row in found]

    def trace(self, probe: str) -> list[TraceLine]:
        path = self.data / f"{probe}.trace"
        return [parse_line(line) for line in path.read_text().splitlines()] if path.exists() else []


@pytest.fixture(scope="module")
def project_in(lab_factory: Callable[[LabConfig], RunningLab]) -> Iterator[Callable[..., Project]]:
    """Make a project in a directory; its lab and programs that still run end with the module's tests."""
    made: list[Project] = []

    def make(directory: Path, *hosts: LabHost, **lab: Any) -> Project:
        made.append(Project(directory, lab_factory(LabConfig(hosts, **lab))))
        return made[-1]

    yield make
    for each in made:
        each.end()


@pytest.fixture
def project(tmp_path: Path, project_in: Callable[..., Project]) -> Iterator[Callable[..., Project]]:
    """Make a project of the test's own: `project(LabHost(…), …)`."""
    made: list[Project] = []

    def make(*hosts: LabHost, **lab: Any) -> Project:
        made.append(project_in(tmp_path, *hosts, **lab))
        return made[-1]

    yield make
    for each in made:
        each.end()


@pytest.fixture
def faulty(lab_factory: Callable[[LabConfig], RunningLab]) -> Iterator[RunningLab]:
    """A lab of one host for a test that plants faults in it."""
    running = lab_factory(
        LabConfig((LabHost("pc", schemes=("basic", "negotiate"), allow_unencrypted=True),), seed=3)
    )
    yield running
    running.stop()


@pytest.fixture
def session() -> Iterator[Callable[..., winrm.Session]]:
    """Make pywinrm sessions; their sockets are closed after the test."""
    made: list[winrm.Session] = []

    def make(lab: RunningLab, name: str, transport: str = "ntlm", **options: Any) -> winrm.Session:
        account = (options.pop("user", USER), options.pop("password", PASSWORD))
        options.setdefault("operation_timeout_sec", 5)
        options.setdefault("read_timeout_sec", 7)
        options = {"ca_trust_path": None, "proxy": None, **options}  # nothing from the environment
        made.append(winrm.Session(lab.url(name), auth=account, transport=transport, **options))
        return made[-1]

    yield make
    for each in made:
        each.protocol.transport.close_session()


@pytest.fixture
def protocol() -> Iterator[Callable[..., Protocol]]:
    """Make pywinrm's lower layer: one connection, shells by hand; closed after the test."""
    made: list[Protocol] = []

    def make(lab: RunningLab, name: str, transport: str = "basic", timeout_s: int = 1) -> Protocol:
        made.append(
            Protocol(
                lab.url(name),
                transport=transport,
                username=USER,
                password=PASSWORD,
                operation_timeout_sec=timeout_s,
                read_timeout_sec=timeout_s + 5,
                message_encryption="auto",
                ca_trust_path=None,
                proxy=None,
            )
        )
        return made[-1]

    yield make
    for each in made:
        each.transport.close_session()


@pytest.fixture
def send_raw() -> Callable[..., RawAnswer]:
    """Send bytes to a host over a fresh connection and read one answer."""

    def send(lab: RunningLab, name: str, data: bytes) -> RawAnswer:
        with socket.create_connection(lab.endpoint(name), timeout=5) as connection:
            connection.sendall(data)
            return _read_answer(connection)

    return send


def _read_answer(connection: socket.socket) -> RawAnswer:
    received = b""
    while b"\r\n\r\n" not in received:
        piece = connection.recv(65536)
        if not piece:
            raise ConnectionError("closed before the head was whole")
        received += piece
    head, _, body = received.partition(b"\r\n\r\n")
    status_line, *rows = head.decode("latin-1").split("\r\n")
    headers = [(name, value.strip()) for name, _, value in (row.partition(":") for row in rows)]
    length = int(next(value for name, value in headers if name == "Content-Length"))
    while len(body) < length:
        piece = connection.recv(65536)
        if not piece:
            raise ConnectionError("closed before the body was whole")
        body += piece
    return RawAnswer(status_line, headers, body)


@pytest.fixture
def post(send_raw: Callable[..., Any]) -> Callable[..., RawAnswer]:
    """POST a body with Basic credentials (or other headers) over a fresh connection."""

    def send(lab: RunningLab, name: str, body: bytes, path: str = "/wsman", **headers: str) -> RawAnswer:
        token = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        sent = {"Authorization": f"Basic {token}", "Content-Type": "application/soap+xml;charset=UTF-8"}
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        rows = "".join(f"{name}: {value}\r\n" for name, value in sent.items() if value)
        head = f"POST {path} HTTP/1.1\r\nHost: x\r\n{rows}Content-Length: {len(body)}\r\n\r\n"
        return send_raw(lab, name, head.encode() + body)

    return send


@pytest.fixture
def envelope() -> Callable[..., bytes]:
    """Write a request with prefixes no Windows client uses."""

    def make(
        action: str,
        body: str = "",
        shell_id: str = "",
        extra: str = "",
        timeout: str = "PT1S",
        message_id: str = "",
    ) -> bytes:
        selector = (
            f'<ws:SelectorSet><ws:Selector Name="ShellId">{shell_id}</ws:Selector></ws:SelectorSet>'
            if shell_id
            else ""
        )
        return (
            '<soap:Envelope xmlns:soap="http://www.w3.org/2003/05/soap-envelope"'
            ' xmlns:ad="http://schemas.xmlsoap.org/ws/2004/08/addressing"'
            ' xmlns:ws="http://schemas.dmtf.org/wbem/wsman/1/wsman.xsd"'
            f' xmlns:sh="{SHELL}"><soap:Header><ad:To>http://pc:5985/wsman</ad:To>'
            f"<ad:Action>{action}</ad:Action>"
            f"<ad:MessageID>{message_id or f'uuid:{uuid.uuid4()}'}</ad:MessageID>"
            f"<ws:ResourceURI>{SHELL}/cmd</ws:ResourceURI><ws:OperationTimeout>{timeout}</ws:OperationTimeout>"
            f"{selector}{extra}</soap:Header><soap:Body>{body}</soap:Body></soap:Envelope>"
        ).encode()

    return make


@pytest.fixture
def open_shell(post: Callable[..., Any], envelope: Callable[..., Any]) -> Callable[..., str]:
    """Create a shell by a raw request and return its id."""

    def create(lab: RunningLab, name: str, inside: str = "", extra: str = "") -> str:
        body = f"<sh:Shell><sh:InputStreams>stdin</sh:InputStreams>{inside}</sh:Shell>"
        answer = post(lab, name, envelope(f"{TRANSFER}/Create", body, extra=extra))
        assert answer.status == 200, answer.body
        return answer.body.decode().partition('Name="ShellId">')[2].partition("<")[0]

    return create
