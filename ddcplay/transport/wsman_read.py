"""WS-Management answers as they reach us: hostile bytes in, values or one of our errors out.

Elements are matched by namespace and local name, never by prefix (the target chooses those). Entities,
document types and network access are off, sizes are bounded before parsing. Nothing here raises anything but
`FaultError`.
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass

from lxml import etree

from ddcplay.errors import FaultError
from ddcplay.transport.wsman import (
    ADDRESSING,
    FAULT,
    IDENTITY,
    SHELL,
    SOAP,
    TRANSFER,
    WSMAN,
    Request,
)
from ddcplay.transport.wsman_fault import Fault, WsmanFaultError, one_line

MAX_ANSWER_BYTES = 1024 * 1024
"""Windows keeps answers below the 150 KB we announce; this leaves room for servers that do not."""
WMI_ERROR_SUFFIX = "MSFT_WmiError"

_HRESULT = re.compile(r"\b0x(8[0-9a-fA-F]{7})\b")
_INNER_CODES = 8

Element = etree._Element  # noqa: SLF001 - lxml names its element type no other way
"""An element of an answer."""


class MalformedAnswerError(FaultError):
    """The answer is not what WS-Management prescribes.

    Args:
        request: name of the request it answered.
        what: what is wrong, in a few words.
    """

    def __init__(self, request: str, what: str) -> None:
        super().__init__(
            "transport",
            one_line(f"{request}: the answer is not valid WS-Management: {what}"),
            "is it really Windows' WinRM that listens there? `ddcplay doctor HOST` shows what answers",
        )


@dataclass(frozen=True, slots=True)
class Received:
    """One answer to Receive.

    Args:
        stdout: bytes as they came; may end inside a character.
        stderr: same.
        done: the command ended; nothing more will come. Empty End streams are not relied on.
        exit_code: 0 to 4294967295, None when running or not told.
    """

    stdout: bytes
    stderr: bytes
    done: bool
    exit_code: int | None


def _parse(body: bytes, request: str) -> Element:
    if len(body) > MAX_ANSWER_BYTES:
        raise MalformedAnswerError(request, f"{len(body)} bytes in one envelope")
    parser = etree.XMLParser(
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        huge_tree=False,
        remove_comments=True,
        remove_pis=True,
    )
    try:
        root = etree.fromstring(body, parser)
    except (etree.LxmlError, ValueError) as error:
        raise MalformedAnswerError(request, f"no XML ({error})") from error
    if root.getroottree().docinfo.internalDTD is not None:
        raise MalformedAnswerError(request, "it has a document type")
    return root


def read_envelope(body: bytes, request: Request) -> Element:
    """Parse an answer and return its s:Body.

    Args:
        body: the answer's bytes, opened when they were sealed.
        request: what it answers; RelatesTo is compared when there is one (some faults have none).

    Raises:
        WsmanFaultError: the target answered with a fault, whatever the HTTP status was.
        MalformedAnswerError: anything else than a SOAP 1.2 envelope.
    """
    root = _parse(body, request.name)
    if root.tag != f"{{{SOAP}}}Envelope":
        raise MalformedAnswerError(request.name, f"the root is {root.tag}")
    content = root.find(f"{{{SOAP}}}Body")
    if content is None:
        raise MalformedAnswerError(request.name, "it has no s:Body")
    related = root.findtext(f"{{{SOAP}}}Header/{{{ADDRESSING}}}RelatesTo")
    if related is not None and request.message_id and related.strip().upper() != request.message_id.upper():
        raise MalformedAnswerError(request.name, "it answers another request (RelatesTo)")
    fault = content.find(f"{{{SOAP}}}Fault")
    if fault is not None:
        raise WsmanFaultError(_fault(fault), request.name)
    return content


def _number(text: str | None) -> int | None:
    # int() takes underscores, other scripts' digits and thousands of digits; none of them is an xs:int.
    cleaned = (text or "").strip()
    digits = cleaned.removeprefix("-").removeprefix("+")
    if not (digits.isascii() and digits.isdigit() and len(digits) <= 10):
        return None
    return int(cleaned)


def _all_text(element: Element | None) -> str:
    if element is None:
        return ""
    return one_line(" ".join(str(piece) for piece in element.itertext()))


def _fault(fault: Element) -> Fault:
    subcode = (fault.findtext(f"{{{SOAP}}}Code/{{{SOAP}}}Subcode/{{{SOAP}}}Value") or "").strip()
    value = (fault.findtext(f"{{{SOAP}}}Code/{{{SOAP}}}Value") or "").strip()
    reason = _all_text(fault.find(f"{{{SOAP}}}Reason"))
    short = (subcode or value).rpartition(":")[2]
    detail = fault.find(f"{{{SOAP}}}Detail")
    if detail is None:
        return Fault(None, short, reason)
    direct = detail.find(f"{{{FAULT}}}WSManFault")
    if direct is not None:
        text = _all_text(direct.find(f"{{{FAULT}}}Message")) or reason
        return Fault(_fault_code(direct), short, text, _inner_codes(direct, text))
    for child in detail:
        # The WMI form has been seen in two namespaces, so its local name decides.
        if etree.QName(child).localname == WMI_ERROR_SUFFIX:
            return _wmi_fault(child, short, reason)
    return Fault(None, short, reason)


def _inner_codes(direct: Element, text: str) -> tuple[int, ...]:
    """Collect what a provider said: its faults are nested, WBEM's HRESULTs often stand in a text alone."""
    nested = [_fault_code(each) for each in direct.iter(f"{{{FAULT}}}WSManFault") if each is not direct]
    named = [int(found, 16) for found in _HRESULT.findall(text)]
    return tuple(dict.fromkeys(code for code in (*nested, *named) if code is not None))[:_INNER_CODES]


