"""Sends mails to an SMTP server: certificates checked, one connection for many, refusals told apart.

What a server says decides what happens next: trouble with the server (connection, TLS, logon, sender, 4xx)
holds everything back, a refusal of one mail (5xx to its recipients or its data) is that mail's own.
"""

from __future__ import annotations

import base64
import contextlib
import re
import smtplib
import socket
import ssl
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from ddcplay.errors import DdcplayError
from ddcplay.model.effects import Outgoing
from ddcplay.model.inventory import SecretRef
from ddcplay.notify.delivery import Delivery
from ddcplay.notify.message import bare_address
from ddcplay.notify.visible import one_line

PATIENCE_TRIES = 4
"""Tries after which a mail goes to the recipients the server takes, although it wants others later."""


class SmtpSettings(Protocol):
    """What setting `smtp` holds; `SmtpServer.of` reads it."""

    @property
    def host(self) -> str: ...  # noqa: D102 - as in `SmtpServer`
    @property
    def port(self) -> int: ...  # noqa: D102 - same
    @property
    def from_address(self) -> str: ...  # noqa: D102 - same
    @property
    def username(self) -> str | None: ...  # noqa: D102 - same
    @property
    def password(self) -> SecretRef | None: ...  # noqa: D102 - same
    @property
    def encryption(self) -> str: ...  # noqa: D102 - same
    @property
    def ca_trust_path(self) -> str | None: ...  # noqa: D102 - same
    @property
    def verify(self) -> bool: ...  # noqa: D102 - same
    @property
    def timeout_s(self) -> float: ...  # noqa: D102 - same


@dataclass(frozen=True, slots=True)
class SmtpServer:
    """Where mails are handed in.

    Args:
        host: name or address; the certificate must be for it.
        port: 1 to 65535.
        from_address: of the envelope; where the server sends what it cannot deliver.
        encryption: `starttls`, `implicit` (TLS from the first byte) or `none`.
        username: None for no logon.
        password: a reference, looked up when it is used.
        ca_trust_path: file with the certificates to trust instead of the system's.
        verify: check the server's certificate.
        timeout_s: for each step of a session, in seconds.
    """

    host: str
    port: int
    from_address: str
    encryption: str = "starttls"
    username: str | None = None
    password: SecretRef | None = None
    ca_trust_path: str | None = None
    verify: bool = True
    timeout_s: float = 30.0

    @classmethod
    def of(cls, settings: SmtpSettings) -> SmtpServer:
        """Return the server that the settings describe."""
        return cls(
            host=settings.host,
            port=settings.port,
            from_address=settings.from_address,
            encryption=settings.encryption,
            username=settings.username,
            password=settings.password,
            ca_trust_path=settings.ca_trust_path,
            verify=settings.verify,
            timeout_s=settings.timeout_s,
        )


class MailServerError(DdcplayError):
    """The mail server cannot be used; the text never holds the password."""


class _RefusedMailError(Exception):
    """The server does not want this mail: its own matter, the next one may pass.

    Args:
        reply: what the server said.
        later: it may be tried again (4xx).
    """

    def __init__(self, reply: str, *, later: bool = False) -> None:
        super().__init__(reply)
        self.later = later


