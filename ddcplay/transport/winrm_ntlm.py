"""NTLM under the word Negotiate, begun with the first request: one connection, two legs.

requests-ntlm asks bare first, which Windows answers by closing the connection, and it takes any header in
which the letters `ntlm` stand (a realm's name too) for an offer of the scheme NTLM, which WinRM refuses.
"""

from __future__ import annotations

import base64
import re
from typing import Any
from urllib.parse import urlsplit

import requests
import spnego
from requests_ntlm import HttpNtlmAuth
from requests_ntlm.requests_ntlm import ShimSessionSecurity
from spnego._ntlm_raw.crypto import ntowfv1  # MD4, which OpenSSL 3 no longer offers through hashlib
from spnego.channel_bindings import GssChannelBindings

_OFFER = re.compile(r"(?:^|,)\s*Negotiate\s*(?=,|$| )", re.IGNORECASE)
_CHALLENGE = re.compile(r"(?:^|,)\s*Negotiate +([A-Za-z0-9+/]+=*)", re.IGNORECASE)


class NtlmAuth(HttpNtlmAuth):
    """Authenticates a connection by NTLM.

    Args:
        username: as written.
        password: the secret.
        send_cbt: bind the logon to the certificate of the TLS connection.
    """

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Begin the logon with this request."""
        # The LM hash that a password would cost (pure Python DES, a tenth of a visit's CPU) is never sent.
        nt_hash = ntowfv1(self.password or "").hex()
        client = spnego.client(
            spnego.NTLMHash(username=self.username or "", nt_hash=nt_hash),
            protocol="ntlm",
            hostname=urlsplit(request.url or "").hostname or "",
            service="http",
            # Written credentials are used, never those of the Windows logon (SSPI).
            options=spnego.NegotiateOptions.use_ntlm,
        )
        request.headers["Authorization"] = _value(client.step())

        def go_on(response: requests.Response, **how: Any) -> requests.Response:
            return self._go_on(client, response, how)

        request.hooks["response"] = [go_on]
        return request

    def _go_on(
        self, client: spnego.ContextProxy, response: requests.Response, how: dict[str, Any]
    ) -> requests.Response:
        offered = response.headers.get("WWW-Authenticate", "")
        if response.status_code != 401 or not _OFFER.search(offered):
            return response
        certificate = self._get_server_cert(response)
        # Read to its end and given back: the next leg must go over the same connection.
        _ = response.content
        challenge = _CHALLENGE.search(offered)
        if challenge is None:
            response.close()
            raise PermissionError("no challenge")
        binding = None
        if certificate:
            binding = GssChannelBindings(application_data=b"tls-server-end-point:" + certificate)
        token = client.step(base64.b64decode(challenge[1]), channel_bindings=binding)
        response.raw.release_conn()
        request = response.request.copy()
        request.headers["Authorization"] = _value(token)
        last: requests.Response = response.connection.send(request, **how)
        self.session_security = ShimSessionSecurity(client)
        return last


def _value(token: bytes | None) -> str:
    return f"Negotiate {base64.b64encode(token or b'').decode()}"
