"""pywinrm's `Transport` with our sockets, our envelopes and our idea of an answer.

pywinrm brings authentication and message encryption. The session below it is built here because its own reads
proxies and authorities from the environment, and rewrites `os.environ` on the way, which threads cannot bear.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from typing import Any, cast
from urllib.parse import urlsplit

import requests
import requests.auth
import winrm.transport as pywinrm
from winrm.encryption import Encryption

from ddcplay.errors import FaultError
from ddcplay.model.plan import Target
from ddcplay.transport.winrm_auth import SEALING, Method
from ddcplay.transport.winrm_faults import (
    ConnectionCutError,
    StaleConnectionError,
    status_fault,
    translated,
)
from ddcplay.transport.winrm_http import WireAdapter
from ddcplay.transport.winrm_ntlm import NtlmAuth
from ddcplay.transport.winrm_wire import Wire
from ddcplay.transport.wsman import Request
from ddcplay.transport.wsman_read import read_envelope
from ddcplay.units import Deadline

_SOAP_TYPE = "application/soap+xml;charset=UTF-8"
_CERTIFICATE_LOGON = "http://schemas.dmtf.org/wbem/wsman/1/wsman/secprofile/https/mutual"
_ORIGINAL_LENGTH = re.compile(rb"OriginalContent:[^\r\n]*Length=(\d{1,9})")
_OCTETS = re.compile(rb"\r\n\t?Content-Type: application/octet-stream\r\n", re.IGNORECASE)
_BOUNDARY = re.compile(rb"-- ?Encrypted Boundary")


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer.

    Args:
        status: HTTP status.
        body: opened when it was sealed.
    """

    status: int
    body: bytes


class _Seal(Encryption):
    """pywinrm's sealing, put right where CredSSP over TLS 1.3 goes wrong."""

    def _get_credssp_trailer_length(self, message_length: int, cipher_suite: str) -> int:
        if cipher_suite.startswith("TLS_"):
            # TLS 1.3 hides one byte of content type beside the 16 of the tag (RFC 8446, 5.2); pywinrm says 8.
            return 17
        return int(super()._get_credssp_trailer_length(message_length, cipher_suite))

    def close_up(self, message: bytes, host: str | None) -> tuple[str, bytes]:
        """Seal an envelope; return its content type and the sealed parts (MS-WSMV 2.2.9.1)."""
        piece = self.SIXTEN_KB if self.protocol == "credssp" else len(message)
        parts = [message[at : at + piece] for at in range(0, len(message), piece)]
        kind = "multipart/x-multi-encrypted" if len(parts) > 1 else "multipart/encrypted"
        sealed: bytes = b"".join(self._encrypt_message(part, host) for part in parts)
        protocol = self.protocol_string.decode()
        content_type = f'{kind};protocol="{protocol}";boundary="Encrypted Boundary"'
        return content_type, sealed + self.MIME_BOUNDARY + b"--\r\n"

    def open(self, sealed: bytes, host: str | None) -> bytes:
        """Open a sealed answer; the TAB that pywinrm insists on may be missing (seen with native peers)."""
        opened = b""
        parts = [part for part in _BOUNDARY.split(sealed) if part.strip(b"-\r\n")]
        if len(parts) % 2:
            raise ValueError("sealed parts come in pairs")
        for head, content in zip(parts[::2], parts[1::2], strict=True):
            length = _ORIGINAL_LENGTH.search(head)
            start = _OCTETS.match(content)
            if length is None or start is None:
                raise ValueError("a sealed part has no length or no content")
            data = content[start.end() :]
            if len(data) < 4 or not 0 < struct.unpack_from("<i", data)[0] <= len(data) - 4:
                raise ValueError("a sealed part is cut off")
            piece: bytes = self._decrypt_message(data, host)
            if len(piece) != int(length[1]):
                raise ValueError("a sealed part has another length than it says")
            opened += piece
        return opened


class _AuthHolder:
    """What pywinrm's sealing needs of a session: the security context alone."""

    def __init__(self, auth: Any) -> None:
        self.auth = auth


