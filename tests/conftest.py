"""Fixtures that every part of the suite may use."""

from __future__ import annotations

import email
import email.policy
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from email.message import EmailMessage
from pathlib import Path
from typing import Any
from urllib.parse import quote

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


class PostgresServer:
    """A real PostgreSQL on a loopback port, with one role that must give its password; no root needed.

    Args:
        binaries: where `initdb` and `postgres` are.
        directory: for its data; the account it runs as must be able to enter.
    """

    USER, PASSWORD = "ddc play", "s3cret:p/w %@"

    def __init__(self, binaries: Path, directory: Path) -> None:
        self._binaries = binaries
        self._data = directory / "data"
        self._log = directory / "log"
        # initdb refuses root; the account of Debian's package is as good as any other.
        self._as_user: dict[str, Any] = {}
        if os.getuid() == 0:
            self._as_user = {"user": "postgres", "group": "postgres", "extra_groups": ()}
            shutil.chown(directory, "postgres", "postgres")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]
        self._process: subprocess.Popen[bytes] | None = None
        self._made = 0
        command = [
            "initdb",
            "--no-sync",
            "-A",
            "scram-sha-256",
            "-U",
            "boss",
            "--pwfile",
            str(directory / "pw"),
        ]
        (directory / "pw").write_text("boss")
        self._run(*command, "-E", "UTF8", "--locale=C.UTF-8", "-D", str(self._data))
        self.start()
        role = f'"{self.USER}"'
        self.sql(
            f"CREATE ROLE {role} LOGIN PASSWORD '{self.PASSWORD}'",
            # What an administrator may have set, and ddcplay must not depend on.
            f"ALTER ROLE {role} SET synchronous_commit = off",
            f"ALTER ROLE {role} SET default_transaction_isolation = serializable",
        )

    def start(self) -> None:
        """Start it, and return when it takes connections."""
        options = {
            "port": self.port, "listen_addresses": "127.0.0.1", "unix_socket_directories": "",
            "fsync": "off", "timezone": "Asia/Kathmandu", "max_connections": 200, "shared_buffers": "32MB",
            "autovacuum": "off",
        }  # fmt: skip
        arguments = [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [self._binaries / "postgres", "-D", self._data, *arguments],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/", **self._as_user,
            )  # fmt: skip
        ready = [self._binaries / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        for _ in range(500):
            if subprocess.run(ready, check=False, stderr=subprocess.DEVNULL).returncode == 0:
                return
            if self._process.poll() is not None:
                break
        raise RuntimeError(f"PostgreSQL did not start:\n{self._log.read_text()}")

    def stop(self) -> None:
        """End it at once, every connection with it; what was committed is recovered by `start`."""
        if self._process is not None:
            self._process.send_signal(3)  # SIGQUIT: immediate shutdown
            self._process.wait()
            self._process = None

    def restart(self) -> None:
        """Let every connection break."""
        self.stop()
        self.start()

    def sql(self, *statements: str, database: str = "postgres") -> list[tuple[Any, ...]]:
        """Run statements as administrator; return the rows of the last."""
        import psycopg  # noqa: PLC0415 - most of the suite needs none

        arguments = {"host": "127.0.0.1", "port": self.port, "user": "boss", "password": "boss"}
        with psycopg.connect(**arguments, dbname=database, autocommit=True) as connection:  # type: ignore[arg-type]
            for statement in statements:
                cursor = connection.execute(statement)  # type: ignore[call-overload]
            return cursor.fetchall() if cursor.description else []

    def database(self, template: str = "template1") -> str:
        """Make a database; return its URL with the password in it."""
        self._made += 1
        name = f"test{self._made}"
        self.sql(f'CREATE DATABASE {name} OWNER "{self.USER}" TEMPLATE {template} STRATEGY FILE_COPY')
        return self.url(name)

    def url(self, name: str) -> str:
        """Return the URL of a database."""
        user, password = quote(self.USER, safe=""), quote(self.PASSWORD, safe="")
        return f"postgresql://{user}:{password}@127.0.0.1:{self.port}/{name}"

    def drop(self, url: str) -> None:
        """Remove a database whoever uses it."""
        self.sql(f"DROP DATABASE {url.rpartition('/')[2]} WITH (FORCE)")

    def _run(self, program: str, *arguments: str) -> None:
        subprocess.run(
            [self._binaries / program, *arguments],
            check=True, stdout=subprocess.DEVNULL, cwd="/", **self._as_user,
        )  # fmt: skip


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """Start PostgreSQL once; tests that use it belong to xdist group `postgres`, so that it is one server."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))  # where Debian keeps it, off the PATH
    initdb = str(found[-1]) if found else shutil.which("initdb")
    if initdb is None:
        pytest.skip("PostgreSQL's server is not installed (Debian: postgresql)")
    # Not below pytest's own directory, which other accounts may not enter.
    directory = Path(tempfile.mkdtemp(prefix="ddcplay-postgres-"))
    server = PostgresServer(Path(initdb).parent, directory)
    yield server
    server.stop()
    shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres_template(postgres_server: PostgresServer) -> str:
    """Migrate one database, of which the others are copies."""
    import sqlalchemy as sa  # noqa: PLC0415 - most of the suite needs none

    from ddcplay.store.dialect import database_url, open_engine  # noqa: PLC0415 - as above
    from ddcplay.store.migrations import upgrade  # noqa: PLC0415 - as above

    engine: sa.Engine = open_engine(database_url(Path(), postgres_server.database()))
    upgrade(engine, "template")
    engine.dispose()
    return "test1"


@pytest.fixture
def postgres_url(postgres_server: PostgresServer, postgres_template: str) -> Iterator[Callable[[], str]]:
    """Make databases on demand, each with the newest schema and empty."""
    made: list[str] = []

    def make() -> str:
        made.append(postgres_server.database(postgres_template))
        return made[-1]

    yield make
    for url in made:
        postgres_server.drop(url)
