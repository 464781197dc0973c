"""How one foreign server talks: every switch is a habit seen in recordings, in other servers, or allowed."""

from __future__ import annotations

from dataclasses import dataclass

NATIVE_OFFERS = ("Negotiate", "Kerberos", 'Basic realm="WSMAN"', "CredSSP")


@dataclass(frozen=True)
class Dialect:
    """One server's habits.

    Args:
        shape: `w2016` as recorded, `w7` (WinRM 2.0), `other` (own prefixes, white space, declaration).
        language: of reason texts and xml:lang.
        offers: WWW-Authenticate values of a bare 401, in order.
        offers_in_one_line: all of them in one header line, with commas.
        ntlm: an NTLM token under Negotiate is welcome.
        allow_unencrypted: Basic and unsealed bodies over plain HTTP are taken.
        tab: sealed parts begin their headers with a TAB.
        allowed: the account may use WinRM; else the logon is answered by fault 5.
        receive: how output is cut into answers, see `receive.py`.
        exit_code: `unsigned`, `negative` or `missing`.
        silent_polls: so many Receives of a command run into OperationTimeout first.
        delay_s: before every SOAP answer.
        segments: an answer leaves in so many TCP segments.
        close_each: `Connection: close` after every SOAP answer.
        header_case: `usual`, `lower`, `upper`.
        reason: the status line has a reason phrase.
        tls: None, or which certificate: `good`, `name` (another one), `expired`, `stranger`.
        troubles: (operation, its number from 1, what): `401`, `400`, `503`, `500`, `cut`, `cut_after`,
            `fault:CODE`, `wmi_fault:CODE`, `relates`, `no_xml`, `truncated`, `clear`.
        host: address to listen on.
        port: 0 for a free one.
        mute: takes connections and says nothing.
        max_shells: per user.
        max_operations: per user.
        max_envelope: bytes of a request.
        forgets_ended_commands: a Signal after Done is refused, because the command is gone.
    """

    shape: str = "w2016"
    language: str = "en-US"
    offers: tuple[str, ...] = NATIVE_OFFERS
    offers_in_one_line: bool = False
    ntlm: bool = True
    allow_unencrypted: bool = False
    tab: bool = True
    allowed: bool = True
    receive: str = "recorded"
    exit_code: str = "unsigned"
    silent_polls: int = 0
    delay_s: float = 0.0
    segments: int = 1
    close_each: bool = False
    header_case: str = "usual"
    reason: bool = False
    tls: str | None = None
    troubles: tuple[tuple[str, int, str], ...] = ()
    host: str = "127.0.0.1"
    port: int = 0
    mute: bool = False
    max_shells: int = 30
    max_operations: int = 1500
    max_envelope: int = 512000
    forgets_ended_commands: bool = False
