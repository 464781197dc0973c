"""The envelopes of WS-Man as Windows writes them, and a reader for what clients send.

Answers are built as text: one line, no declaration, fixed prefixes and orders, as recorded from Windows.
Requests are read by namespace and local name, never by prefix.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from xml.sax.saxutils import escape, quoteattr

from lxml import etree

S = "http://www.w3.org/2003/05/soap-envelope"
A = "http://schemas.xmlsoap.org/ws/2004/08/addressing"
X = "http://schemas.xmlsoap.org/ws/2004/09/transfer"
N = "http://schemas.xmlsoap.org/ws/2004/09/enumeration"
E = "http://schemas.xmlsoap.org/ws/2004/08/eventing"
W = "http://schemas.dmtf.org/wbem/wsman/1/wsman.xsd"
P = "http://schemas.microsoft.com/wbem/wsman/1/wsman.xsd"
RSP = "http://schemas.microsoft.com/wbem/wsman/1/windows/shell"
F = "http://schemas.microsoft.com/wbem/wsman/1/wsmanfault"
WSMID = "http://schemas.dmtf.org/wbem/wsman/identity/1/wsmanidentity.xsd"
CMD_SHELL = f"{RSP}/cmd"
WMI = "http://schemas.microsoft.com/wbem/wsman/1/wmi/"
ANONYMOUS = f"{A}/role/anonymous"

_NAMESPACES = {"s": S, "a": A, "x": X, "n": N, "e": E, "w": W, "rsp": RSP, "p": P}
_UNDERSTOOD = frozenset(
    {
        *(
            f"{{{A}}}{name}"
            for name in ("To", "ReplyTo", "FaultTo", "From", "Action", "MessageID", "RelatesTo")
        ),
        *(
            f"{{{W}}}{name}"
            for name in (
                "ResourceURI",
                "SelectorSet",
                "OptionSet",
                "MaxEnvelopeSize",
                "OperationTimeout",
                "Locale",
            )
        ),
        *(
            f"{{{P}}}{name}"
            for name in (
                "DataLocale",
                "SessionId",
                "OperationID",
                "SequenceId",
                "ActivityId",
                "CompressionType",
            )
        ),
    }
)
_DURATION = re.compile(r"P(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+(?:\.\d+)?)S)?)?")


class NotSoapError(Exception):
    """The body is not a SOAP envelope."""


@dataclass(frozen=True, slots=True)
class Request:
    """What the header of a request says, and its body.

    Args:
        timeout_s: seconds of w:OperationTimeout, None when absent, -1 when it cannot be read.
        max_envelope: bytes the client accepts, None when absent.
        not_understood: qualified name of a mandatory header block nobody knows.
        body: the first child of s:Body, None when the body is empty.
    """

    action: str
    message_id: str
    to: str
    resource_uri: str
    selectors: Mapping[str, str]
    options: Mapping[str, str]
    timeout_s: float | None
    max_envelope: int | None
    not_understood: str | None
    body: etree._Element | None


def read_duration(text: str) -> float | None:
    """Read an xs:duration of days and less; None when it is not one (negative ones included)."""
    match = _DURATION.fullmatch(text.strip())
    if match is None or not any(match.groups()):
        return None
    days, hours, minutes, seconds = (float(part) if part else 0.0 for part in match.groups())
    return days * 86400 + hours * 3600 + minutes * 60 + seconds


def read_request(data: bytes) -> Request:
    """Read an envelope.

    Raises:
        NotSoapError: not well-formed, has a DOCTYPE, or is no SOAP 1.2 envelope.
    """
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False)
    try:
        root = etree.fromstring(data, parser)
    except (etree.XMLSyntaxError, ValueError) as error:
        raise NotSoapError(str(error)) from error
    if root.tag != f"{{{S}}}Envelope" or root.getroottree().docinfo.internalDTD is not None:
        raise NotSoapError("no SOAP 1.2 envelope")
    header, body = root.find(f"{{{S}}}Header"), root.find(f"{{{S}}}Body")
    blocks: dict[str, etree._Element] = {}
    not_understood = None
    for block in () if header is None else header.iterchildren(tag=etree.Element):
        blocks.setdefault(str(block.tag), block)
        if block.get(f"{{{S}}}mustUnderstand") in ("true", "1") and block.tag not in _UNDERSTOOD:
            not_understood = str(block.tag)
    first = None if body is None else next(body.iterchildren(tag=etree.Element), None)
    size = _text(blocks, W, "MaxEnvelopeSize")
    return Request(
        action=_text(blocks, A, "Action"),
        message_id=_text(blocks, A, "MessageID"),
        to=_text(blocks, A, "To"),
        resource_uri=_text(blocks, W, "ResourceURI"),
        selectors=_named(blocks.get(f"{{{W}}}SelectorSet")),
        options=_named(blocks.get(f"{{{W}}}OptionSet")),
        timeout_s=_timeout(blocks),
        max_envelope=int(size) if size.isdigit() else None,
        not_understood=not_understood,
        body=first,
    )


def _text(blocks: Mapping[str, etree._Element], namespace: str, name: str) -> str:
    block = blocks.get(f"{{{namespace}}}{name}")
    return "" if block is None else (block.text or "").strip()


def _timeout(blocks: Mapping[str, etree._Element]) -> float | None:
    if f"{{{W}}}OperationTimeout" not in blocks:
        return None
    seconds = read_duration(_text(blocks, W, "OperationTimeout"))
    return -1.0 if seconds is None else seconds


def _named(block: etree._Element | None) -> dict[str, str]:
    if block is None:
        return {}
    return {item.get("Name", ""): item.text or "" for item in block.iterchildren(tag=etree.Element)}


def new_id() -> str:
    """Return an upper-case GUID, the form of every id Windows hands out."""
    return str(uuid.uuid4()).upper()


def envelope(prefixes: str, action: str, relates_to: str | None, body: str) -> bytes:
    """Write an answer.

    Args:
        prefixes: the namespaces to declare, in order, e.g. `"s a x w rsp p"`.
        action: URI of the answer.
        relates_to: the request's MessageID as it was written; None leaves the header out.
        body: inside of s:Body.
    """
    declared = " ".join(f'xmlns:{prefix}="{_NAMESPACES[prefix]}"' for prefix in prefixes.split())
    relates = "" if relates_to is None else f"<a:RelatesTo>{escape(relates_to)}</a:RelatesTo>"
    return (
        f'<s:Envelope xml:lang="en-US" {declared}><s:Header><a:Action>{action}</a:Action>'
        f"<a:MessageID>uuid:{new_id()}</a:MessageID>"
        f'<p:OperationID s:mustUnderstand="false">uuid:{new_id()}</p:OperationID>'
        "<p:SequenceId>1</p:SequenceId>"
        f"<a:To>{ANONYMOUS}</a:To>{relates}</s:Header><s:Body>{body}</s:Body></s:Envelope>"
    ).encode()


def identify(version: str) -> bytes:
    """Write the answer to Identify; `version` is `OS: 0.0.0 SP: 0.0 Stack: 3.0` for strangers."""
    return (
        f'<s:Envelope xml:lang="en-US" xmlns:s="{S}"><s:Header/><s:Body>'
        f'<wsmid:IdentifyResponse xmlns:wsmid="{WSMID}"><wsmid:ProtocolVersion>{W}</wsmid:ProtocolVersion>'
        f"<wsmid:ProductVendor>Microsoft Corporation</wsmid:ProductVendor>"
        f"<wsmid:ProductVersion>{version}</wsmid:ProductVersion></wsmid:IdentifyResponse></s:Body></s:Envelope>"
    ).encode()


def attribute(value: str) -> str:
    """Quote text for an attribute."""
    return quoteattr(value)


def text(value: str) -> str:
    """Escape text for an element."""
    return escape(value)
