"""One WQL query from its Enumerate to its last page, bounded in time and size; no shell, no process.

Windows' own words for what went wrong differ by version and language, so codes decide (WSManFault, nested
provider faults, HRESULTs in texts) and become one WBEM name each.
"""

from __future__ import annotations

import re

import orjson

from ddcplay.errors import FaultError
from ddcplay.transport.base import RowsLimitError
from ddcplay.transport.winrm_channel import Channel
from ddcplay.transport.winrm_faults import MuteError
from ddcplay.transport.wsman import Envelopes
from ddcplay.transport.wsman_enumerate import RowRequests
from ddcplay.transport.wsman_fault import OPERATION_TIMEOUT, WsmanFaultError, one_line
from ddcplay.transport.wsman_read import Element
from ddcplay.transport.wsman_rows import Page, Row, read_page
from ddcplay.units import Clock, Deadline

MAX_OPERATION_S = 60.0
"""Windows' MaxTimeoutms: a longer OperationTimeout is cut there anyway."""
GRACE_S = 2.0
_RELEASE_S = 2.0
_EMPTY_PAGES = 100

_CLASS = re.compile(r"\bfrom\s+([A-Za-z_]\w*)", re.IGNORECASE)
_RIGHTS = (
    "the account may log on but not read WMI: give it `Enable Account` and `Remote Enable` on the namespace "
    "(root/cimv2; wmimgmt.msc, Security), for example through the group WinRMRemoteWMIUsers__"
)
_NAMES = "check the spelling; `Get-CimClass NAME` on such a PC shows its properties"
# WBEM status (wbemcli.h) or WS-Man code (wsmerror.h) -> name, what it means, hint.
_MEANING: dict[int, tuple[str, str, str]] = {
    0x80041010: ("WBEM_E_INVALID_CLASS", "there is no such class in {namespace}", _NAMES),
    0x8004100E: ("WBEM_E_INVALID_NAMESPACE", "there is no namespace {namespace}", "correct `namespace`"),
    0x80041017: ("WBEM_E_INVALID_QUERY", "the query is not valid, or names an unknown property", _NAMES),
    0x80041018: ("WBEM_E_INVALID_QUERY_TYPE", "this is no WQL", "write SELECT … FROM … WHERE …"),
    0x80041031: ("WBEM_E_INVALID_PROPERTY", "it names an unknown property", _NAMES),
    0x80041003: ("WBEM_E_ACCESS_DENIED", "access to WMI is denied", _RIGHTS),
    0x80041062: ("WBEM_E_PRIVILEGE_NOT_HELD", "access to WMI is denied", _RIGHTS),
    0x80338104: ("access denied by the WMI service", "access to WMI is denied", _RIGHTS),
    0x80338105: ("access denied by the WMI provider", "access to WMI is denied", _RIGHTS),
    0x80338106: ("access denied at connecting to WMI", "access to WMI is denied", _RIGHTS),
    0x80070005: ("E_ACCESSDENIED", "access to WMI is denied", _RIGHTS),
    5: ("ERROR_ACCESS_DENIED", "access to WMI is denied", _RIGHTS),
    0x80338000: (
        "ERROR_WSMAN_RESOURCE_NOT_FOUND",
        "there is no namespace {namespace}, or no such class in it",
        "correct `namespace`, or ask only PCs that have it (`when:`)",
    ),
    0x80338102: (
        "ERROR_WSMAN_WMI_PROVIDER_NOT_CAPABLE",
        "the provider cannot do this here",
        "the hardware or driver does not answer it (SMART behind RAID or NVMe, for example)",
    ),
    0x8004100C: (
        "WBEM_E_NOT_SUPPORTED",
        "the provider cannot do this here",
        "the hardware or driver does not answer it (SMART behind RAID or NVMe, for example)",
    ),
    0x80041001: ("WBEM_E_FAILED", "WMI failed without saying why", "see the PC's WMI-Activity event log"),
    0x80041004: ("WBEM_E_PROVIDER_FAILURE", "the provider failed", "see the PC's WMI-Activity event log"),
    0x80041013: (
        "WBEM_E_PROVIDER_LOAD_FAILURE",
        "the provider could not be loaded",
        "repair what installs it, or WMI itself (winmgmt /verifyrepository)",
    ),
    0x80041014: (
        "WBEM_E_INITIALIZATION_FAILURE",
        "WMI could not start",
        "repair WMI on the PC (winmgmt /verifyrepository)",
    ),
    0x80041033: (
        "WBEM_E_SHUTTING_DOWN",
        "WMI is shutting down",
        "the PC was going off; ask again later",
    ),
    0x8004106C: (
        "WBEM_E_QUOTA_VIOLATION",
        "the provider ran into its quota",
        "ask for fewer rows or properties, or raise __ProviderHostQuotaConfiguration",
    ),
}
_QUOTAS = frozenset({0x8004106C})
_FILTER = 2150858778
_WBEM = (0x80041, 0x80042, 0x80044)
"""Upper bits of the HRESULTs of WMI, its repository and its transport."""
# Texts of the English messages, for answers that carry no WBEM code (we ask for en-US).
_TEXTS = (
    ("class does not exist", 0x80041010),
    ("invalid class", 0x80041010),
    ("invalid namespace", 0x8004100E),
    ("query is not valid", 0x80041017),
    ("invalid query", 0x80041017),
    ("syntax error", 0x80041017),
)


