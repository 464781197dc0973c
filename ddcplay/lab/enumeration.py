"""Enumerate, Pull and Release: WQL over WS-Man, and the list of open shells (MS-WSMV 3.1.4.1.28 ff.)."""

from __future__ import annotations

import dataclasses
from datetime import datetime

from ddcplay.lab import refusals, soap, wmi, wmi_drives, wql
from ddcplay.lab.cim import Reference
from ddcplay.lab.host import Caller, Enumeration, SimulatedHost
from ddcplay.lab.refusals import RefusedError

_N, _W = f"{{{soap.N}}}", f"{{{soap.W}}}"
_XSI = "http://www.w3.org/2001/XMLSchema-instance"
_CIM = "http://schemas.dmtf.org/wbem/wscim/1/common"
# Windows cuts pages at about 75 KB of UTF-8, whatever the client asks for.
_PAGE_BYTES = 75_000


async def enumerate_(host: SimulatedHost, request: soap.Request, caller: Caller) -> bytes:
    """Start an enumeration; an optimised one carries the first page."""
    if request.body is None or request.body.tag != _N + "Enumerate":
        raise RefusedError(refusals.SCHEMA)
    if request.resource_uri == soap.RSP:
        items = [host.describe_shell(shell, full=True) for shell in host.shells.owned_by(caller.user)]
    else:
        items = _items(host, request, await _processes(host))
    optimised = request.body.find(_W + "OptimizeEnumeration") is not None
    count = _count(request.body.findtext(_W + "MaxElements"))
    page = _page(items, count) if optimised else 0
    context = ""
    if page < len(items) or not optimised:
        context = f"uuid:{soap.new_id()}"
        host.enumerations[context] = Enumeration(caller.user, items[page:])
    body = f"<n:EnumerationContext>{context}</n:EnumerationContext>"
    if optimised:
        body += f"<w:Items>{''.join(items[:page])}</w:Items>{'' if context else '<w:EndOfSequence/>'}"
    return soap.envelope(
        "s a n w p",
        f"{soap.N}/EnumerateResponse",
        request.message_id,
        f"<n:EnumerateResponse>{body}</n:EnumerateResponse>",
    )


async def pull(host: SimulatedHost, request: soap.Request, caller: Caller) -> bytes:
    """Return the next page."""
    context = _context(host, request, caller)
    found = host.enumerations.pop(context)
    assert request.body is not None
    page = _page(found.items, _count(request.body.findtext(_N + "MaxElements")))
    rest = found.items[page:]
    items = "".join(found.items[:page])
    if rest:
        host.enumerations[context] = Enumeration(caller.user, rest)
        body = f"<n:EnumerationContext>{context}</n:EnumerationContext><n:Items>{items}</n:Items>"
    else:
        body = f"<n:EnumerationContext></n:EnumerationContext><n:Items>{items}</n:Items><n:EndOfSequence/>"
    return soap.envelope(
        "s a n w p", f"{soap.N}/PullResponse", request.message_id, f"<n:PullResponse>{body}</n:PullResponse>"
    )


async def release(host: SimulatedHost, request: soap.Request, caller: Caller) -> bytes:
    """End an enumeration."""
    del host.enumerations[_context(host, request, caller)]
    return soap.envelope("s a n w p", f"{soap.N}/ReleaseResponse", request.message_id, "")


def _context(host: SimulatedHost, request: soap.Request, caller: Caller) -> str:
    text = None if request.body is None else request.body.findtext(_N + "EnumerationContext")
    context = (text or "").strip()
    found = host.enumerations.get(context)
    if found is None or found.owner != caller.user:
        raise RefusedError(refusals.NO_CONTEXT)
    return context


def _count(text: str | None) -> int:
    return max(1, int(text)) if text and text.strip().isdigit() else 1


def _page(items: list[str], count: int) -> int:
    """Return how many items fit into an answer; at least one."""
    size = 0
    for index, item in enumerate(items[:count]):
        size += len(item)
        if size > _PAGE_BYTES and index:
            return index
    return min(count, len(items))


async def _processes(host: SimulatedHost) -> list[wmi.Row]:
    """Return what remote shells started; on a Wine host that is its real process table."""
    started = host.processes.rows()
    return started if host.wine is None else [*started, *await host.wine.processes(host.wine_commands)]


