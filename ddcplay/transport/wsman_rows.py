"""Pages of rows out of the answers to Enumerate and Pull, and the types of their values.

WS-Management carries no property types, so a value's own spelling decides, and only where nothing is lost:
the text of an integer that fits 64 bits, as Windows spells it (no `+`, no leading zero), is that integer,
`true` and `false` are truth values; all else stays the text it is. Dates are told by their element.

Sources: MS-WSMV 2.2.4 (the two item forms), DSP0230 7 (how CIM values are written).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from lxml import etree

from ddcplay.transport.wsman import ADDRESSING, ENUMERATION, WSMAN
from ddcplay.transport.wsman_read import Element, MalformedAnswerError

NIL = "{http://www.w3.org/2001/XMLSchema-instance}nil"
MAX_DEPTH = 16
"""Nesting of embedded objects; Windows' own have at most a few levels."""
MAX_CONTEXT = 2048

Row = Mapping[str, object]

_INTEGER = re.compile(r"0|-?[1-9][0-9]{0,19}", re.ASCII)
_INT64_MIN, _UINT64_MAX = -(2**63), 2**64 - 1
_DATETIME = re.compile(
    r"(?P<moment>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(?P<fraction>\d{1,9}))?(?P<zone>Z|[+-]\d\d:?\d\d)",
    re.ASCII,
)
_INTERVAL = re.compile(
    r"P(?:(?P<days>\d{1,9})D)?(?:T(?:(?P<hours>\d{1,9})H)?(?:(?P<minutes>\d{1,9})M)?"
    r"(?:(?P<seconds>\d{1,9})(?:\.(?P<fraction>\d{1,9}))?S)?)?",
    re.ASCII,
)


@dataclass(frozen=True, slots=True)
class Page:
    """One answer to Enumerate or Pull.

    Args:
        rows: property name → value, in the target's order.
        context: what the next Pull has to show, empty when this was the last page.
    """

    rows: tuple[Row, ...]
    context: str


def read_page(content: Element, request: str, context: str = "") -> Page:
    """Read one page.

    Args:
        content: body of the answer.
        request: `Enumerate` or `Pull`.
        context: of the request; kept when a Pull's answer does not repeat it.

    Raises:
        MalformedAnswerError: it is no such answer, or its objects are nested too deeply.
    """
    answer = content.find(f"{{{ENUMERATION}}}{request}Response")
    if answer is None:
        raise MalformedAnswerError(request, f"it has no {request}Response")
    rows: list[Row] = []
    ended = False
    told = answer.findtext(f"{{{ENUMERATION}}}EnumerationContext")
    for child in answer:
        # Enumerate's answer has its items and its end in the wsman namespace, Pull's in the enumeration's.
        if child.tag in (f"{{{WSMAN}}}Items", f"{{{ENUMERATION}}}Items"):
            # An instance or a fragment: both are properties side by side, only the namespaces differ.
            rows += [_properties(item, request, 0) for item in child]
        elif child.tag in (f"{{{WSMAN}}}EndOfSequence", f"{{{ENUMERATION}}}EndOfSequence"):
            ended = True
    following = "" if ended else (context if told is None else told.strip())
    if len(following) > MAX_CONTEXT or not following.isprintable():
        raise MalformedAnswerError(request, "the enumeration context is no identifier")
    return Page(tuple(rows), following)


def _properties(parent: Element, request: str, depth: int) -> dict[str, object]:
    if depth > MAX_DEPTH:
        raise MalformedAnswerError(request, "objects are nested too deeply")
    row: dict[str, object] = {}
    repeated: set[str] = set()
    for child in parent:
        name = etree.QName(child).localname
        value = _value(child, request, depth)
        if name not in row:
            row[name] = value
        elif name in repeated:
            held = row[name]
            assert isinstance(held, list), "a repeated property is collected in a list"
            held.append(value)
        else:
            row[name] = [row[name], value]
            repeated.add(name)
    return row


def _value(element: Element, request: str, depth: int) -> object:
    if element.get(NIL) in ("true", "1"):
        return None
    children = list(element)
    if not children:
        return typed("".join(str(piece) for piece in element.itertext()))
    only = etree.QName(children[0]).localname if len(children) == 1 else ""
    if only in ("Datetime", "Date", "Time", "CIM_DateTime"):
        return utc_text("".join(str(piece) for piece in children[0].itertext()).strip())
    if only == "Interval":
        return interval_s("".join(str(piece) for piece in children[0].itertext()).strip())
    reference = element.find(f"{{{ADDRESSING}}}ReferenceParameters")
    if reference is not None:
        return _reference(reference)
    return _properties(element, request, depth + 1)


def _reference(parameters: Element) -> dict[str, object]:
    """Read a CIM reference (associations have two): its class and key values."""
    resource = (parameters.findtext(f"{{{WSMAN}}}ResourceURI") or "").strip()
    keys = {
        selector.get("Name") or "": typed("".join(str(piece) for piece in selector.itertext()))
        for selector in parameters.iter(f"{{{WSMAN}}}Selector")
        if selector.get("Name") != "__cimnamespace"
    }
    return {"__CLASS": resource.rpartition("/")[2], **keys}


def typed(text: str) -> str | int | bool:
    """Give a value's text the type its spelling shows; the text of the result is always the text given.

    Beyond 64 bits no number of WMI exists, so such digits are an identifier and stay text.
    """
    if text in ("true", "false"):
        return text == "true"
    if len(text) <= 20 and _INTEGER.fullmatch(text):
        number = int(text)
        return number if _INT64_MIN <= number <= _UINT64_MAX else text
    return text


def utc_text(text: str) -> str:
    """Write a moment as ISO 8601 in UTC with `Z`; what tells no zone, or is no moment, stays as it is."""
    found = _DATETIME.fullmatch(text)
    if found is None:
        return text
    zone = "+00:00" if found["zone"] == "Z" else found["zone"]
    try:
        moment = datetime.fromisoformat(found["moment"] + zone).astimezone(UTC)
    except (ValueError, OverflowError):
        return text
    fraction = (found["fraction"] or "")[:6].rstrip("0")
    return moment.strftime("%Y-%m-%dT%H:%M:%S").rjust(19, "0") + (f".{fraction}" if fraction else "") + "Z"


def interval_s(text: str) -> int | float | str:
    """Turn a CIM interval (`P12DT3H4M5.5S`) into seconds; what is none stays as it is."""
    found = _INTERVAL.fullmatch(text)
    if found is None or not any(found.groups()):
        return text
    days, hours, minutes, seconds = (
        int(found[name] or 0) for name in ("days", "hours", "minutes", "seconds")
    )
    whole = ((days * 24 + hours) * 60 + minutes) * 60 + seconds
    fraction = (found["fraction"] or "").rstrip("0")
    return whole + float(f"0.{fraction}") if fraction else whole
