"""The one place where foreign errors become ours: requests, urllib3, TLS, spnego, pywinrm and HTTP statuses.

Their texts may hold URLs, headers or account names, so only what is known to be harmless is taken over; every
message is one bounded line and never holds a secret.
"""

from __future__ import annotations

import http.client
import ssl
import struct
from collections.abc import Iterator
from contextlib import contextmanager

import requests
import urllib3.exceptions
from spnego.exceptions import SpnegoError
from winrm.exceptions import AuthenticationError, WinRMError, WinRMOperationTimeoutError, WinRMTransportError

from ddcplay.errors import FaultError
from ddcplay.transport.wsman_fault import one_line

_DOCTOR = "`ddcplay doctor HOST` tries every step and names the one that fails"
_NO_RIGHT = (
    "the account may lack the right to use WinRM (Remote Management Users or Administrators; for a local "
    "administrator LocalAccountTokenFilterPolicy=1), or the target demands the encryption written off here"
)


class MuteError(FaultError):
    """The peer did not answer in time; the conversation is out of step and must be given up."""

    def __init__(self, waited_for: str) -> None:
        super().__init__(
            "timeout",
            f"no answer in time while waiting for {waited_for}",
            "the target is overloaded or went to sleep; give the probe more time if it is only slow",
            connection_lost=True,
        )


class NotAcceptedError(FaultError):
    """The request was certainly not carried out: it never left, or was turned away at the door."""


class StaleConnectionError(NotAcceptedError):
    """The target had closed the idle connection; nothing of the request was accepted.

    Args:
        what: what happened.
        status: HTTP status by which the target said so, 0 when the connection was just gone.
    """

    def __init__(self, what: str = "the target had closed the idle connection", status: int = 0) -> None:
        super().__init__(
            "transport", what, "the session is rebuilt by itself; see HTTP.sys' idle limit", retryable=True
        )
        self.status = status

    def lasting(self) -> FaultError:
        """What it means when a fresh logon does not cure it."""
        if self.status != 401:
            return self
        return NotAcceptedError("auth", f"{self.message}, though the logon itself was taken", _NO_RIGHT)


class ConnectionCutError(FaultError):
    """The connection ended while an answer was awaited; whether the request was carried out is unknown.

    Args:
        what: what happened.
        answer_begun: some of the answer had arrived, so asking again would lose it.
    """

    def __init__(self, what: str, *, answer_begun: bool = False) -> None:
        super().__init__("transport", what, "WinRM or the target restarted, or a firewall cuts connections")
        self.answer_begun = answer_begun


class TlsFaultError(FaultError):
    """TLS could not be set up; nothing was sent over it."""


def _transport(what: str, hint: str = _DOCTOR) -> FaultError:
    return FaultError("transport", one_line(what), hint)


# OpenSSL's verify codes (x509_vfy.h) -> what is wrong, how to fix it.
_CERTIFICATE: dict[int, tuple[str, str]] = {
    10: ("the certificate has expired", "renew the certificate of the target's HTTPS listener"),
    9: ("the certificate is not valid yet", "check the clocks of the target and of this machine"),
    62: (
        "the certificate is for another name",
        "write the name of the certificate as ansible_host, or renew it",
    ),
    64: (
        "the certificate is for another address",
        "use the host's name instead of its address as ansible_host",
    ),
    18: (
        "the certificate is self-signed",
        "give it by ansible_winrm_ca_trust_path, or enrol one from your authority",
    ),
    19: (
        "the certificate's authority is unknown",
        "give the authority's PEM file by ansible_winrm_ca_trust_path",
    ),
    20: (
        "the certificate's authority is unknown",
        "give the authority's PEM file by ansible_winrm_ca_trust_path",
    ),
    21: (
        "the certificate's authority is unknown",
        "give the authority's PEM file by ansible_winrm_ca_trust_path",
    ),
}


def tls_fault(error: BaseException) -> TlsFaultError:
    """Name what is wrong with TLS: wrong name, expired, unknown authority, or no TLS at all."""
    found = _cause(error, ssl.SSLError)
    if isinstance(found, ssl.SSLCertVerificationError):
        what, hint = _CERTIFICATE.get(
            # Both are missing when Windows or macOS judged the certificate instead of OpenSSL.
            getattr(found, "verify_code", 0),
            (one_line(getattr(found, "verify_message", "") or "the certificate is refused"), _DOCTOR),
        )
        return TlsFaultError("transport", f"TLS: {what}", hint)
    library = one_line(str(getattr(found, "reason", "") or "the handshake failed")).replace("_", " ").lower()
    return TlsFaultError(
        "transport",
        f"TLS: {library}",
        "is it an HTTPS listener (5986)? A refused client certificate or an old TLS version look alike",
    )


def _cause(error: BaseException | None, wanted: type[BaseException]) -> BaseException | None:
    """Find an error of a class in what another one wraps: causes, contexts, arguments and `reason`."""
    pending: list[object] = [error]
    for _ in range(20):
        if not pending:
            return None
        current = pending.pop(0)
        if isinstance(current, wanted):
            return current
        if isinstance(current, BaseException):
            pending += [
                current.__cause__,
                current.__context__,
                getattr(current, "reason", None),
                *current.args,
            ]
    return None


