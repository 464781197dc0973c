"""WinRM behind HTTP: who may ask, is the body sealed as it must be, and which operation is meant."""

from __future__ import annotations

import asyncio
import dataclasses
from dataclasses import dataclass

from ddcplay.lab import operations, refusals, sealed, soap
from ddcplay.lab.faults import FaultKind
from ddcplay.lab.host import Caller, SimulatedHost
from ddcplay.lab.http import SOAP_TYPE, HttpAnswer, HttpConnection, HttpRequest
from ddcplay.lab.login import MUTUAL, REFUSED, Login, UserFile, Verdict
from ddcplay.lab.refusals import RefusedError

# What sealing may add to a body: part headers, boundaries and the signature.
_SEAL_BYTES = 1024
_STRANGER = "OS: 0.0.0 SP: 0.0 Stack: 3.0"
_OFFERS = {
    "negotiate": "Negotiate",
    "kerberos": "Kerberos",
    "basic": 'Basic realm="WSMAN"',
    "credssp": "CredSSP",
}
# Planted refusals: the kind, where it acts when it names no operation, what is answered.
_REFUSALS: tuple[tuple[FaultKind, tuple[str, ...], refusals.Refusal], ...] = (
    ("access_denied", ("create",), refusals.ACCESS_DENIED),
    ("shell_gone", ("command", "send", "receive", "signal"), refusals.SHELL_NOT_FOUND),
    ("timed_out", ("receive",), refusals.TIMED_OUT),
    ("quota_operations", ("create", "command"), refusals.OPERATION_QUOTA),
    (
        "quota_operations_wmi",
        ("create", "command"),
        dataclasses.replace(refusals.OPERATION_QUOTA, wmi_form=True),
    ),
    ("quota_shells", ("create",), refusals.SHELL_QUOTA),
)


@dataclass(frozen=True, slots=True)
class _Opened:
    """A request whose sender is known: the plain body, who sent it, and how the answer is to be sealed."""

    body: bytes
    user: str
    protocol: str | None
    authenticate: tuple[str, ...]