class Query:
    """One query on its way.

    Args:
        channel: the conversation.
        envelopes: builds requests.
        wql: one SELECT.
        namespace: such as `root/cimv2`.
        max_bytes: of the rows as compact JSON.

    Raises:
        FaultError: reason `wql`, the namespace is not one.
    """

    def __init__(
        self, channel: Channel, envelopes: Envelopes, wql: str, namespace: str, max_bytes: int
    ) -> None:
        self._channel = channel
        self._wql = wql
        self._requests = RowRequests(envelopes, namespace)
        self._max_bytes = max_bytes
        self._bytes = 2
        self._rows: list[Row] = []

    def rows(self, deadline: Deadline) -> tuple[Row, ...]:
        """Fetch every page.

        Raises:
            RowsLimitError: there are more rows than `max_bytes` takes; it carries those that fit.
            FaultError: `wql`, `timeout`, `quota`, `transport`; the rest of the rows was given up.
        """
        page = Page((), "")
        try:
            page = self._first(deadline)
            self._keep(page)
            empty = 0
            while page.context:
                empty = 0 if page.rows else empty + 1
                _check_progress(empty)
                page = self._next(page.context, deadline)
                self._keep(page)
        except FaultError as fault:
            self._release(page.context, deadline.clock)
            raise self._told(fault, deadline) from fault
        return tuple(self._rows)

    def _first(self, deadline: Deadline) -> Page:
        operation_s, latest = self._times(deadline)
        request = self._requests.enumerate(self._wql, operation_s)
        return read_page(self._channel.ask(request, latest, repeatable=True), "Enumerate")

    def _next(self, context: str, deadline: Deadline) -> Page:
        while True:
            operation_s, latest = self._times(deadline)
            try:
                # Not repeatable: a page that was sent and lost would be missing from the rows.
                answer: Element = self._channel.ask(self._requests.pull(context, operation_s), latest)
            except WsmanFaultError as fault:
                if fault.is_code(OPERATION_TIMEOUT) and not deadline.expired():
                    continue  # the rows are slow to come; the context is still good
                raise
            return read_page(answer, "Pull", context)

    def _times(self, deadline: Deadline) -> tuple[float, Deadline]:
        if deadline.expired():
            raise FaultError("timeout", "", "raise `timeout`, or ask for fewer rows and properties")
        operation_s = min(MAX_OPERATION_S, max(0.5, deadline.remaining_s()))
        latest = Deadline(deadline.clock, deadline.expires_at + GRACE_S, deadline.budget_s + GRACE_S)
        return operation_s, latest.capped(operation_s + 2 * GRACE_S)

    def _keep(self, page: Page) -> None:
        for row in page.rows:
            self._bytes += len(orjson.dumps(row)) + 1
            if self._bytes > self._max_bytes:
                raise RowsLimitError(
                    f"more than {self._max_bytes} bytes of rows",
                    "raise `max_output`, or ask for less",
                    tuple(self._rows),
                )
            self._rows.append(row)

    def _release(self, context: str, clock: Clock) -> None:
        """Give the rest of the rows back: an open enumeration counts against the account's operations."""
        if not context or self._channel.lost:
            return
        try:
            request = self._requests.release(context, _RELEASE_S)
            self._channel.ask(request, Deadline.after(clock, _RELEASE_S))
        except FaultError:
            return  # Windows drops it by itself after some minutes

    def _told(self, fault: FaultError, deadline: Deadline) -> FaultError:
        """Say it in the words of a query: which class, which WBEM error."""
        what = f"query of {class_of(self._wql)}"
        if isinstance(fault, RowsLimitError):
            return RowsLimitError(f"{what}: {fault.message}", fault.hint, fault.rows)
        if isinstance(fault, MuteError) and not deadline.expired():
            return _again(fault, "transport", f"{what}: {fault.message}", fault.hint)
        if fault.reason == "timeout":
            after = f"{what}: not answered after {deadline.budget_s:g} s"
            return _again(fault, "timeout", after, fault.hint)
        if isinstance(fault, WsmanFaultError):
            return self._wql_fault(fault, what)
        return _again(fault, fault.reason, f"{what}: {fault.message}", fault.hint)

    def _wql_fault(self, fault: WsmanFaultError, what: str) -> FaultError:
        code = _wbem_code(fault)
        if code is None:
            reason = "wql" if _is_of_wmi(fault) else fault.reason
            return _again(fault, reason, one_line(f"{what}: {fault.message}"), fault.hint)
        name, meaning, hint = _MEANING[code]
        told = f"{what}: {meaning.format(namespace=self._requests.namespace)} ({name}, 0x{code:08X})"
        return _again(fault, "quota" if code in _QUOTAS else "wql", one_line(told), hint)


