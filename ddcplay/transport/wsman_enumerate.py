"""Enumerate, Pull and Release: a WQL query over WS-Management, as envelopes; no sockets, no shell.

Sources: DSP0226 8 (optimised enumeration), WS-Enumeration 3, MS-WSMV 2.2.4.41 (the WQL dialect). One query is
one SELECT of one class: WQL has no joins.
"""

from __future__ import annotations

import re

from ddcplay.errors import FaultError
from ddcplay.transport.wsman import ENUMERATION, Envelopes, Request, leaf_text

WQL_DIALECT = "http://schemas.microsoft.com/wbem/wsman/1/WQL"
WMI_RESOURCE = "http://schemas.microsoft.com/wbem/wsman/1/wmi"
MAX_ELEMENTS = 32000
"""Rows per page at most; Windows cuts pages at about 75 KB of UTF-8 long before, whatever is asked for."""

_NAMESPACE = re.compile(r"root(?:/[A-Za-z_][A-Za-z0-9_]*)*", re.IGNORECASE)


def namespace_of(written: str) -> str:
    r"""Return a WMI namespace with slashes: `root\cimv2`, `\\.\root\cimv2` and `root/cimv2` are one.

    Raises:
        ValueError: it is not one; the text says what is.
    """
    text = written.strip().replace("\\", "/").removeprefix("//./").strip("/")
    if _NAMESPACE.fullmatch(text) is None:
        raise ValueError(
            f"{written[:80]!r} is no WMI namespace; write root/cimv2, root/wmi, root/StandardCimv2 …"
        )
    return text


class RowRequests:
    """Builds the requests of one query.

    Args:
        envelopes: of the connection.
        namespace: such as `root/cimv2`, either kind of slash.

    Raises:
        FaultError: reason `wql`, the namespace is not one.
    """

    def __init__(self, envelopes: Envelopes, namespace: str) -> None:
        self._envelopes = envelopes
        try:
            self.namespace = namespace_of(namespace)
        except ValueError as error:
            raise FaultError("wql", str(error), "correct `namespace`") from error
        self._resource = f"{WMI_RESOURCE}/{self.namespace}/*"

    def enumerate(self, wql: str, timeout_s: float) -> Request:
        """Start a query; the answer carries the first page (`OptimizeEnumeration`).

        Raises:
            FaultError: the query holds what XML cannot carry.
        """
        body = (
            "<n:Enumerate><w:OptimizeEnumeration/>"
            f"<w:MaxElements>{MAX_ELEMENTS}</w:MaxElements>"
            f'<w:Filter Dialect="{WQL_DIALECT}">{leaf_text(wql, "the query")}</w:Filter></n:Enumerate>'
        )
        return self._build("Enumerate", body, timeout_s)

    def pull(self, context: str, timeout_s: float) -> Request:
        """Ask for the next page."""
        body = (
            f"<n:Pull><n:EnumerationContext>{leaf_text(context, 'the context')}</n:EnumerationContext>"
            f"<n:MaxElements>{MAX_ELEMENTS}</n:MaxElements></n:Pull>"
        )
        return self._build("Pull", body, timeout_s)

    def release(self, context: str, timeout_s: float) -> Request:
        """Give the rest of the rows up."""
        inside = f"<n:EnumerationContext>{leaf_text(context, 'the context')}</n:EnumerationContext>"
        return self._build("Release", f"<n:Release>{inside}</n:Release>", timeout_s)

    def _build(self, name: str, body: str, timeout_s: float) -> Request:
        action = f"{ENUMERATION}/{name}"
        return self._envelopes.build(name, action, body, timeout_s, resource_uri=self._resource)
