"""Who is logged on: the desktops that exist now, and whose they are.

A desktop is an explorer.exe in a session above 0. One desktop and a console user belong together, which costs
no further question. Otherwise logon sessions are asked for, and each desktop takes the last interactive logon
before it came up: `Win32_LogonSession` keeps dead logons for ever, so it is never counted by itself. The
window manager and the font driver of each session are interactive logons to Windows too, and no people.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ddcplay.probing.w32probe_fields import Fields
from ddcplay.probing.w32probe_values import Row, Rows, count, first, seconds_of, span_s, text, time

Account = tuple[str | None, str]
"""Domain and user name as Windows writes them."""
Naming = Callable[[Account], Account | tuple[None, None]]
"""What is written instead of an account."""

_KINDS = {2: "console", 11: "console", 10: "rdp", 12: "rdp"}
_NO_PERSON = re.compile(r"(?:DWM|UMFD)-\d+|ANONYMOUS LOGON", re.IGNORECASE)
_SLACK_S = 5.0
_HASH_CHARS = 16


@dataclass(frozen=True, slots=True)
class UsersKey:
    """The key of an experiment's user hashes; it shows in no repr.

    Args:
        value: at least 16 random bytes, the same as long as the experiment lives.
    """

    value: bytes

    def __repr__(self) -> str:
        return "UsersKey(...)"


def naming(users: str, key: bytes) -> Naming:
    r"""Return what replaces accounts: their keyed hash, nothing, or themselves.

    The hash is HMAC-SHA256 over `domain\user` in lower case, cut to 64 bits: equal for the same person
    everywhere, another in each experiment, and not to be found from a list of names without the key.
    """
    if users == "name":
        return lambda account: account
    if users == "count":
        return lambda _account: (None, None)

    def hashed(account: Account) -> Account:
        domain, user = account
        name = f"{domain or ''}\\{user}".lower().encode()
        return domain, hmac.new(key, name, hashlib.sha256).hexdigest()[:_HASH_CHARS]

    return hashed


def needs_logons(desktops: Rows | None, computer: Rows | None) -> bool:
    """Say whether the cheap answers leave open whose a desktop is."""
    found = _desktops(desktops or ())
    return len(found) > 1 or (len(found) == 1 and _console_user(computer) is None)


def sessions(
    name: Naming,
    desktops: Rows | None,
    computer: Rows | None,
    logons: Rows | None,
    logon_users: Rows | None,
    system: Rows | None,
) -> Fields:
    """Tell who is logged on interactively.

    Args:
        name: replaces accounts.
        desktops: explorer.exe of Win32_Process.
        computer: Win32_ComputerSystem.
        logons: interactive ones of Win32_LogonSession, None when they were not asked for.
        logon_users: Win32_LoggedOnUser, None when it was not asked for.
        system: Win32_OperatingSystem, for the time.

    Returns:
        `occupied`, `n_sessions`, `sessions`; where desktops could not be asked for, a console user still
        proves that somebody is there, and nothing proves that nobody is.
    """
    console = _console_user(computer)
    if desktops is None:
        return {"occupied": True if console else None, "n_sessions": None, "sessions": None}
    now = first(system).get("LocalDateTime")
    found = _desktops(desktops)
    owners = _owners(found, console, _people(logons or (), logon_users or ()))
    rows = [
        _row(session, start, owner, now, name) for (session, start), owner in zip(found, owners, strict=True)
    ]
    if console and not found:
        rows.append(_row(None, None, (console, "console"), now, name))
    return {"occupied": bool(rows), "n_sessions": len(rows), "sessions": rows}


Owner = tuple[Account | None, str | None]


@dataclass(frozen=True, slots=True)
class _Logon:
    account: Account
    kind: str
    start_s: float


def _row(session: int | None, start: str | None, owner: Owner, now: object, name: Naming) -> Fields:
    account, kind = owner
    domain, user = (None, None) if account is None else name(account)
    return {
        "session_id": session,
        "user": user,
        "domain": domain,
        "start": start,
        "uptime_s": span_s(start, now),
        "kind": kind,
    }


def _desktops(rows: Rows) -> list[tuple[int, str | None]]:
    """Return session and time of the first desktop of each session above 0, oldest first."""
    found: dict[int, str | None] = {}
    for row in rows:
        session, start = count(row.get("SessionId")), time(row.get("CreationDate"))
        if session:
            known = found.get(session)
            found[session] = start if known is None else min(known, start or known, key=_order)
    return sorted(found.items(), key=lambda item: (_order(item[1]), item[0]))


def _order(moment: str | None) -> float:
    seconds = seconds_of(moment)
    return float("inf") if seconds is None else seconds


def _console_user(computer: Rows | None) -> Account | None:
    r"""Return who `DOMAIN\user` of the console is; Windows leaves it null for Remote Desktop."""
    written = text(first(computer).get("UserName"))
    if written is None:
        return None
    domain, _, user = written.rpartition("\\")
    return (domain or None, user) if user else None


def _owners(
    found: list[tuple[int, str | None]], console: Account | None, people: list[_Logon]
) -> list[Owner]:
    if len(found) == 1 and console is not None:
        return [(console, "console")]
    left = list(people)
    owners: list[Owner] = []
    for _, start in found:
        logon = _last_before(left, seconds_of(start))
        if logon is None:
            owners.append((None, None))
            continue
        # An administrator's logon is two, with and without the rights, some milliseconds apart.
        left = [
            other
            for other in left
            if other.account != logon.account or abs(other.start_s - logon.start_s) > _SLACK_S
        ]
        owners.append((logon.account, logon.kind))
    unknown = [index for index, (account, _) in enumerate(owners) if account is None]
    named = {(account[0] or "", account[1]) for account, _ in owners if account}
    if console and len(unknown) == 1 and (console[0] or "", console[1]) not in named:
        owners[unknown[0]] = (console, "console")
    return owners


def _last_before(logons: list[_Logon], start_s: float | None) -> _Logon | None:
    if start_s is None:
        return None
    before = [logon for logon in logons if logon.start_s <= start_s + _SLACK_S]
    return max(before, key=lambda logon: logon.start_s, default=None)


def _people(logons: Rows, logon_users: Rows) -> list[_Logon]:
    """Join logon sessions with their accounts; what is no person, or lacks a half, is left out."""
    accounts: dict[str, Account] = {}
    for row in logon_users:
        account, logon = _reference(row, "Antecedent"), _reference(row, "Dependent")
        user, number = text(account.get("Name")), text(logon.get("LogonId"))
        if user and number and not _NO_PERSON.fullmatch(user):
            accounts[number] = (text(account.get("Domain")), user)
    found = []
    for row in logons:
        number, start = text(row.get("LogonId")), seconds_of(row.get("StartTime"))
        kind = _KINDS.get(count(row.get("LogonType")) or 0)
        if number in accounts and start is not None and kind:
            found.append(_Logon(accounts[number], kind, start))
    return found


def _reference(row: Row, name: str) -> Mapping[str, object]:
    value = row.get(name)
    return value if isinstance(value, Mapping) else {}
