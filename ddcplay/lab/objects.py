"""Objects of the lab's PowerShell: small pipelines, and JSON spelled as Windows PowerShell 5.1 spells it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime

from ddcplay.lab import wmi, wmi_drives, wql
from ddcplay.lab.program import Console

Value = object
Object = Mapping[str, Value]

_TO_JSON = re.compile(
    r"ConvertTo-Json\s+-InputObject\s+@\(&\s*\{(?P<script>.*)\}\s*\)\s+-Depth\s+4\s+-Compress",
    re.IGNORECASE | re.DOTALL,
)
_CIM = re.compile(
    r"Get-(?:CimInstance|WmiObject)\s+(?:-Class(?:Name)?\s+)?(?P<name>\w+)(?P<rest>.*)", re.IGNORECASE
)
_OPTION = r"""-{0}\s+(?:'((?:[^']|'')*)'|"([^"]*)"|(\S+))"""
_ESCAPED = {
    '"': '\\"', "\\": "\\\\", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t",
    "'": "\\u0027", "<": "\\u003c", ">": "\\u003e", "&": "\\u0026",
}  # fmt: skip


class NoSuchClassError(Exception):
    """WMI does not know a class."""


def wrapped_script(statement: str) -> str | None:
    """Return the script whose objects a statement turns into JSON, None when it is no such statement."""
    found = _TO_JSON.fullmatch(statement.strip())
    return found["script"] if found else None


def objects_of(console: Console, statement: str) -> list[Value] | None:
    """Return the objects a pipeline gives, None when it is none this lab knows.

    Raises:
        NoSuchClassError: WMI does not know the class.
    """
    head, *stages = [part.strip() for part in _split_pipe(statement)]
    objects = _source(console, head)
    for stage in stages:
        if objects is None:
            return None
        objects = _stage(stage, objects)
    return objects


def json_of(value: Value) -> str:
    r"""Write a value as Windows PowerShell 5.1 does with -Compress: `\/Date(ms)\/`, `'` and `<` escaped."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, datetime):
        return f'"\\/Date({round(value.timestamp() * 1000)})\\/"'
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{json_of(str(key))}:{json_of(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ",".join(json_of(item) for item in value) + "]"
    return '"' + "".join(_ESCAPED.get(char) or _printable(char) for char in str(value)) + '"'


def _printable(char: str) -> str:
    return char if char >= " " else f"\\u{ord(char):04x}"


def _split_pipe(statement: str) -> Iterator[str]:
    start, quote, depth = 0, "", 0
    for index, char in enumerate(statement):
        if quote:
            quote = "" if char == quote else quote
        elif char in "'\"":
            quote = char
        elif char in "{(":
            depth += 1
        elif char in "})":
            depth -= 1
        elif char == "|" and not depth:
            yield statement[start:index]
            start = index + 1
    yield statement[start:]


def _source(console: Console, text: str) -> list[Value] | None:
    if text.startswith("(") and text.endswith(")"):
        return objects_of(console, text[1:-1])
    if text.lower() == "get-date":
        now = datetime.fromtimestamp(console.now(), UTC)
        # Get-Date's dates carry properties of PowerShell's own, and so become objects in 5.1.
        shown = now.strftime("%A, %B %d, %Y %I:%M:%S %p")
        return [{"value": now, "DisplayHint": 2, "DateTime": shown}]
    if counted := re.fullmatch(r"(\d+)\.\.(\d+)", text):
        return list(range(int(counted[1]), int(counted[2]) + 1))
    asked = _CIM.fullmatch(text)
    return _instances(console, asked) if asked else None


def _instances(console: Console, asked: re.Match[str]) -> list[Value]:
    namespace = _option("Namespace", asked["rest"]) or "root/cimv2"
    try:
        found = wmi.rows_of(console.machine, console.now(), namespace.replace("\\", "/"), asked["name"])
    except wmi_drives.NotSupportedError:
        return []
    if found is None:
        raise NoSuchClassError
    name, rows = found
    condition = _option("Filter", asked["rest"])
    if condition:
        query = wql.parse(f"SELECT * FROM {name} WHERE {condition}")
        rows = [row for row in rows if query.matches(row)]
    return [{**row, "PSComputerName": None, "CimClass": {"CimClassName": name}} for row in rows]


def _option(name: str, text: str) -> str:
    found = re.search(_OPTION.format(name), text, re.IGNORECASE)
    return next((part.replace("''", "'") for part in found.groups() if part is not None), "") if found else ""


def _stage(text: str, objects: list[Value]) -> list[Value] | None:
    name, _, rest = text.partition(" ")
    if name.lower() not in ("select", "select-object"):
        return None
    first = re.search(r"-First\s+(\d+)", rest, re.IGNORECASE)
    rest = re.sub(r"-First\s+\d+|-Property\s+", "", rest, flags=re.IGNORECASE).strip()
    chosen = objects[: int(first[1])] if first else objects
    wanted = [column.strip() for column in rest.split(",") if column.strip()]
    return [_selected(item, wanted) for item in chosen] if wanted else chosen


def _selected(item: Value, wanted: list[str]) -> Value:
    known = {key.lower(): value for key, value in item.items()} if isinstance(item, Mapping) else {}
    return {column: known.get(column.lower()) for column in wanted}
