"""Which port, which scheme, which authentication: chosen from what is written, with the reason for `doctor`.

Design §4: 5986 with a valid certificate if it answers, else 5985 with message encryption; Kerberos when a
ticket fits, else NTLM; Basic only when written, and never in clear unless encryption is written off as well.
"""

from __future__ import annotations

import importlib
import ipaddress
import ssl
import sys
import threading
from dataclasses import dataclass

import truststore
import winrm.transport as pywinrm

from ddcplay.errors import FaultError
from ddcplay.model.plan import Target

SEALING = frozenset({"ntlm", "kerberos", "credssp"})
"""Methods whose security context can encrypt messages."""
_ALIASES = {"plaintext": "basic", "negotiate": "ntlm", "ssl": "ssl"}
_METHODS = ("basic", "certificate", "credssp", "kerberos", "ntlm")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One place to try.

    Args:
        scheme: `http` or `https`.
        port: TCP port.
        chosen: nothing was written, so a broken certificate means the next place instead of a failure.
        why: for `facts`.
    """

    scheme: str
    port: int
    chosen: bool
    why: str


@dataclass(frozen=True, slots=True)
class Method:
    """How to authenticate.

    Args:
        name: pywinrm's word: `basic certificate credssp kerberos ntlm`.
        sealed: messages are encrypted by the security context.
        why: for `facts`.
    """

    name: str
    sealed: bool
    why: str


def endpoints(target: Target, open_ports: tuple[int, ...]) -> tuple[Endpoint, ...]:
    """List the places to try, best first.

    A port without a scheme means HTTPS except for 5985, as with Ansible.

    Args:
        target: what is written.
        open_ports: what the sweep saw open; closed ones are not tried when it saw any of ours.
    """
    if target.port is not None:
        scheme = target.scheme or ("http" if target.port == 5985 else "https")
        return (Endpoint(scheme, target.port, chosen=False, why="the port is written"),)
    if target.scheme is not None:
        port = 5985 if target.scheme == "http" else 5986
        return (Endpoint(target.scheme, port, chosen=False, why="the scheme is written"),)
    both = (
        Endpoint("https", 5986, chosen=True, why="nothing is written, 5986 answers with a valid certificate"),
        Endpoint("http", 5985, chosen=True, why="nothing is written, 5986 is no use"),
    )
    seen = tuple(place for place in both if place.port in open_ports)
    return seen or both


def url_of(target: Target, endpoint: Endpoint) -> str:
    """Build the endpoint's URL, with brackets around IPv6 and without its zone (the socket keeps that)."""
    host = target.address.partition("%")[0] if _is_address(target.address) else target.address
    shown = f"[{host}]" if ":" in host else host
    return f"{endpoint.scheme}://{shown}:{endpoint.port}/{target.path.lstrip('/')}"


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return False
    return True


def method_for(target: Target, scheme: str) -> Method:
    """Choose the authentication.

    Args:
        target: what is written.
        scheme: of the endpoint in use.

    Raises:
        FaultError: what is written cannot work here; nothing was sent.
    """
    name, why = _method_name(target)
    if name == "certificate" and scheme != "https":
        raise _impossible("a client certificate works over HTTPS only", "write ansible_winrm_scheme: https")
    if name == "basic" and scheme == "http" and target.message_encryption != "never":
        raise _impossible(
            "Basic over plain HTTP would show the password to everyone on the way",
            "use HTTPS or NTLM; if it must be, write ansible_winrm_message_encryption: never as well",
        )
    if target.message_encryption == "always" and name not in SEALING:
        raise _impossible(
            f"{name} cannot encrypt messages", "use ntlm or kerberos, or message_encryption: auto"
        )
    sealed = name in SEALING and (
        target.message_encryption == "always" or (scheme == "http" and target.message_encryption == "auto")
    )
    return Method(name, sealed, why)


