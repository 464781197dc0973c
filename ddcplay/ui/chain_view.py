"""How `plan` and `check` show a filter chain: label, options in short, outcomes, the file that was taken."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from ddcplay.model.inventory import SecretRef
from ddcplay.model.playbook import FilterEntry
from ddcplay.model.result import Outcome
from ddcplay.templating.lookup import is_secret_name

_SHOWN = 70
_HIDDEN = "********"


def chain_lines(chain: Sequence[FilterEntry], *, full: bool = False) -> list[str]:
    """Return one line per filter, in order.

    Args:
        chain: as read.
        full: options whole, else cut to one short line.
    """
    return [_line(entry, full=full) for entry in chain]


def chain_fields(chain: Sequence[FilterEntry]) -> list[dict[str, object]]:
    """Return a chain as JSON-ready values; secrets are hidden."""
    return [
        {
            "label": entry.label,
            "name": entry.name,
            "options": _visible(entry),
            "on": [str(outcome) for outcome in entry.on],
            "file": entry.file or None,
            "built_in": entry.builtin,
        }
        for entry in chain
    ]


def _line(entry: FilterEntry, *, full: bool) -> str:
    words = [entry.label]
    options = _visible(entry)
    if options not in (None, {}):
        words.append(_short(options, full=full))
    if entry.on != (Outcome.OK,):
        outcomes = "any" if set(entry.on) == set(Outcome) else ", ".join(entry.on)
        words.append(f"on {outcomes}")
    if not entry.builtin:
        words.append(entry.file or entry.name)
    return " · ".join(words)


def _short(options: object, *, full: bool) -> str:
    if isinstance(options, Mapping):
        text = ", ".join(f"{key}: {_flat(value)}" for key, value in options.items())
    else:
        text = _flat(options)
    return text if full or len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"


def _flat(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return " ".join(text.split())


def _visible(entry: FilterEntry) -> object:
    """Take secrets out: addresses of `notify`, and whatever is called like one."""
    return _without_secrets(entry.options, hide_text=entry.builtin and entry.name == "notify")


def _without_secrets(value: object, *, hide_text: bool) -> object:
    if isinstance(value, SecretRef):
        return str(value)
    if isinstance(value, Mapping):
        return {
            str(key): _HIDDEN
            if is_secret_name(str(key))
            else _without_secrets(part, hide_text=hide_text and key not in _NOTIFY_TEXTS)
            for key, part in value.items()
        }
    if isinstance(value, list):
        return [_without_secrets(part, hide_text=hide_text) for part in value]
    if isinstance(value, str) and (hide_text or _has_login(value)):
        return value if _is_named(value) else _HIDDEN
    return value


_NOTIFY_TEXTS = frozenset({"title", "text", "message", "body", "subject", "attach"})


def _is_named(text: str) -> bool:
    """Say whether a text only names where a secret is."""
    return text.startswith(("env:", "file:", "keyring:"))


def _has_login(text: str) -> bool:
    """Say whether a text is an address with a login in it."""
    scheme, found, rest = text.partition("://")
    return bool(found) and scheme.isalnum() and "@" in rest.partition("/")[0]
