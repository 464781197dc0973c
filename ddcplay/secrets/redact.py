"""Redaction by value: the last line before a log, a report or a terminal (design §4).

Whoever resolves a secret tells the redactor; every sink passes its text through it. The archive of what
targets sent is the one place that stays raw.
"""

from __future__ import annotations

import base64
import json
import logging
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from urllib.parse import quote, quote_plus
from xml.sax.saxutils import escape, quoteattr

MASK = "********"

MIN_LENGTH = 6
"""Shorter secrets are not looked for: they would blank out ordinary words."""

_FEW = 60  # up to here asking for each form is quicker than cutting the text into pieces
_XML_QUOTES: tuple[dict[str, str], ...] = (
    {},
    {'"': "&quot;"},
    {'"': "&quot;", "'": "&apos;"},
    {'"': "&#34;", "'": "&#39;"},
    {'"': "&quot;", "'": "&#x27;"},
)
_XML_BREAKS = {"\n": "&#10;", "\r": "&#13;", "\t": "&#9;"}
_LOG_RECORD_FIELDS = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class _Forms:
    """All forms of all secrets, longest first, and where each begins: a fleet may have a secret per host."""

    __slots__ = ("begins", "ordered")

    def __init__(self, forms: Iterable[str]) -> None:
        self.ordered = sorted(forms, key=lambda form: (-len(form), form))
        self.begins: dict[str, list[str]] = {}
        for form in self.ordered:
            self.begins.setdefault(form[:MIN_LENGTH], []).append(form)

    def in_text(self, text: str) -> list[str]:
        """Return the forms that may be in a text, longest first."""
        if len(self.ordered) <= _FEW:
            return [form for form in self.ordered if form in text]
        parts = {text[start : start + MIN_LENGTH] for start in range(len(text) - MIN_LENGTH + 1)}
        found = {form for part in parts & self.begins.keys() for form in self.begins[part]}
        return sorted(found, key=lambda form: (-len(form), form))


class Redactor:
    """Replaces every secret it was told, in every form it usually travels in, by `********`.

    Thread-safe: readers see one table that is never changed, writers have the next reader make a new one.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: set[str] = set()
        self._collected: set[str] = set()
        self._table: _Forms | None = _Forms(())

    def add(self, secret: str) -> None:
        """Look for this secret from now on; one shorter than 6 characters is ignored."""
        if len(secret) < MIN_LENGTH or secret in self._known:
            return
        forms = {form for form in _forms(secret) if len(form) >= MIN_LENGTH}
        with self._lock:
            self._collected |= forms
            self._known.add(secret)
            self._table = None

    def _current(self) -> _Forms:
        table = self._table
        if table is None:
            with self._lock:
                table = self._table = self._table or _Forms(self._collected)
        return table

    def text(self, text: str) -> str:
        """Return `text` with every known secret replaced."""
        for form in self._current().in_text(text):
            text = text.replace(form, MASK)
        return text

    def raw(self, data: bytes) -> bytes:
        """Return `data` with every known secret (as UTF-8) replaced."""
        text = data.decode("utf-8", "surrogateescape")
        told = self.text(text)
        return data if told is text else told.encode("utf-8", "surrogateescape")

    def value(self, value: object) -> object:
        """Return a value with every known secret replaced in its texts, keys included.

        Args:
            value: text, bytes, or nested mappings, lists, tuples and sets; anything else stays as it is.
        """
        if not self._known:
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