@contextmanager
def translated(what: str) -> Iterator[None]:
    """Turn whatever the libraries below raise into a `FaultError`; the most specific first.

    Args:
        what: what was being done, for the message.

    Raises:
        FaultError: always instead of anything else (KeyboardInterrupt and the like pass).
    """
    try:
        yield
    except FaultError:
        raise
    except Exception as error:
        raise _translate(error, what) from error


def _translate(error: Exception, what: str) -> FaultError:
    name = type(error).__name__
    if isinstance(error, requests.exceptions.SSLError | urllib3.exceptions.SSLError | ssl.SSLError):
        return tls_fault(error)
    if isinstance(error, requests.exceptions.ProxyError | urllib3.exceptions.ProxyError):
        return _transport(f"{what}: the proxy refused or failed", "check ansible_winrm_proxy")
    if isinstance(error, TimeoutError | requests.exceptions.Timeout | urllib3.exceptions.TimeoutError):
        return MuteError(what)
    if isinstance(error, _CUT):
        return ConnectionCutError(f"{what}: the connection was cut ({name})")
    if isinstance(error, PermissionError):
        return FaultError(
            "auth",
            f"{what}: the target did not go on with NTLM",
            "NTLM may be off by policy there: use Kerberos",
        )
    if isinstance(error, AuthenticationError):
        return FaultError("auth", f"{what}: the credentials were refused", "check user name and password")
    if _is_kerberos(error):
        return FaultError(
            "auth",
            one_line(f"{what}: Kerberos failed: {error}"),
            "check the ticket (klist), the name (no address; SPN HTTP/name) and the clock",
        )
    if isinstance(error, SpnegoError):
        return _transport(
            f"{what}: the security exchange failed ({name})",
            "the answer was damaged or not sealed by the target",
        )
    if isinstance(error, WinRMError | WinRMTransportError | WinRMOperationTimeoutError | _DAMAGED):
        return _transport(f"{what}: the answer could not be read ({name})")
    return _transport(f"{what}: unexpected {name}")


_CUT: tuple[type[Exception], ...] = (
    requests.exceptions.ConnectionError,
    requests.exceptions.ChunkedEncodingError,
    urllib3.exceptions.ProtocolError,
    urllib3.exceptions.NewConnectionError,
    http.client.IncompleteRead,
    http.client.RemoteDisconnected,
    ConnectionError,
)
_DAMAGED = (
    requests.exceptions.RequestException
    | urllib3.exceptions.HTTPError
    | http.client.HTTPException
    | struct.error
    | LookupError
    | ValueError
    | StopIteration
    | AttributeError
    | AssertionError
    | OSError
)


def _is_kerberos(error: Exception) -> bool:
    # The classes come from packages that are only there with the `kerberos` extra, so names decide.
    names = {base.__name__ for base in type(error).__mro__}
    return bool(names & {"GSSError", "KrbError", "KerberosExchangeError", "MutualAuthenticationError"})


_REFUSED = "check user name and password; over plain HTTP the same answer means that encryption was demanded"
_STATUS: dict[int, tuple[str, str]] = {
    400: ("the target could not open the request", "a proxy or an old session? the next visit starts anew"),
    403: ("access is forbidden by the HTTP layer", "a client certificate or another address may be demanded"),
    404: ("there is no WS-Management at this path", "check ansible_winrm_path and ansible_port"),
    405: ("the port does not take WS-Management requests", "check ansible_port: is it another web server?"),
    407: ("the proxy demands authentication", "write user and password into ansible_winrm_proxy"),
    413: (
        "the request is too large for the target",
        "raise winrm/config MaxEnvelopeSizekb, or use a shorter command",
    ),
    415: (
        "the target does not take this content type",
        "is message encryption off there? see ansible_winrm_message_encryption",
    ),
    500: (
        "the target failed without saying why",
        "memory or connections ran out there: see its WinRM event log",
    ),
    503: (
        "the WinRM service is stopped or overloaded",
        "start the service (winrm quickconfig), or visit later",
    ),
}


def status_fault(status: int, what: str, offered: str = "") -> FaultError:
    """Turn an HTTP status without a readable envelope into an error.

    Args:
        status: HTTP status.
        what: what was being done.
        offered: schemes that a 401 lists.
    """
    if status == 401:
        schemes = f" (offered: {one_line(offered, 80)})" if offered else ""
        return NotAcceptedError("auth", f"{what}: the target refused the logon, HTTP 401{schemes}", _REFUSED)
    text, hint = _STATUS.get(status, ("unexpected answer", _DOCTOR))
    if 300 <= status < 400:
        text, hint = "a redirect, which is never followed", "write the final address"
    kind = NotAcceptedError if 300 <= status < 500 or status == 503 else FaultError
    return kind("transport", f"{what}: HTTP {status}: {text}", hint, retryable=status == 503)