class SmtpSender:
    """Sends mails; one call is one connection.

    Args:
        server: where to.
        resolve: looks a secret up.
        step: is told each step that worked, for `mail test`.
    """

    def __init__(
        self,
        server: SmtpServer,
        resolve: Callable[[SecretRef], str],
        step: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._server = server
        self._resolve = resolve
        self._step = step

    def send(self, messages: Sequence[Outgoing]) -> Iterator[Delivery]:
        """Send mails in order, and yield each one's fate before the next is begun.

        Ends after the first one that did not go, so that none overtakes it.
        """
        session: smtplib.SMTP | None = None
        try:
            for message in messages:
                session, delivery = self._deliver(session, message)
                yield delivery
                if not delivery.done:
                    return
        finally:
            if session is not None:
                _leave(session)

    def _deliver(
        self, session: smtplib.SMTP | None, message: Outgoing
    ) -> tuple[smtplib.SMTP | None, Delivery]:
        used = session is not None
        try:
            session = session or self._open()
            try:
                _begin(session, self._sender())
            except (smtplib.SMTPServerDisconnected, OSError):
                if not used:
                    raise
                session = self._open()  # servers limit how many mails a connection may carry
                _begin(session, self._sender())
            refused = _hand_over(session, message)
        except _RefusedMailError as error:
            _reset(session)
            return session, Delivery(message, str(error), refused_for_good=not error.later)
        except MailServerError as error:
            _drop(session)
            return None, Delivery(message, error.message, error.hint)
        except (OSError, smtplib.SMTPException, DdcplayError) as error:
            _drop(session)
            return None, Delivery(message, *_trouble(error, self._server))
        return session, Delivery(message, refused_recipients=refused)

    def _sender(self) -> str:
        return bare_address(self._server.from_address) or self._server.from_address

    def _open(self) -> smtplib.SMTP:
        """Connect, encrypt, log on."""
        server = self._server
        context = None if server.encryption == "none" else _tls(server)
        where = f"{server.host}:{server.port}"
        if server.encryption == "implicit":
            assert context is not None
            session: smtplib.SMTP = smtplib.SMTP_SSL(
                server.host, server.port, _own_name(), timeout=server.timeout_s, context=context
            )
            self._step(f"connected to {where} with TLS, certificate {_checked(server)}")
        else:
            session = smtplib.SMTP(server.host, server.port, _own_name(), timeout=server.timeout_s)
            self._step(f"connected to {where}")
        try:
            session.ehlo_or_helo_if_needed()
            if server.encryption == "starttls":
                _encrypt(session, context)
                self._step(f"encrypted with STARTTLS, certificate {_checked(server)}")
            if server.username is not None:
                self._log_on(session, server.username)
                self._step(f"logged on as {one_line(server.username)}")
        except BaseException:
            session.close()
            raise
        return session

    def _log_on(self, session: smtplib.SMTP, username: str) -> None:
        password = "" if self._server.password is None else self._resolve(self._server.password)
        if not session.has_extn("auth"):
            raise MailServerError(
                "the mail server takes no logon on this connection",
                "leave username and password out, or set starttls: true (many servers ask for that first)",
            )
        if username.isascii() and password.isascii():
            session.login(username, password)
            return
        # smtplib encodes as ASCII; RFC 4616 says UTF-8.
        both = f"\0{username}\0{password}".encode()
        code, reply = session.docmd("AUTH", f"PLAIN {base64.b64encode(both).decode()}")
        if code not in (235, 503):
            raise smtplib.SMTPAuthenticationError(code, reply)


def _checked(server: SmtpServer) -> str:
    return "checked" if server.verify else "NOT checked (verify: false)"


def _own_name() -> str:
    """Return what EHLO says; asking DNS for a full name may take long, and servers do not care."""
    name = re.sub(r"[^A-Za-z0-9.-]", "", socket.gethostname())
    return name or "localhost"


def _tls(server: SmtpServer) -> ssl.SSLContext:
    import truststore  # noqa: PLC0415 - late: a run without mail does not pay for it

    if not server.verify:
        open_context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        open_context.check_hostname = False
        open_context.verify_mode = ssl.CERT_NONE
        return open_context
    if server.ca_trust_path is None:
        return truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        return ssl.create_default_context(cafile=server.ca_trust_path)
    except (OSError, ssl.SSLError) as error:
        raise MailServerError(
            f"smtp ca_trust_path {server.ca_trust_path}: {error.strerror or 'no certificates in it'}",
            "name a PEM file with the certificate of the authority",
        ) from None


def _encrypt(session: smtplib.SMTP, context: ssl.SSLContext | None) -> None:
    if not session.has_extn("starttls"):
        raise MailServerError(
            "the mail server offers no STARTTLS, so nothing was sent",
            "set smtp: tls: implicit (port 465), or starttls: false to send in clear",
        )
    session.starttls(context=context)
    session.ehlo()


def _begin(session: smtplib.SMTP, sender: str) -> None:
    code, reply = session.mail(sender)
    if code == 421:
        raise smtplib.SMTPServerDisconnected(_said(code, reply))
    if code != 250:
        raise MailServerError(
            f"the mail server does not take mail from {sender}: {_said(code, reply)}",
            "set smtp: from to an address this account may use, or username and password",
        )


def _hand_over(session: smtplib.SMTP, message: Outgoing) -> tuple[tuple[str, str], ...]:
    """Give recipients and data; return the recipients that were refused, with the server's words."""
    taken, refused, later = 0, [], ""
    for recipient in message.recipients:
        code, reply = session.rcpt(recipient)
        if code == 421:
            raise smtplib.SMTPServerDisconnected(_said(code, reply))
        if code in (250, 251):
            taken += 1
        elif 400 <= code < 500:
            later = f"{recipient}: {_said(code, reply)}"
            refused.append((recipient, _said(code, reply)))
        else:
            refused.append((recipient, _said(code, reply)))
    if later and (not taken or message.tries < PATIENCE_TRIES):
        # A mail is one row of the outbox: it goes to all who can have it, or waits for them a while.
        raise _RefusedMailError(f"the mail server wants to be asked later for {later}", later=True)
    if not taken:
        told = "; ".join(f"{who}: {why}" for who, why in refused) or "it has no recipient"
        raise _RefusedMailError(f"the mail server takes no recipient of this mail: {told}")
    try:
        code, reply = session.data(message.payload)
    except smtplib.SMTPDataError as error:
        code, reply = error.smtp_code, error.smtp_error if isinstance(error.smtp_error, bytes) else b""
    if code != 250:
        raise _RefusedMailError(f"the mail server refused the mail: {_said(code, reply)}", later=code < 500)
    return tuple(refused)


def _reset(session: smtplib.SMTP | None) -> None:
    if session is not None:
        with contextlib.suppress(OSError, smtplib.SMTPException):
            session.rset()


def _drop(session: smtplib.SMTP | None) -> None:
    if session is not None:
        session.close()


def _leave(session: smtplib.SMTP) -> None:
    with contextlib.suppress(OSError, smtplib.SMTPException):
        session.quit()
    session.close()


def _said(code: int, reply: bytes | str) -> str:
    text = reply.decode("utf-8", "replace") if isinstance(reply, bytes) else str(reply)
    return one_line(f"{code} {' '.join(text.split())}", 300)


def _trouble(error: Exception, server: SmtpServer) -> tuple[str, str]:
    """Say what happened and what to do; secrets are in neither."""
    where = f"mail server {server.host}:{server.port}"
    if isinstance(error, smtplib.SMTPAuthenticationError):
        said = _said(error.smtp_code, error.smtp_error)
        return f"{where} refused the logon: {said}", "check smtp: username and password"
    if isinstance(error, ssl.SSLCertVerificationError):
        return (
            f"{where}: its certificate is not trusted: {error.verify_message}",
            "use the name in the certificate as host, or name the authority's file in smtp: ca_trust_path",
        )
    if isinstance(error, ssl.SSLError):
        return f"{where}: TLS failed: {error.reason or 'no reason given'}", (
            "port 465 is tls: implicit, 587 and 25 are starttls"
        )
    if isinstance(error, smtplib.SMTPResponseException):
        return f"{where}: {_said(error.smtp_code, error.smtp_error)}", ""
    if isinstance(error, smtplib.SMTPServerDisconnected):
        return f"{where} closed the connection: {one_line(str(error))}", ""
    if isinstance(error, TimeoutError):
        return f"{where} did not answer within {server.timeout_s:g} s", "check host, port and the firewall"
    if isinstance(error, socket.gaierror):
        return f"{where}: the name is not known", "check smtp: host"
    if isinstance(error, DdcplayError):
        return error.message, error.hint
    if isinstance(error, OSError):
        return f"{where}: {error.strerror or type(error).__name__}", "check host, port and the firewall"
    return f"{where}: {one_line(str(error))}", ""
