"""Files over SMB to a target's administrative share, psexec's own way: quick, and nothing runs on the target.

smbprotocol waits without limit for a peer that says nothing, and keeps its connections in a cache of the
whole process. Here each transfer has a connection of its own, and a watchdog shuts its socket when time is
up.
"""

from __future__ import annotations

import contextlib
import hashlib
import socket
import threading
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import PureWindowsPath
from typing import Any

from ddcplay.errors import FaultError
from ddcplay.units import Deadline

CONNECT_S = 1.5
"""Where 445 is filtered this is lost once per file, so it is short."""
_CLOSE_S = 1.0
_CHUNK_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class SmbAccess:
    """How to log on to a host's shares: with what the WinRM connection was logged on with.

    Args:
        server: name or address.
        user: as in the inventory, None for the session's own ticket.
        password: the secret, None with Kerberos.
        protocol: `ntlm` or `kerberos`.
        port: 445 but in tests.
    """

    server: str
    user: str | None
    password: str | None = field(repr=False)
    protocol: str = "ntlm"
    port: int = 445


def send_over_smb(
    access: SmbAccess | None, directory: str, names: tuple[str, str], content: bytes, deadline: Deadline
) -> None:
    r"""Write a file into a directory of the target, compare what arrived, and rename it into place.

    Args:
        access: where and how, None when there is no way to log on.
        directory: `C:\...` as the target resolved it; it exists.
        names: name while it is being written, and the final one.
        content: the bytes.
        deadline: when the sockets are shut, whatever happens.

    Raises:
        FaultError: `transport` or `timeout`; nothing stands under the final name unless it is complete.
    """
    if access is None:
        raise FaultError("transport", "SMB cannot log on with a certificate", "write `copy: winrm`")
    place = PureWindowsPath(directory)
    share = rf"\\{_unc_host(access.server)}\{place.drive[0]}$"
    folder = "\\".join([share, *place.parts[1:]])
    with _session(access, deadline) as options, _translated(access, deadline):
        import smbclient  # noqa: PLC0415 - heavy, and needed by visits that send files only

        part, final = (f"{folder}\\{name}" for name in names)
        with _opened(smbclient.open_file(part, mode="wb", buffering=0, **options)) as target:
            for at in range(0, len(content), _CHUNK_BYTES):
                _write_all(target, content[at : at + _CHUNK_BYTES])
        digest = hashlib.sha256()
        reading = smbclient.open_file(part, mode="rb", buffering=0, share_access="r", **options)
        with _opened(reading) as source:
            while chunk := source.read(_CHUNK_BYTES):
                digest.update(chunk)
        if digest.digest() != hashlib.sha256(content).digest():
            raise FaultError(
                "transport", "SMB: the file arrived changed", "look at the target's virus scanner"
            )
        smbclient.replace(part, final, **options)


@contextlib.contextmanager
def _opened(file: Any) -> Iterator[Any]:
    """Close a remote file; when that fails, with the connection, leave nothing that tries it again later."""
    try:
        yield file
    finally:
        try:
            file.close()
        except BaseException:
            file.fd._connected = False  # noqa: SLF001 - else its __del__ talks to a dead connection, in any thread
            raise


def _write_all(target: Any, piece: bytes) -> None:
    view = memoryview(piece)
    while view:
        view = view[target.write(view) :]


def _unc_host(server: str) -> str:
    r"""Return a server as it may stand in `\\server\share`: colons of IPv6 have a form of their own."""
    return server.replace(":", "-").replace("%", "s") + ".ipv6-literal.net" if ":" in server else server


@contextlib.contextmanager
def _session(access: SmbAccess, deadline: Deadline) -> Iterator[dict[str, Any]]:
    """Log on, with a connection cache of our own; yields what every call of smbclient needs."""
    import smbclient  # noqa: PLC0415 - as above
    from smbprotocol.connection import Connection  # noqa: PLC0415 - as above

    # Asked for in advance: smbprotocol would wait for its own limit, and a name may take long to resolve.
    with _translated(access, deadline):
        socket.create_connection(
            (access.server, access.port), min(CONNECT_S, deadline.remaining_s() or 0.001)
        ).close()
    connection = Connection(uuid.uuid4(), access.server, access.port, require_signing=True)
    watchdog = threading.Timer(max(deadline.remaining_s(), 0.001), _shut, [connection])
    watchdog.daemon = True
    watchdog.start()
    cache = {f"{_unc_host(access.server).lower()}:{access.port}": connection}
    try:
        with _translated(access, deadline):
            connection.connect(timeout=CONNECT_S)
            smbclient.register_session(
                _unc_host(access.server),
                username=access.user,
                password=access.password,
                port=access.port,
                connection_cache=cache,
                auth_protocol=access.protocol,
            )
        yield {"port": access.port, "connection_cache": cache}
    finally:
        watchdog.cancel()
        closing = threading.Timer(_CLOSE_S, _shut, [connection])
        closing.daemon = True
        closing.start()
        with contextlib.suppress(Exception):  # closing must not hide what happened before
            connection.disconnect(timeout=_CLOSE_S)
        closing.cancel()


def _shut(connection: Any) -> None:
    # `transport.close` would wait for the lock that a blocked send holds; the socket itself wakes both sides.
    raw = getattr(connection.transport, "_sock", None)
    if raw is not None:
        with contextlib.suppress(OSError):
            raw.shutdown(socket.SHUT_RDWR)


@contextlib.contextmanager
def _translated(access: SmbAccess, deadline: Deadline) -> Iterator[None]:
    """Turn everything smbprotocol raises into a fault; its texts hold no secrets, but may be long."""
    from smbprotocol.exceptions import LogonFailure, SMBAuthenticationError, SMBException  # noqa: PLC0415 - as above

    try:
        yield
    except FaultError:
        raise
    except (SMBException, OSError, ValueError, RuntimeError) as error:
        where = f"SMB to {access.server}:{access.port}"
        if deadline.expired():
            raise FaultError("timeout", f"{where}: not done in time", "raise `timeout`") from error
        if isinstance(error, SMBAuthenticationError | LogonFailure):
            raise FaultError(
                "transport", f"{where}: the logon was refused", "write `copy: winrm`, or allow the account"
            ) from error
        what = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        raise FaultError("transport", f"{where}: {what}", "write `copy: winrm`, or open port 445") from error
