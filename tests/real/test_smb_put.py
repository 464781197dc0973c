"""Files over SMB, to a real Samba server on loopback: what arrives, what is refused, that it always ends."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from typing import Self

import pytest

from ddcplay.errors import FaultError
from ddcplay.transport.smb import SmbAccess, send_over_smb
from ddcplay.units import Deadline, SystemClock

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def server(tmp_path_factory, start_samba):
    return start_samba(tmp_path_factory.mktemp("smb"))


@pytest.fixture
def share(server):
    for path in server.disk.iterdir():
        path.unlink()
    return server


DIRECTORY = r"C:\Users\lab\ddcplay-0123456789ab"
NAMES = ("0123456789abcdef.part", "0123456789abcdef-bench.exe")


def deadline(seconds: float = 20.0) -> Deadline:
    return Deadline.after(SystemClock(), seconds)


@pytest.mark.parametrize("size", [1, 1024 * 1024, 5 * 1024 * 1024 + 7])
def test_a_file_arrives_byte_for_byte_under_its_final_name_alone(share, size):
    content = os.urandom(size)
    send_over_smb(share.access(), DIRECTORY, NAMES, content, deadline())
    assert (share.disk / NAMES[1]).read_bytes() == content
    assert [path.name for path in share.disk.iterdir()] == [NAMES[1]]


def test_a_half_sent_file_of_an_earlier_visit_is_replaced(share):
    (share.disk / NAMES[0]).write_bytes(b"half" * 100)
    (share.disk / NAMES[1]).write_bytes(b"old" * 1000)
    send_over_smb(share.access(), DIRECTORY, NAMES, b"MZ new", deadline())
    assert (share.disk / NAMES[1]).read_bytes() == b"MZ new"
    assert not (share.disk / NAMES[0]).exists()


def test_several_visits_side_by_side_do_not_share_a_connection(share):
    errors: list[Exception] = []

    def visit(number: int) -> None:
        try:
            names = (f"{number}.part", f"{number}.exe")
            send_over_smb(share.access(), DIRECTORY, names, bytes([number]) * 200_000, deadline())
        except Exception as error:  # noqa: BLE001 - shown below
            errors.append(error)

    threads = [threading.Thread(target=visit, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    for number in range(6):
        assert (share.disk / f"{number}.exe").read_bytes() == bytes([number]) * 200_000
        (share.disk / f"{number}.exe").unlink()


def test_a_wrong_password_is_a_refused_logon_and_is_not_shown(share):
    with pytest.raises(FaultError, match="the logon was refused") as caught:
        send_over_smb(share.access("wr0ng-Secret"), DIRECTORY, NAMES, b"MZ", deadline())
    assert caught.value.reason == "transport"
    assert "wr0ng" not in str(caught.value)
    assert "wr0ng" not in repr(share.access("wr0ng-Secret"))


def test_a_directory_that_is_not_there_and_a_share_that_is_not_offered_are_faults(share):
    with pytest.raises(FaultError, match="SMB to 127"):
        send_over_smb(share.access(), r"C:\nowhere", NAMES, b"MZ", deadline())
    with pytest.raises(FaultError, match="SMB to 127"):
        send_over_smb(share.access(), r"D:\Users", NAMES, b"MZ", deadline())


def test_a_read_only_share_is_a_fault_and_leaves_nothing(tmp_path, start_samba):
    share = start_samba(tmp_path, read_only=True)
    try:
        with pytest.raises(FaultError, match="SMB to 127"):
            send_over_smb(share.access(), DIRECTORY, NAMES, b"MZ", deadline())
        assert list(share.disk.iterdir()) == []
    finally:
        share.stop()


def test_a_server_that_insists_on_encryption_is_served(tmp_path, start_samba):
    share = start_samba(tmp_path, more="server smb encrypt = required")
    try:
        content = os.urandom(300_000)
        send_over_smb(share.access(), DIRECTORY, NAMES, content, deadline())
        assert (share.disk / NAMES[1]).read_bytes() == content
    finally:
        share.stop()


def test_a_server_that_says_nothing_is_given_up_at_the_deadline():
    with socket.create_server(("127.0.0.1", 0)) as mute:
        access = SmbAccess("127.0.0.1", "root", "Pr0be-Files!", "ntlm", mute.getsockname()[1])
        began = time.monotonic()
        with pytest.raises(FaultError) as caught:
            send_over_smb(access, DIRECTORY, NAMES, b"MZ", deadline(0.6))
        assert caught.value.reason in {"timeout", "transport"}
        assert time.monotonic() - began < 4


def test_a_server_that_stops_in_the_middle_is_given_up_at_the_deadline(share):
    """A proxy lets the logon through and the first megabytes, then reads no more."""
    with Proxy(share.port, lets_through=3 * 1024 * 1024) as proxy:
        access = SmbAccess("127.0.0.1", "root", "Pr0be-Files!", "ntlm", proxy.port)
        began = time.monotonic()
        with pytest.raises(FaultError) as caught:
            send_over_smb(access, DIRECTORY, NAMES, os.urandom(40 * 1024 * 1024), deadline(2.0))
        assert caught.value.reason == "timeout"
        assert 1.9 < time.monotonic() - began < 6
    assert not (share.disk / NAMES[1]).exists()


def test_a_closed_port_is_told_at_once():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    began = time.monotonic()
    with pytest.raises(FaultError, match="SMB to 127"):
        send_over_smb(
            SmbAccess("127.0.0.1", "root", "Pr0be-Files!", "ntlm", port), DIRECTORY, NAMES, b"MZ", deadline()
        )
    assert time.monotonic() - began < 1.5


class Proxy:
    """A TCP proxy that stops reading from the client after some bytes."""

    def __init__(self, port: int, lets_through: int) -> None:
        self._front = socket.create_server(("127.0.0.1", 0))
        self._sockets = [self._front]
        self._target, self._limit = port, lets_through
        self.port = self._front.getsockname()[1]
        self._threads: list[threading.Thread] = []
        self._start(self._accept)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for each in self._sockets:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        for thread in list(self._threads):
            thread.join(5)
        for each in self._sockets:
            each.close()

    def _start(self, work, *arguments) -> None:
        thread = threading.Thread(target=work, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._front.accept()
                server = socket.create_connection(("127.0.0.1", self._target))
                self._sockets += [client, server]
                self._start(self._pump, server, client, None)
                self._start(self._pump, client, server, self._limit)

    def _pump(self, source: socket.socket, target: socket.socket, limit: int | None) -> None:
        count = 0
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                count += len(data)
                if limit is not None and count > limit:
                    return  # the sender's window fills up, as with a machine that froze
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)
