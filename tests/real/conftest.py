"""What tests with real servers share: a Samba that runs as long as it is needed."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ddcplay.transport.smb import SmbAccess

SMBD = shutil.which("smbd") or "/usr/sbin/smbd"
USER, PASSWORD = "root", "Pr0be-Files!"
CONF = """\
[global]
workgroup = LAB
server role = standalone server
interfaces = 127.0.0.1/32
bind interfaces only = yes
disable netbios = yes
smb ports = {port}
passdb backend = tdbsam:{base}/passdb.tdb
private dir = {base}/private
lock directory = {base}/lock
state directory = {base}/state
cache directory = {base}/cache
pid directory = {base}/run
ncalrpc dir = {base}/ncalrpc
log file = {base}/smbd.log
load printers = no
printcap name = /dev/null
{more}
[C$]
path = {disk}
read only = {read_only}
"""


def _samba_missing() -> str:
    if not Path(SMBD).exists() or shutil.which("smbpasswd") is None:
        return "Samba is not installed (apt-get install samba)"
    return "" if os.name == "posix" and os.geteuid() == 0 else "smbd with accounts of its own needs root"


class Share:
    """A running Samba with one share, `C$`; without a disk of its own it serves an empty one."""

    user, password = USER, PASSWORD

    def __init__(
        self, base: Path, *, disk: Path | None = None, read_only: bool = False, more: str = ""
    ) -> None:
        self.disk = base / "disk" / "Users" / "lab" / "ddcplay-0123456789ab"
        self.disk.mkdir(parents=True)
        for name in ("private", "lock", "state", "cache", "run", "ncalrpc"):
            (base / name).mkdir()
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        conf = base / "smb.conf"
        words = {"port": self.port, "base": base, "disk": disk or base / "disk", "more": more}
        conf.write_text(CONF.format(**words, read_only="yes" if read_only else "no"))
        subprocess.run(
            ["smbpasswd", "-c", str(conf), "-s", "-a", USER],
            input=f"{PASSWORD}\n{PASSWORD}\n",
            text=True,
            check=True,
            capture_output=True,
        )
        self._server = subprocess.Popen(
            [SMBD, "-F", "--no-process-group", "-s", str(conf), "-p", str(self.port)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        self._wait()

    def _wait(self) -> None:
        until = time.monotonic() + 20
        while time.monotonic() < until:
            try:
                socket.create_connection(("127.0.0.1", self.port), 0.2).close()
            except OSError:
                time.sleep(0.05)
            else:
                return
        raise AssertionError("smbd did not come up")

    def access(self, password: str = PASSWORD) -> SmbAccess:
        return SmbAccess("127.0.0.1", USER, password, "ntlm", self.port)

    def stop(self) -> None:
        if self._server.poll() is None:
            os.killpg(self._server.pid, 15)
            self._server.wait(10)


@pytest.fixture(scope="session")
def start_samba() -> Iterator[Callable[..., Share]]:
    """Start Samba servers; what a test does not stop ends with the session."""
    reason = _samba_missing()
    if reason:
        if os.environ.get("CI"):
            pytest.fail(f"the CI machine must have it: {reason}")
        pytest.skip(reason)
    running: list[Share] = []

    def start(base: Path, **how: object) -> Share:
        running.append(Share(base, **how))
        return running[-1]

    yield start
    for share in running:
        share.stop()