class Login(pywinrm.Transport):
    """One authenticated HTTP conversation.

    Args:
        target: where and how.
        url: the endpoint.
        method: chosen authentication.
        password: the secret, None when the method needs none.
        adapter: our sockets.
    """

    def __init__(
        self, target: Target, url: str, method: Method, password: str | None, adapter: WireAdapter
    ) -> None:
        super().__init__(
            endpoint=url,
            username=target.user,
            password=password,
            service=target.service,
            ca_trust_path="",
            cert_pem=target.cert_pem,
            cert_key_pem=target.cert_key_pem,
            # The adapter's TLS context decides; pywinrm would only change the warning filters of the process.
            server_cert_validation="validate",
            kerberos_delegation=target.kerberos_delegation,
            kerberos_hostname_override=target.kerberos_hostname_override,
            auth_method=cast("Any", method.name),
            message_encryption="always" if method.sealed else "never",
            send_cbt=target.send_cbt,
            proxy=target.proxy,
        )
        self._sealed = method.sealed
        self._seal: _Seal | None = None
        self._adapter = adapter
        self._verify = target.cert_validation
        self._pattern: requests.PreparedRequest | None = None
        self._host = urlsplit(url).hostname

    def build_session(self) -> requests.Session:
        """Build the session without a look at the environment."""
        if self.session is None:
            session = requests.Session()
            session.trust_env = False
            session.verify = self._verify
            session.headers.clear()
            session.headers.update(
                {"User-Agent": "ddcplay", "Content-Type": _SOAP_TYPE, "Connection": "Keep-Alive"}
            )
            session.proxies = {"http": self.proxy, "https": self.proxy} if self.proxy else {}
            session.mount("http://", self._adapter)
            session.mount("https://", self._adapter)
            session.auth = self._authentication(session)
            self.session = session
        return self.session

    def _authentication(self, session: requests.Session) -> requests.auth.AuthBase | None:
        if self.auth_method == "certificate":
            session.headers["Authorization"] = _CERTIFICATE_LOGON
            return None
        if self.auth_method == "basic":
            # As bytes: requests would encode text as Latin-1 and fail on other letters.
            return requests.auth.HTTPBasicAuth((self.username or "").encode(), (self.password or "").encode())
        # These classes are re-exported by pywinrm when their packages are there, without saying so.
        offered: Any = pywinrm
        auth: requests.auth.AuthBase
        if self.auth_method == "ntlm":
            auth = NtlmAuth(self.username, self.password, send_cbt=self.send_cbt)
        elif self.auth_method == "credssp":
            auth = offered.HttpCredSSPAuth(self.username, self.password)
        else:
            auth = offered.HTTPKerberosAuth(
                mutual_authentication=offered.REQUIRED,
                delegate=self.kerberos_delegation,
                force_preemptive=True,
                principal=self.username,
                hostname_override=self.kerberos_hostname_override,
                sanitize_mutual_error_response=False,
                service=self.service,
                send_cbt=self.send_cbt,
            )
        return auth

    def log_on(self, wire: Wire, deadline: Deadline) -> None:
        """Authenticate the connection with an empty request, before anything that has an effect is sent.

        Methods that authenticate each request by itself (Basic, certificate) have nothing to do here.

        Raises:
            FaultError: `auth` when refused, else `transport` or `timeout`.
        """
        session = self.build_session()
        if self.auth_method not in SEALING:
            return
        wire.begin(deadline)
        before = wire.sockets
        try:
            with translated("logon"):
                request = session.prepare_request(requests.Request("POST", self.endpoint))
                response = session.send(
                    request, timeout=deadline.remaining_s() or 0.001, allow_redirects=False
                )
        except ConnectionCutError as cut:
            if self.endpoint.startswith("http:"):
                cut.hint = f"{cut.hint}; a port that speaks TLS does the same (ansible_winrm_scheme: https)"
            raise
        if response.status_code == 401 and wire.sockets - before > (1 if self.auth_method == "ntlm" else 2):
            # Windows closes after a bare first request only (CredSSP); then one connection carries it all.
            # So this is no refusal: the credential must not be held to be wrong for it.
            raise FaultError(
                "transport",
                "logon: the connection was closed in the middle of the security exchange",
                "a proxy or firewall between here and the target closes connections: go around it",
                retryable=True,
            )
        if response.status_code == 500 and "application/soap+xml" in response.headers.get("Content-Type", ""):
            # The password was taken, the right to use WinRM is missing: some versions say so this early.
            read_envelope(response.content, Request("logon", "", b""))
        if response.status_code >= 300:
            raise status_fault(response.status_code, "logon", response.headers.get("WWW-Authenticate", ""))
        # From here on the TCP connection is what is authenticated: requests carry no Authorization, and a new
        # connection would not be logged on, so urllib3 must not open one behind our back.
        wire.bound = True
        if self._sealed:
            with translated("logon"):
                self._seal = _Seal(cast("Any", _AuthHolder(session.auth)), self.auth_method)
        session.auth = None

    def post(self, body: bytes, what: str, wire: Wire, deadline: Deadline) -> Answer:
        """Send one envelope and return the answer.

        Args:
            body: the envelope.
            what: name of the request, for messages.
            wire: the sockets below.
            deadline: when the wait for the answer ends.

        Raises:
            StaleConnectionError: certainly not accepted; log on anew and send it again.
            FaultError: anything else that is no 200, 204 or 500 with a body.
        """
        wire.begin(deadline)
        with translated(what):
            # Straight to the adapter: what a session adds (cookies, redirects, hooks) is not wanted here.
            response = self._adapter.send(
                self._prepare(body),
                timeout=deadline.remaining_s() or 0.001,
                verify=self._verify,
                proxies=self.build_session().proxies,
            )
            _ = response.content  # read now, while its trouble is translated
        status = response.status_code
        if status in (400, 401) and wire.bound:
            raise StaleConnectionError(f"{what}: HTTP {status} on a connection that was logged on", status)
        if status == 204 or (status == 200 and not response.content):
            return Answer(status, b"")
        if status not in (200, 500) or not response.content:
            raise status_fault(status, what, response.headers.get("WWW-Authenticate", ""))
        return Answer(status, self._opened(response, what))

    def _prepare(self, body: bytes) -> requests.PreparedRequest:
        # requests prepares in general what never changes here; its checks cost more CPU than all the rest.
        if self._pattern is None:
            session = self.build_session()
            self._pattern = session.prepare_request(requests.Request("POST", self.endpoint))
        prepared = requests.PreparedRequest()
        prepared.method, prepared.url = self._pattern.method, self._pattern.url
        prepared.headers = self._pattern.headers.copy()
        prepared.body = body
        if self._seal is not None:
            prepared.headers["Content-Type"], prepared.body = self._seal.close_up(body, self._host)
        prepared.headers["Content-Length"] = str(len(prepared.body))
        return prepared

    def _opened(self, response: requests.Response, what: str) -> bytes:
        content: bytes = response.content
        if self._seal is None:
            return content
        protocol = self._seal.protocol_string.decode().lower()
        if protocol not in (response.headers.get("Content-Type") or "").lower():
            raise FaultError(
                "transport",
                f"{what}: the answer to an encrypted request came in clear (HTTP {response.status_code})",
                "something between here and the target, or not WinRM, answered: it is not trusted",
                connection_lost=True,
            )
        with translated(f"{what}: opening the encrypted answer"):
            return self._seal.open(content, self._host)
