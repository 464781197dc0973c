"""Text from targets made harmless for a terminal (design §9.5): the one place that knows what is dangerous.

A host can print anything: escape sequences that rewrite the screen or the clipboard, right-to-left marks that
reorder what an admin reads, lone surrogates that cannot be encoded. Everything shown passes through here.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping

_KEPT_IN_BLOCKS = "\n\t"


def safe_text(text: str, *, block: bool = False, limit: int | None = None) -> str:
    r"""Return `text` with every character that is not plainly visible written as an escape such as `\x1b`.

    Args:
        text: anything.
        block: keep line ends and tabs (CR LF becomes LF); otherwise the result is one line.
        limit: longest result in characters; what is cut is replaced by `…`.
    """
    if limit is not None and len(text) > limit:
        # Cut first: a target's megabyte must cost nothing. Escaping may lengthen, so it is cut again below.
        text = text[:limit] + "…"
    if not text.isprintable():
        if block:
            text = text.replace("\r\n", "\n")
        text = "".join(_visible(char, block=block) for char in text)
    if limit is not None and len(text) > limit:
        text = text[: max(0, limit - 1)] + "…"
    return text


def decode_output(raw: bytes) -> str:
    """Decode what a target printed; bytes that are not UTF-8 become U+FFFD."""
    return raw.decode("utf-8", errors="replace")


def safe_values(values: Mapping[str, object]) -> str:
    """Write a mapping as `key=value` words on one safe line."""
    return " ".join(f"{safe_text(str(key))}={safe_text(str(value))}" for key, value in values.items())


def _visible(char: str, *, block: bool) -> str:
    if char.isprintable() or (block and char in _KEPT_IN_BLOCKS):
        return char
    if unicodedata.category(char) == "Zs":  # no-break and other spaces: plenty in French and German Windows
        return " "
    if char in "\r\n\t":
        return {"\r": "\\r", "\n": "\\n", "\t": "\\t"}[char]
    code = ord(char)
    if code <= 0xFF:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"
