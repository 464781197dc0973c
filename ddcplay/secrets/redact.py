"""Redaction by value: the last line before a log, a report or a terminal (design §4).

Whoever resolves a secret tells the redactor; every sink passes its text through it. The archive of what
targets sent is the one place that stays raw.
"""

from __future__ import annotations

import base64
import json
import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from urllib.parse import quote, quote_plus
from xml.sax.saxutils import escape, quoteattr

MASK = "********"

MIN_LENGTH = 6
"""Shorter secrets are not looked for: they would blank out ordinary words."""

_XML_QUOTES: tuple[dict[str, str], ...] = (
    {},
    {'"': "&quot;"},
    {'"': "&quot;", "'": "&apos;"},
    {'"': "&#34;", "'": "&#39;"},
    {'"': "&quot;", "'": "&#x27;"},
)
_XML_BREAKS = {"\n": "&#10;", "\r": "&#13;", "\t": "&#9;"}
_LOG_RECORD_FIELDS = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class Redactor:
    """Replaces every secret it was told, in every form it usually travels in, by `********`.

    Thread-safe: readers see one immutable tuple, which writers replace.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: frozenset[str] = frozenset()
        self._forms: tuple[str, ...] = ()
        self._raw_forms: tuple[bytes, ...] = ()

    def add(self, secret: str) -> None:
        """Look for this secret from now on; one shorter than 6 characters is ignored."""
        if len(secret) < MIN_LENGTH or secret in self._known:
            return
        with self._lock:
            self._known |= {secret}
            forms = {form for form in _forms(secret) if len(form) >= MIN_LENGTH}
            self._forms = tuple(sorted({*self._forms, *forms}, key=lambda form: (-len(form), form)))
            self._raw_forms = tuple(form.encode("utf-8", "surrogatepass") for form in self._forms)

    def text(self, text: str) -> str:
        """Return `text` with every known secret replaced."""
        for form in self._forms:
            if form in text:
                text = text.replace(form, MASK)
        return text

    def raw(self, data: bytes) -> bytes:
        """Return `data` with every known secret (as UTF-8) replaced."""
        for form in self._raw_forms:
            if form in data:
                data = data.replace(form, MASK.encode())
        return data

    def value(self, value: object) -> object:
        """Return a value with every known secret replaced in its texts, keys included.

        Args:
            value: text, bytes, or nested mappings, lists, tuples and sets; anything else stays as it is.
        """
        if not self._forms:
            return value
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, bytes):
            return self.raw(value)
        if isinstance(value, Mapping):
            return {self.value(key): self.value(item) for key, item in value.items()}
        if isinstance(value, list):
            return [self.value(item) for item in value]
        if isinstance(value, tuple):
            items = tuple(self.value(item) for item in value)
            make: Callable[..., object] | None = getattr(
                type(value), "_make", None
            )  # a named tuple stays one
            return make(items) if make else items
        if isinstance(value, set | frozenset):
            return type(value)(self.value(item) for item in value)
        return value


def _forms(secret: str) -> Iterator[str]:
    yield secret
    for safe in ("", "/", "~", "!*'()"):
        yield quote(secret, safe=safe, errors="replace")
        yield quote_plus(secret, safe=safe, errors="replace")
    yield quote(secret, safe="", errors="replace").replace("%2F", "%2f").lower() if "%" in secret else secret
    yield json.dumps(secret)[1:-1]
    yield json.dumps(secret, ensure_ascii=False)[1:-1]
    yield json.dumps(secret)[1:-1].replace("/", "\\/")
    yield repr(secret)[1:-1]
    yield quoteattr(secret)[1:-1]
    for quotes in _XML_QUOTES:
        yield escape(secret, quotes)
        yield escape(secret, quotes | _XML_BREAKS)
    for encoding in ("utf-8", "utf-16-le"):
        yield from _base64_forms(secret.encode(encoding, "surrogatepass"))


def _base64_forms(raw: bytes) -> Iterator[str]:
    """Give the whole encoding, and what it looks like inside a longer one (`user:secret` of Basic)."""
    for whole in (base64.b64encode(raw), base64.urlsafe_b64encode(raw)):
        yield whole.decode()
        yield whole.decode().rstrip("=")
    for shift in range(3):
        start = (shift * 8 + 5) // 6
        end = (shift + len(raw)) * 8 // 6
        padded = b"\0" * shift + raw
        for encoded in (base64.b64encode(padded), base64.urlsafe_b64encode(padded)):
            yield encoded.decode()[start:end]


class RedactingFilter(logging.Filter):
    """Put on a log handler, it redacts the message, its arguments, the traceback and extra fields.

    Args:
        redactor: knows the secrets.
    """

    def __init__(self, redactor: Redactor) -> None:
        super().__init__()
        self._redactor = redactor

    def filter(self, record: logging.LogRecord) -> bool:
        """Redact the record; it is always kept."""
        record.msg = self._redactor.text(record.getMessage())
        record.args = None
        if record.exc_info:
            record.exc_text = record.exc_text or logging.Formatter().formatException(record.exc_info)
            record.exc_info = None  # a handler that formats the exception itself would show it raw
        if record.exc_text:
            record.exc_text = self._redactor.text(record.exc_text)
        if record.stack_info:
            record.stack_info = self._redactor.text(record.stack_info)
        for name in vars(record).keys() - _LOG_RECORD_FIELDS:
            setattr(record, name, self._redactor.value(getattr(record, name)))
        return True
