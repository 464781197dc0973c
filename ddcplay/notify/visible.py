"""Text of targets made fit for a mail: everything that is not plainly visible is written as an escape.

A mail is read by people and parsed by programs. A host name with a line end must not become a header, a
right-to-left mark must not turn a message round, and a lone surrogate must not stop the mail (design §9.5).
"""

from __future__ import annotations

import unicodedata


def one_line(text: str, limit: int = 200) -> str:
    r"""Return `text` as one line without control, format and bidi characters (`\x1b` and the like instead).

    Args:
        text: anything.
        limit: longest result in characters; what is cut is replaced by `…`.
    """
    return _cut("".join(_visible(char, "") for char in _cut(text, limit)), limit).strip()


def block(text: str, limit: int = 1_000_000) -> str:
    """Return `text` with its lines and tabs kept, and all else as in `one_line`.

    Args:
        text: anything; CR LF becomes LF.
        limit: longest result in characters; what is cut is replaced by `…`.
    """
    lines = _cut(text, limit).replace("\r\n", "\n")
    return _cut("".join(_visible(char, "\n\t") for char in lines), limit)


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _visible(char: str, kept: str) -> str:
    if char.isprintable() or char in kept:
        return char
    if unicodedata.category(char) == "Zs":  # no-break and other spaces: plenty in French and German Windows
        return " "
    if char in "\r\n\t":
        return {"\r": "\\r", "\n": "\\n", "\t": "\\t"}[char]
    code = ord(char)
    if code <= 0xFF:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"