def _items(host: SimulatedHost, request: soap.Request, started: list[wmi.Row]) -> list[str]:
    if not request.resource_uri.startswith(soap.WMI):
        raise RefusedError(refusals.RESOURCE_NOT_FOUND)
    namespace, _, name = request.resource_uri.removeprefix(soap.WMI).rpartition("/")
    if not wmi.has_namespace(host.machine, namespace):
        raise RefusedError(refusals.RESOURCE_NOT_FOUND)
    if not host.blueprint.admin and namespace.lower() != "root/cimv2":
        raise RefusedError(refusals.ACCESS_DENIED)
    assert request.body is not None
    text = request.body.findtext(_W + "Filter")
    try:
        query = wql.Query(None, name) if text is None else wql.parse(text)
        found = wmi.rows_of(host.machine, host.now(), namespace, query.name)
        if found is None:
            raise RefusedError(_filter_refusal("The specified class does not exist in the given namespace. "))
        true_name, rows = found
        if true_name == "Win32_Process":
            rows = [*(rows if host.wine is None else ()), *started]
        chosen = [row for row in rows if query.matches(row)]
        if query.columns is None:
            return [_instance(namespace, true_name, row) for row in chosen]
        columns = _columns(query.columns, rows[0]) if rows else []
        return [_fragment(row, columns) for row in chosen]
    except wmi_drives.NotSupportedError:
        raise RefusedError(refusals.NOT_SUPPORTED) from None
    except wql.WqlError:
        raise RefusedError(_filter_refusal("The query is not valid. ")) from None


def _filter_refusal(text: str) -> refusals.Refusal:
    return dataclasses.replace(refusals.BAD_FILTER, message=refusals.BAD_FILTER.message + text)


def _columns(wanted: tuple[str, ...], row: wmi.Row) -> list[str]:
    known = {name.lower(): name for name in row}
    if any(column.lower() not in known for column in wanted):
        raise wql.WqlError("invalid query")
    return [known[column.lower()] for column in wanted]


def _instance(namespace: str, name: str, row: wmi.Row) -> str:
    uri = f"{soap.WMI}{namespace}/{name}"
    inside = "".join(_property(f"p:{key}", row[key], "cim:") for key in sorted(row, key=str.lower))
    return (
        f'<p:{name} xmlns:xsi="{_XSI}" xmlns:p="{uri}" xmlns:cim="{_CIM}" xsi:type="p:{name}_Type"'
        f' xml:lang="en-US">{inside}</p:{name}>'
    )


def _fragment(row: wmi.Row, columns: list[str]) -> str:
    inside = "".join(_property(column, row[column], "") for column in columns)
    return f'<w:XmlFragment xmlns:xsi="{_XSI}" xmlns:w="{soap.W}">{inside}</w:XmlFragment>'


def _property(tag: str, value: wmi.Value, prefix: str) -> str:
    if value is None or value == ():
        return f'<{tag} xsi:nil="true"/>'
    if isinstance(value, tuple):
        return "".join(_property(tag, item, prefix) for item in value)
    if isinstance(value, bool):
        return f"<{tag}>{str(value).lower()}</{tag}>"
    if isinstance(value, datetime):
        stamp = value.strftime("%Y-%m-%dT%H:%M:%S.%fZ" if value.microsecond else "%Y-%m-%dT%H:%M:%SZ")
        return f"<{tag}><{prefix}Datetime>{stamp}</{prefix}Datetime></{tag}>"
    if isinstance(value, Reference):
        return f"<{tag}>{_reference(value)}</{tag}>"
    return f"<{tag}>{soap.text(str(value))}</{tag}>"


def _reference(value: Reference) -> str:
    """Write a reference as an endpoint (MS-WSMV 2.2.4; DSP0230 7.2.5)."""
    selectors = "".join(
        f"<w:Selector Name={soap.attribute(key)}>{soap.text(text)}</w:Selector>"
        for key, text in (("__cimnamespace", "root/cimv2"), *value.keys)
    )
    return (
        f"<a:Address>{soap.ANONYMOUS}</a:Address><a:ReferenceParameters>"
        f"<w:ResourceURI>{soap.WMI}root/cimv2/{value.name}</w:ResourceURI>"
        f"<w:SelectorSet>{selectors}</w:SelectorSet></a:ReferenceParameters>"
    )
