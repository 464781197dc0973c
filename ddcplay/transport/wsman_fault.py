"""What a WS-Man fault means for an attempt: its reason, and what an admin can do about it.

Codes and texts: winerror.h / wsmerror.h, MS-WSMV 3.1.4; both forms (WSManFault and MSFT_WmiError) carry them.
"""

from __future__ import annotations

from dataclasses import dataclass

from ddcplay.errors import FaultError

MESSAGE_LIMIT = 300

OPERATION_TIMEOUT = 2150858793
SHELL_NOT_FOUND = 2150858843
ABORTED = frozenset({995, 2147943395})
PIPE_ENDED = frozenset({109, 2147942509, 232, 2147942632})
BUSY = frozenset({170, 2147942570})

_RIGHTS = (
    "the password was right, the right to use WinRM is missing: add it to Remote Management Users or "
    "Administrators; for a local administrator set LocalAccountTokenFilterPolicy=1"
)
_SHELLS = (
    "another tool leaves shells open or others use this account: close them, use another account, or raise "
    "winrm/config/winrs MaxShellsPerUser"
)
_OPERATIONS = (
    "the account used up its operations; a fresh shell gives them back: raise winrm/config/service "
    "MaxConcurrentOperationsPerUser"
)
_USERS = "raise winrm/config/winrs MaxConcurrentUsers, or visit when fewer users are connected"

# code -> (reason, hint)
_MEANING: dict[int, tuple[str, str]] = {
    OPERATION_TIMEOUT: (
        "timeout",
        "the target is overloaded: give the probe more time or visit fewer hosts at once",
    ),
    SHELL_NOT_FOUND: (
        "transport",
        "the shell vanished: the target or its WinRM service restarted, or its idle limit is below 3 minutes",
    ),
    5: ("auth", _RIGHTS),
    2147942405: ("auth", _RIGHTS),
    2150859173: ("quota", _SHELLS),
    2150859174: ("quota", _OPERATIONS),
    2150859175: ("quota", _OPERATIONS),
    2150859176: (
        "quota",
        "the target's WinRM service is at its limit: visit fewer hosts' services at once, or later",
    ),
    2150859179: ("quota", _USERS),
    2150859180: ("auth", "remote shells are off: set winrm/config/winrs AllowRemoteShellAccess=true"),
    2148007941: (
        "quota",
        "the target could not start a process: memory is short, or MaxMemoryPerShellMB is too low",
    ),
    2147942414: ("quota", "out of memory on the target: raise winrm/config/winrs MaxMemoryPerShellMB"),
    2147942402: ("transport", "the program was not found on the target: write its full path"),
    2147942606: (
        "transport",
        "the command line is too long: cmd.exe takes 8191 characters; use `script` or stdin",
    ),
    2147942667: ("transport", "`chdir` names a directory that does not exist on the target"),
    2147943418: ("transport", "Windows was unloading the user's profile; the next try gets a fresh one"),
    2150859072: ("transport", "the target does not know this `codepage`; 65001 is UTF-8"),
    2150858778: (
        "wql",
        "check class, property and namespace names; `ddcplay probe PATTERN -w` tries a query",
    ),
    2150858817: ("transport", "the target did not understand the request; is it really Windows' WinRM?"),
    2150858752: ("transport", "the target does not know this resource; is it really Windows' WinRM?"),
} | dict.fromkeys(
    range(2150859236, 2150859243),
    ("quota", "a quota of the target's shell plug-in is used up: raise it under winrm/config/winrs"),
)


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault as the target wrote it.

    Args:
        code: WSManFault Code or MSFT_WmiError error_Code, None when there is neither.
        subcode: local name of the SOAP subcode.
        text: the most telling text in it, one line.
        inner: codes of the faults it wraps and the HRESULTs its texts name, outermost first.
    """

    code: int | None
    subcode: str
    text: str
    inner: tuple[int, ...] = ()


class WsmanFaultError(FaultError):
    """The target answered with a fault.

    Args:
        fault: what it said.
        request: name of the request it refers to.
    """

    def __init__(self, fault: Fault, request: str) -> None:
        reason, hint = _meaning(fault)
        number = f" {fault.code}" if fault.code is not None else f" {fault.subcode}"
        super().__init__(
            reason,
            one_line(f"{request}: WS-Man fault{number}: {fault.text}"),
            hint,
            retryable=reason == "quota",
        )
        self.fault = fault

    def is_code(self, *codes: int) -> bool:
        """Say whether the fault carries one of these codes."""
        return self.fault.code in codes


def _meaning(fault: Fault) -> tuple[str, str]:
    if fault.code is not None and fault.code in _MEANING:
        return _MEANING[fault.code]
    if fault.subcode == "AccessDenied":
        return ("auth", _RIGHTS)
    if fault.subcode == "QuotaLimit":
        return ("quota", _SHELLS)
    if fault.subcode == "TimedOut":
        return _MEANING[OPERATION_TIMEOUT]
    return ("transport", "look the code up with `winrm helpmsg` on a Windows PC")


def one_line(text: str, limit: int = MESSAGE_LIMIT) -> str:
    """Fold text of a target or library into one bounded line without control characters."""
    folded = " ".join(
        "".join(letter if letter.isprintable() else " " for letter in text[: limit * 8]).split()
    )
    return folded if len(folded) <= limit else f"{folded[: limit - 1]}…"
