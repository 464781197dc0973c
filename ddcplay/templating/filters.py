"""Template filters beside Jinja's own: quoting, and the few of Ansible's that probes need."""

from __future__ import annotations

import base64
import json
import ntpath
from collections.abc import Callable, Mapping
from typing import Any

from jinja2 import Undefined

from ddcplay.templating.quoting import ps_quote, win_quote, wql_quote

_TRUE = {"yes", "on", "1", "true", "y", "t"}
_FALSE = {"no", "off", "0", "false", "n", "f", ""}


def _mandatory(value: Any, message: str = "") -> Any:
    if isinstance(value, Undefined):
        if message:
            raise ValueError(message)
        str(value)  # raises, naming the variable
    return value


def _bool(value: Any) -> bool:
    word = str(value).strip().lower()
    if word in _TRUE:
        return True
    if word in _FALSE or value is None:
        return False
    raise ValueError("bool: neither yes/on/1/true nor no/off/0/false")


def _ternary(value: Any, if_true: Any, if_false: Any) -> Any:
    return if_true if value else if_false


def _to_json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True)


def _b64encode(value: str, encoding: str = "utf-8") -> str:
    return base64.b64encode(value.encode(encoding)).decode("ascii")


def _b64decode(value: str, encoding: str = "utf-8") -> str:
    return base64.b64decode(value, validate=True).decode(encoding)


FILTERS: Mapping[str, Callable[..., Any]] = {
    "win_quote": win_quote,
    "ps_quote": ps_quote,
    "wql_quote": wql_quote,
    "mandatory": _mandatory,
    "bool": _bool,
    "ternary": _ternary,
    "to_json": _to_json,
    "from_json": json.loads,
    "b64encode": _b64encode,
    "b64decode": _b64decode,
    "win_basename": ntpath.basename,
    "win_dirname": ntpath.dirname,
}
"""Name → function; a ValueError becomes a TemplateError with its place."""
