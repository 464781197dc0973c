"""Fixtures that every part of the suite may use."""

from __future__ import annotations

import email
import email.policy
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest

from ddcplay.lab.certificates import make_certificates
from ddcplay.lab.fleet import LabConfig, RunningLab, start_lab

LabFactory = Callable[[LabConfig], RunningLab]


@pytest.fixture(scope="session")
def lab_factory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabFactory]:
    """Start labs on demand, each a process of its own with ports of its own; all end with the session.

    A test that is done with a lab may call `stop()` itself; a lab that several tests share belongs in a
    fixture of wider scope.
    """
    running: list[RunningLab] = []

    def start(config: LabConfig) -> RunningLab:
        lab = start_lab(config, tmp_path_factory.mktemp("lab"))
        running.append(lab)
        return lab

    yield start
    for lab in running:
        lab.stop()


@dataclass
class RunningSmtp:
    """A mail server in its own process, on loopback; `stop` and `start` keep its port and what it took.

    `options` may be changed while it is stopped: `tls` (none, starttls, implicit), `user`, `password`, `drop`
    (share of sessions broken off at a random command), `seed`, `refuse` (address to reply), `refuse_sender`
    (reply), `refuse_data` (text in a mail), `delay_s`.
    """

    directory: Path
    ca: Path
    options: dict[str, Any]
    port: int = 0
    _process: subprocess.Popen[str] | None = field(default=None, repr=False)

    def start(self) -> None:
        script = Path(__file__).parent / "data" / "smtp_server.py"
        options = json.dumps({**self.options, "port": self.port})
        self._process = subprocess.Popen(
            [sys.executable, str(script), str(self.directory), options],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline())

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None

    def messages(self) -> list[EmailMessage]:
        """Return what it took, in order."""
        raw = [path.read_bytes() for path in sorted(self.directory.glob("*.eml"))]
        return [email.message_from_bytes(each, policy=email.policy.default) for each in raw]  # type: ignore[misc]

    def envelopes(self) -> list[dict[str, Any]]:
        """Return `from` and `to` of each mail it took, in order."""
        return [json.loads(path.read_text()) for path in sorted(self.directory.glob("*.json"))]

    def drops(self) -> list[str]:
        """Return at which command it broke off, once per session broken off."""
        log = self.directory / "drops.log"
        return log.read_text().split() if log.exists() else []


SmtpFactory = Callable[..., RunningSmtp]


@pytest.fixture
def smtp_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SmtpFactory]:
    """Start mail servers on demand: `smtp_server(tls="starttls", user="u", password="p", drop=0.1)`."""
    running: list[RunningSmtp] = []

    def start(**options: Any) -> RunningSmtp:
        keys = tmp_path_factory.mktemp("smtp-keys")
        made = make_certificates(keys, ["localhost"], ["127.0.0.1"], "nobody")
        options.setdefault("certificate", str(made.server))
        server = RunningSmtp(tmp_path_factory.mktemp("smtp"), made.ca, options)
        server.start()
        running.append(server)
        return server

    yield start
    for server in running:
        server.stop()