def _method_name(target: Target) -> tuple[str, str]:
    written = tuple(_canonical(name, target) for name in target.auth)
    if not written:
        if kerberos_fits(target):
            return "kerberos", "nothing is written and a Kerberos ticket fits"
        return "ntlm", "nothing is written and no Kerberos ticket fits"
    for name in written:
        if name == "kerberos" and len(written) > 1 and not kerberos_fits(target):
            continue
        return name, "it is written"
    return written[-1], "it is written"


def _canonical(name: str, target: Target) -> str:
    known = _ALIASES.get(name.lower(), name.lower())
    if known == "ssl":
        known = "certificate" if target.cert_pem else "basic"
    if known not in _METHODS:
        raise _impossible(f"unknown authentication {name!r}", f"known: {', '.join(_METHODS)}")
    if known == "kerberos" and not pywinrm.HAVE_KERBEROS:
        raise _impossible("Kerberos support is not installed here", "pip install 'ddcplay[kerberos]'")
    if known == "credssp" and not pywinrm.HAVE_CREDSSP:
        raise _impossible("CredSSP support is not installed here", "pip install 'ddcplay[credssp]'")
    return known


def _impossible(what: str, hint: str) -> FaultError:
    return FaultError("transport", what, hint)


def kerberos_fits(target: Target) -> bool:
    """Say whether a ticket at hand belongs to the user that is written (or to anyone when none is).

    A bare user name is a local account for Windows, so it never fits; an address has no service principal.
    """
    if not pywinrm.HAVE_KERBEROS:
        return False
    if _is_address(target.address) and target.kerberos_hostname_override is None:
        return False
    user = target.user
    if user is not None and "@" not in user and "\\" not in user:
        return False
    principal = _ticket_principal(target.kerberos_hostname_override or target.address)
    return principal is not None and (user is None or _same_account(user, principal))


def _same_account(user: str, principal: str) -> bool:
    name, _, realm = principal.lower().partition("@")
    if "\\" in user:
        domain, _, account = user.lower().partition("\\")
        return account == name and domain in (realm, realm.partition(".")[0])
    return user.lower() == f"{name}@{realm}"


def _ticket_principal(host: str) -> str | None:
    # pykerberos on Unix, winkerberos on Windows; both only with the `kerberos` extra.
    library = importlib.import_module("winkerberos" if sys.platform == "win32" else "kerberos")
    try:
        _, context = library.authGSSClientInit(f"HTTP@{host}")
        if library.authGSSClientInquireCred(context) < 1:
            return None
        return str(library.authGSSClientUserName(context))
    except Exception:  # noqa: BLE001 - GSSError when there is no ticket; without one NTLM is used
        return None


class TlsContexts:
    """The TLS contexts of one transport: loading authorities costs milliseconds, so equal ones are shared."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._built: dict[tuple[object, ...], ssl.SSLContext] = {}

    def context_for(self, target: Target) -> ssl.SSLContext:
        """Return the context for a target.

        Raises:
            FaultError: a file named in the inventory cannot be read.
        """
        key = (target.cert_validation, target.ca_trust_path, target.cert_pem, target.cert_key_pem)
        with self._lock:
            if key in self._built:
                return self._built[key]
            try:
                context, shareable = _build_context(target)
            except (OSError, ValueError) as error:
                raise FaultError(
                    "transport",
                    f"a certificate file cannot be read ({type(error).__name__})",
                    "check ansible_winrm_ca_trust_path, _cert_pem and _cert_key_pem: PEM files, readable",
                ) from error
            if shareable:
                self._built[key] = context
            return context


def _build_context(target: Target) -> tuple[ssl.SSLContext, bool]:
    shareable = True
    if not target.cert_validation:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    elif sys.platform in ("win32", "darwin"):
        # truststore holds a lock during the handshake: shared, one mute host would hold up all others.
        context = truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        shareable = False
    else:
        context = ssl.create_default_context()
    if target.cert_validation and target.ca_trust_path:
        context.load_verify_locations(cafile=target.ca_trust_path)
    if target.cert_pem:
        context.load_cert_chain(target.cert_pem, target.cert_key_pem)
    return context, shareable