def _fault_code(direct: Element) -> int | None:
    code = _number(direct.get("Code"))
    return None if code is None else code & 0xFFFFFFFF


def _wmi_fault(error: Element, subcode: str, reason: str) -> Fault:
    leaves = {etree.QName(child).localname: child for child in error}
    code = _number(_all_text(leaves.get("error_Code")))
    text = _all_text(leaves.get("Message")) or _all_text(leaves.get("error_WindowsErrorMessage"))
    named = tuple(int(found, 16) for found in _HRESULT.findall(text))[:_INNER_CODES]
    return Fault(None if code is None else code & 0xFFFFFFFF, subcode, text or reason, named)


def read_shell_id(content: Element) -> str:
    """Return the shell's id from the selector of a CreateResponse; the rsp:Shell part may be missing.

    Raises:
        MalformedAnswerError: there is none.
    """
    created = content.find(f"{{{TRANSFER}}}ResourceCreated")
    if created is not None:
        for selector in created.iter(f"{{{WSMAN}}}Selector"):
            if selector.get("Name") == "ShellId" and (selector.text or "").strip():
                return _identifier(selector.text, "Create", "the ShellId selector")
    raise MalformedAnswerError("Create", "it names no ShellId")


def read_command_id(content: Element) -> str:
    """Return the id of the command that was started.

    Raises:
        MalformedAnswerError: there is none.
    """
    text = content.findtext(f"{{{SHELL}}}CommandResponse/{{{SHELL}}}CommandId")
    if text is None or not text.strip():
        raise MalformedAnswerError("Command", "it has no CommandId")
    return _identifier(text, "Command", "the CommandId")


def _identifier(text: str | None, request: str, what: str) -> str:
    value = (text or "").strip()
    if len(value) > 100 or not value.isprintable():
        raise MalformedAnswerError(request, f"{what} is no identifier")
    return value


def read_received(content: Element, command_id: str) -> Received:
    """Read one answer to Receive; streams and states of other commands are left out.

    Raises:
        MalformedAnswerError: no ReceiveResponse, a stream without name, or text that is not base64.
    """
    answer = content.find(f"{{{SHELL}}}ReceiveResponse")
    if answer is None:
        raise MalformedAnswerError("Receive", "it has no ReceiveResponse")
    pieces: dict[str, list[bytes]] = {"stdout": [], "stderr": []}
    done, exit_code = False, None
    for child in answer:
        if (child.get("CommandId") or command_id).strip().upper() != command_id.upper():
            continue
        if child.tag == f"{{{SHELL}}}Stream":
            _append_stream(child, pieces)
        elif child.tag == f"{{{SHELL}}}CommandState" and (child.get("State") or "").endswith(
            "CommandState/Done"
        ):
            done, exit_code = True, _exit_code(child)
    return Received(b"".join(pieces["stdout"]), b"".join(pieces["stderr"]), done, exit_code)


def _append_stream(stream: Element, pieces: dict[str, list[bytes]]) -> None:
    name = stream.get("Name")
    if name not in pieces:
        raise MalformedAnswerError("Receive", "a stream has no known name")
    text = "".join((stream.text or "").split())
    if not text:
        return
    try:
        pieces[name].append(base64.b64decode(text.encode("ascii"), validate=True))
    except (binascii.Error, UnicodeEncodeError) as error:
        raise MalformedAnswerError("Receive", f"stream {name} is not base64") from error


def _exit_code(state: Element) -> int | None:
    # xs:int by the schema, but NTSTATUS values come as negative or as unsigned decimals: one form for both.
    number = _number(state.findtext(f"{{{SHELL}}}ExitCode"))
    if number is None or not -(2**31) <= number < 2**32:
        return None
    return number & 0xFFFFFFFF


def read_identity(content: Element) -> tuple[str, str]:
    """Return product vendor and version of an IdentifyResponse.

    Raises:
        MalformedAnswerError: it is no IdentifyResponse.
    """
    answer = content.find(f"{{{IDENTITY}}}IdentifyResponse")
    if answer is None:
        raise MalformedAnswerError("Identify", "it has no IdentifyResponse")
    vendor = one_line(answer.findtext(f"{{{IDENTITY}}}ProductVendor") or "")
    return vendor, one_line(answer.findtext(f"{{{IDENTITY}}}ProductVersion") or "")
