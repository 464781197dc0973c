"""Who is at the other end: Basic, client certificates, and NTLM (raw or in SPNEGO) under Negotiate.

A login by Negotiate belongs to one TCP connection; Basic and certificates to one request.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import socket
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import spnego
from spnego._ntlm_raw.crypto import ntowfv1  # no public way to the hash; it also spares 1 ms of DES per login
from spnego.channel_bindings import GssChannelBindings

from ddcplay.lab.host import SimulatedHost

MUTUAL = "http://schemas.dmtf.org/wbem/wsman/1/wsman/secprofile/https/mutual"
_TYPE_3 = b"NTLMSSP\x00\x03\x00\x00\x00"
_AV_CHANNEL_BINDINGS = 10


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a login attempt led to.

    Args:
        state: `accepted`, `continue` (send the header with a 401 and keep the connection) or `refused`.
        header: value of WWW-Authenticate, empty for none.
    """

    state: Literal["accepted", "continue", "refused"]
    header: str = ""


REFUSED = Verdict("refused")


class UserFile:
    """The account file pyspnego's NTLM acceptor reads; one per account, written when first needed.

    Args:
        directory: where the files go.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._written: dict[tuple[str, str, str, str], Path] = {}

    def select(self, host: SimulatedHost) -> None:
        """Make the account of a host the one that the acceptor of this process knows."""
        account = (host.blueprint.user, host.password, host.blueprint.domain, host.machine.computer_name)
        path = self._written.get(account)
        if path is None:
            digest = hashlib.sha256("\x00".join(account).encode()).hexdigest()[:16]
            path = self._directory / f"account-{digest}"
            path.touch(mode=0o600)
            path.write_text(_account_lines(*account), encoding="utf-8")
            self._written[account] = path
        os.environ["NTLM_USER_FILE"] = str(path)


def _account_lines(user: str, password: str, domain: str, computer: str) -> str:
    # Windows takes the domain it was told, the computer's own name, a dot, and the target name of the
    # challenge (Go clients send that one), which in pyspnego is the name of this machine.
    tail = f":1000:{'0' * 32}:{ntowfv1(password).hex().upper()}:[U]:LCT-00000000\n"
    domains = (domain, computer, ".", socket.gethostname().upper())
    return "".join(
        f"{name}{tail}" for name in (user, f"{user}@{domain}", *(f"{part}\\{user}" for part in domains))
    )


class Login:
    """The login state of one TCP connection.

    Args:
        host: whose account counts.
        users: the acceptor's account files.
        certificate: the server certificate in DER, None without TLS.
    """

    def __init__(self, host: SimulatedHost, users: UserFile, certificate: bytes | None) -> None:
        self._host = host
        self._users = users
        self._certificate = certificate
        self.context: spnego.ContextProxy | None = None
        self.user: str | None = None

    def basic(self, value: str) -> Verdict:
        """Check a Basic header; the login counts for this request only."""
        try:
            raw = base64.b64decode(value, validate=True)
        except binascii.Error:
            return REFUSED
        try:
            text = raw.decode("utf-8")
        except UnicodeDecodeError:
            text = raw.decode("latin-1")
        name, _, password = text.partition(":")
        good = self._is_account(name) and password == self._host.password
        return Verdict("accepted") if good else REFUSED

    def negotiate(self, value: str) -> Verdict:
        """Take one token of a Negotiate login."""
        try:
            token = base64.b64decode(value, validate=True)
        except binascii.Error:
            return REFUSED
        self._users.select(self._host)
        if self.context is None or self.context.complete:
            raw = token.startswith(b"NTLMSSP\x00")
            self.user = None
            self.context = spnego.server(protocol="ntlm" if raw else "negotiate")
        try:
            answer = self._step(self.context, token)
        except Exception:  # noqa: BLE001 - the acceptor raises many kinds for bytes it does not like (AttributeError too)
            self.context = None
            return REFUSED
        header = f"Negotiate {base64.b64encode(answer).decode()}" if answer else ""
        if not self.context.complete:
            return Verdict("continue", header)
        self.user = self._host.blueprint.user.lower()
        return Verdict("accepted", header)

    def _step(self, context: spnego.ContextProxy, token: bytes) -> bytes | None:
        if _TYPE_3 not in token:
            return context.step(token)
        bindings = None
        if self._certificate is not None:
            sent = _sent_bindings(token)
            if sent:
                bindings = GssChannelBindings(application_data=endpoint_binding(self._certificate))
            elif self._host.blueprint.cbt == "strict":
                raise ValueError("strict channel binding: the token carries none")
        return context.step(token, channel_bindings=bindings)

    def _is_account(self, name: str) -> bool:
        user, domain = self._host.blueprint.user.lower(), self._host.blueprint.domain.lower()
        computer = self._host.machine.computer_name.lower()
        known = (user, f"{domain}\\{user}", f"{user}@{domain}", f".\\{user}", f"{computer}\\{user}")
        return name.lower() in known


def endpoint_binding(certificate: bytes) -> bytes:
    """Return the tls-server-end-point binding of a certificate (RFC 5929)."""
    return b"tls-server-end-point:" + hashlib.sha256(certificate).digest()


def _sent_bindings(token: bytes) -> bytes:
    """Return the channel bindings of an NTLM type 3 message; empty for none or zeros (MS-NLMP 2.2.1.3)."""
    message = token[token.index(_TYPE_3) :]
    length, _, offset = struct.unpack_from("<HHI", message, 20)
    pairs = message[offset : offset + length][16 + 28 :]
    while len(pairs) >= 4:
        kind, size = struct.unpack_from("<HH", pairs)
        if kind == _AV_CHANNEL_BINDINGS:
            return pairs[4 : 4 + size].strip(b"\x00")
        if kind == 0:
            break
        pairs = pairs[4 + size :]
    return b""