class WinRmService:
    """The WinRM service of one host.

    Args:
        host: whose service this is.
        users: account files of the NTLM acceptor.
        certificate: the server's certificate in DER, None without TLS.
    """

    def __init__(self, host: SimulatedHost, users: UserFile, certificate: bytes | None) -> None:
        self._host = host
        self._users = users
        self._certificate = certificate

    async def serve(self, connection: HttpConnection, request: HttpRequest) -> HttpAnswer | None:
        """Answer one HTTP request; None means silence."""
        host = self._host
        host.counters.requests += 1
        if host.faults:
            if host.faults.take("mute", None if _logged_on(connection) else "login"):
                return None
            if early := await self._before_login(connection):
                return early
        if request.method != "POST":
            return HttpAnswer(405, extra=("Allow: POST",), close=True)
        path = request.path.rstrip("/").lower()
        stranger = request.headers.get("wsmanidentify", "").lower() == "unauthenticated"
        if path == "/wsman-anon/identify" or (path == "/wsman" and stranger):
            host.counters.identifies += 1
            delay = host.faults.take("slow", "identify")
            await asyncio.sleep(delay.value if delay else 0)
            return HttpAnswer(200, soap.identify(_STRANGER), SOAP_TYPE, operation="identify")
        if path != "/wsman":
            return HttpAnswer(404, close=True)
        session = connection.session
        if not isinstance(session, Login):
            session = connection.session = Login(host, self._users, self._certificate)
        opened = self._open(connection, session, request)
        if isinstance(opened, HttpAnswer):
            return opened
        return await self._dispatch(connection, session, request, opened)

    async def _before_login(self, connection: HttpConnection) -> HttpAnswer | None:
        """Let act what HTTP.sys does before anybody is asked for a name."""
        faults = self._host.faults
        busy = faults.peek("busy_503")
        if busy is not None and busy.operation in (None, "login"):
            faults.take("busy_503")
            return _busy(busy.value)
        slow = faults.peek("slow", "login")
        if slow and slow.operation == "login" and not _logged_on(connection):
            faults.take("slow", "login")
            await asyncio.sleep(slow.value)
        return None

    def _open(self, connection: HttpConnection, login: Login, request: HttpRequest) -> _Opened | HttpAnswer:
        """Authenticate a request and open its body."""
        protocol = sealed.protocol_of(request.headers.get("content-type", ""))
        value = request.headers.get("authorization", "")
        user = login.user
        authenticate: tuple[str, ...] = ()
        if value:
            verdict = self._verdict(connection, login, value)
            if verdict.state != "accepted":
                return self._not_accepted(verdict)
            self._host.counters.logins_accepted += 1
            user = self._host.blueprint.user.lower()
            authenticate = (verdict.header,) if verdict.header else ()
        if user is None:
            return self._unauthorized()
        if not request.body:
            return HttpAnswer(200, authenticate=authenticate, operation="login")
        return self._unwrap(login, request, protocol, user, authenticate)

    def _not_accepted(self, verdict: Verdict) -> HttpAnswer:
        if verdict.state == "continue":
            return HttpAnswer(401, authenticate=(verdict.header,), operation="login")
        self._host.counters.logins_refused += 1
        return self._unauthorized()

    def _unwrap(
        self,
        login: Login,
        request: HttpRequest,
        protocol: str | None,
        user: str,
        authenticate: tuple[str, ...],
    ) -> _Opened | HttpAnswer:
        if len(request.body) > self._host.blueprint.quotas.max_envelope_bytes + _SEAL_BYTES:
            return HttpAnswer(413, close=True)
        if protocol is None:
            if self._certificate is None and not self._host.blueprint.allow_unencrypted:
                return self._unauthorized()
            if not request.headers.get("content-type", "").lower().startswith("application/soap+xml"):
                return HttpAnswer(415)
            return _Opened(request.body, user, None, authenticate)
        if login.context is None or not login.context.complete:
            return self._unauthorized()
        try:
            return _Opened(sealed.unseal(login.context, request.body), user, protocol, authenticate)
        except sealed.CannotOpenError:
            return HttpAnswer(400)

    def _verdict(self, connection: HttpConnection, login: Login, value: str) -> Verdict:
        scheme, _, rest = value.partition(" ")
        schemes = self._host.blueprint.schemes
        if value == MUTUAL and "certificate" in schemes:
            return Verdict("accepted") if connection.transport.get_extra_info("peercert") else REFUSED
        if scheme.lower() == "basic" and "basic" in schemes:
            verdict = login.basic(rest.strip())
        elif scheme.lower() == "negotiate" and "negotiate" in schemes:
            verdict = login.negotiate(rest.strip())
        else:
            return REFUSED
        if verdict.state == "accepted" and self._host.faults.peek("unauthorized", "login"):
            fault = self._host.faults.peek("unauthorized", "login")
            if fault is not None and fault.operation in (None, "login"):
                self._host.faults.take("unauthorized", "login")
                login.user = login.context = None
                return REFUSED
        return verdict

    def _unauthorized(self) -> HttpAnswer:
        offers = tuple(_OFFERS[scheme] for scheme in self._host.blueprint.schemes if scheme in _OFFERS)
        return HttpAnswer(401, authenticate=offers, close=True, operation="login")

    async def _dispatch(
        self, connection: HttpConnection, login: Login, request: HttpRequest, opened: _Opened
    ) -> HttpAnswer | None:
        status, body, operation = 500, b"", "unknown"
        if (
            b"IdentifyResponse" not in opened.body
            and b":Identify" in opened.body
            and soap.WSMID.encode() in opened.body
        ):
            major = self._host.machine.system[1]
            status, body, operation = 200, soap.identify(f"OS: {major} SP: 0.0 Stack: 3.0"), "identify"
        else:
            try:
                parsed = soap.read_request(opened.body)
            except soap.NotSoapError:
                body = refusals.SCHEMA.envelope("", self._host.machine.computer_name)
            else:
                operation = operations.operation_of(parsed)
                self._host.counters.count(operation)
                if self._host.faults.take("mute", operation):
                    return None
                if early := await self._planted(request, operation):
                    return early
                status, body = await self._perform(connection, opened, parsed, operation)
                if self._host.faults:
                    body = self._damaged(body, operation, parsed.message_id)
        answer = HttpAnswer(status, body, SOAP_TYPE, opened.authenticate, operation=operation)
        if opened.protocol and login.context and not self._host.faults.take("not_sealed", operation):
            data = sealed.seal(login.context, body, opened.protocol)
            answer = dataclasses.replace(answer, body=data, content_type=sealed.content_type(opened.protocol))
        return answer

    async def _planted(self, request: HttpRequest, operation: str) -> HttpAnswer | None:
        """Return the answer of a planted fault that acts before the operation is carried out."""
        faults = self._host.faults
        if not faults:
            return None
        if fault := faults.take("slow", operation):
            await asyncio.sleep(fault.value)
        if (fault := faults.peek("unauthorized", operation)) and fault.operation:
            faults.take("unauthorized", operation)
            return self._unauthorized()
        if (fault := faults.peek("bad_request", operation)) and request.idle_s >= fault.value:
            faults.take("bad_request", operation)
            return HttpAnswer(400, operation=operation)
        if faults.take("empty_500", operation):
            return HttpAnswer(500, operation=operation)
        if fault := faults.take("busy_503", operation):
            return _busy(fault.value)
        return None

    async def _perform(
        self, connection: HttpConnection, opened: _Opened, parsed: soap.Request, operation: str
    ) -> tuple[int, bytes]:
        try:
            self._refuse_if_planted(operation)
            caller = Caller(opened.user, connection.peer)
            return 200, await operations.perform(self._host, operation, parsed, caller)
        except RefusedError as error:
            return 500, error.refusal.envelope(parsed.message_id, self._host.machine.computer_name)

    def _refuse_if_planted(self, operation: str) -> None:
        faults = self._host.faults
        if not faults:
            return
        quotas = self._host.blueprint.quotas
        for kind, usual, refusal in _REFUSALS:
            fault = faults.peek(kind, operation)
            if fault is None or (fault.operation is None and operation not in usual):
                continue
            faults.take(kind, operation)
            limit = quotas.shells_per_user if kind == "quota_shells" else quotas.operations_per_user
            raise RefusedError(dataclasses.replace(refusal, message=refusal.message.format(limit)))

    def _damaged(self, body: bytes, operation: str, message_id: str) -> bytes:
        faults = self._host.faults
        if faults.take("wrong_xml", operation):
            return body[: len(body) // 2] + b"<&" + body[len(body) // 2 :]
        if faults.take("wrong_relates_to", operation):
            return body.replace(message_id.encode(), f"uuid:{soap.new_id()}".encode())
        if faults.take("missing_elements", operation):
            start, end = body.find(b"<s:Body>") + 8, body.rfind(b"</s:Body>")
            return body[:start] + body[end:]
        return body


def _busy(retry_after_s: float) -> HttpAnswer:
    return HttpAnswer(503, extra=(f"Retry-After: {int(retry_after_s)}",), close=True)


def _logged_on(connection: HttpConnection) -> bool:
    return isinstance(connection.session, Login) and connection.session.user is not None