def _check_progress(empty: int) -> None:
    if empty > _EMPTY_PAGES:
        raise FaultError("transport", f"{_EMPTY_PAGES} pages without a row, one after another")


def class_of(wql: str) -> str:
    """Return the class a query asks, for messages."""
    found = _CLASS.search(wql)
    return found[1] if found else "no class"


def _again(fault: FaultError, reason: str, message: str, hint: str) -> FaultError:
    return FaultError(reason, message, hint, connection_lost=fault.connection_lost)


def _wbem_code(fault: WsmanFaultError) -> int | None:
    """Return the most telling known code of a fault: the innermost speaks for WMI itself."""
    codes = [*reversed(fault.fault.inner), *([fault.fault.code] if fault.fault.code is not None else [])]
    for code in codes:
        if code in _MEANING:
            return code
    if fault.fault.subcode == "AccessDenied":
        return 0x80070005
    if fault.is_code(_FILTER) or _is_of_wmi(fault):
        said = fault.fault.text.lower()
        return next((code for text, code in _TEXTS if text in said), None)
    return None


def _is_of_wmi(fault: WsmanFaultError) -> bool:
    """Say whether WMI refused: facility ITF of WBEM, or one of the codes WinRM has for its WMI plug-in."""
    codes = (*fault.fault.inner, fault.fault.code or 0)
    return any(
        code >> 12 in (0x80041, 0x80042, 0x80044) or 0x803380FA <= code <= 0x80338108 for code in codes
    )
