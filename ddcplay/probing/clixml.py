"""PowerShell's stderr made readable: CLIXML to text.

With redirected streams powershell.exe writes errors, warnings, verbose text and even progress bars as CLIXML
(MS-PSRP 2.2.5). The raw bytes stay in the archive; this is what people read. What it gets is a target's
output, any bytes at all: entities are off, sizes bounded, and nothing is ever raised.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from lxml import etree

MAX_CLIXML_BYTES = 2 * 1024 * 1024
"""Beyond this the rest is left out of the readable form (never of the raw one)."""

_MARK = "#< CLIXML"
_DOCUMENT = re.compile(r"<Objs\b.*?(?:</Objs>|\Z)", re.DOTALL)
_NOT_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
_ESCAPE = re.compile(r"_x([0-9A-Fa-f]{4})_")
_LABELS = {"warning": "WARNING: ", "verbose": "VERBOSE: ", "debug": "DEBUG: ", "information": "INFO: "}
_SILENT = frozenset({"progress", "output"})


def readable(stderr: bytes) -> str | None:
    """Return the text of a PowerShell stderr.

    Args:
        stderr: raw bytes; native text may stand before, between and after the documents.

    Returns:
        Errors as they would stand in a console, other records labelled, progress left out; None when there is
        no CLIXML in it, so the raw form is the text.
    """
    text = stderr[:MAX_CLIXML_BYTES].decode("utf-8", errors="replace")
    if _MARK not in text:
        return None
    pieces: list[str] = []
    end = 0
    for document in _DOCUMENT.finditer(text):
        pieces += [_native(text[end : document.start()]), "".join(_records(document[0]))]
        end = document.end()
    pieces.append(_native(text[end:]))
    return "".join(pieces).replace("\r\n", "\n")


def _native(text: str) -> str:
    # The mark has its own line; what remains is what programs wrote to stderr themselves.
    return re.sub(rf"{re.escape(_MARK)}(\r?\n)?", "", text) if text.strip() else ""


def _records(document: str) -> Iterator[str]:
    parser = etree.XMLParser(
        recover=True,
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        huge_tree=False,
        remove_comments=True,
    )
    try:
        root = etree.fromstring(_NOT_XML.sub("\N{REPLACEMENT CHARACTER}", document).encode(), parser)
    except (etree.LxmlError, ValueError):
        yield document  # unreadable even for a forgiving parser: better raw than lost
        return
    if root is None:
        return
    for record in root:
        if isinstance(record.tag, str):
            yield _record(record)


def _record(record: etree._Element) -> str:
    stream = (record.get("S") or "").lower()
    if stream in _SILENT:
        return ""
    text = _unescaped(_text_of(record))
    if stream == "error" or not text:
        return text
    return f"{_LABELS.get(stream, '')}{text}" + ("" if text.endswith("\n") else "\n")


def _text_of(record: etree._Element) -> str:
    if etree.QName(record).localname != "Obj":
        return record.text or ""
    for wanted in ("ToString", "S"):
        for child in record.iter(f"{{*}}{wanted}"):
            if child.text and (wanted == "ToString" or child.get("N") in ("MessageData", "Message")):
                return f"{child.text}\n"
    return ""


def _unescaped(text: str) -> str:
    # One pass, so that an escaped underscore (_x005F_) does not start another escape.
    plain = _ESCAPE.sub(lambda found: chr(int(found[1], 16)), text)
    # Escapes are UTF-16 units: join pairs of surrogates, replace lone ones.
    return plain.encode("utf-16-le", errors="surrogatepass").decode("utf-16-le", errors="replace")
