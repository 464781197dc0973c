"""What coordinator and filter process say to each other: frames of JSON and bytes, never pickles.

User code may do anything in its process, so whatever comes back is bounded and parsed as data here. A frame
is two lengths, a JSON head, and parts that need no parsing until somebody wants them (a probe's raw output).
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import orjson
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter
from pydantic_core import from_json

from ddcplay.filtering.base import FilterContext, HostView, Record
from ddcplay.model.alert import AlertCheck
from ddcplay.model.effects import Effect, MailItem, Metric, Push, Sample, StaticFact
from ddcplay.model.result import Outcome, Reason

if TYPE_CHECKING:
    import logging

MAX_HEAD = 1024 * 1024
MAX_BODY = 64 * 1024 * 1024
"""Bytes that a filter may give back for one call: data, outputs, effects and state together."""

MAX_EFFECTS = 10_000

_LENGTHS = struct.Struct("!IQ")
_MAX_DEPTH = 100


class WireError(Exception):
    """A frame is no frame, is too large, or holds what cannot be taken over."""


class NotJsonError(TypeError):
    """A value is no JSON; the text says which part of it."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One message.

    Args:
        head: small and parsed.
        parts: name → bytes.
    """

    head: Mapping[str, object]
    parts: Mapping[str, bytes] = field(default_factory=dict)


def pack(frame: Frame) -> bytes:
    """Return a frame as it travels."""
    sizes = {name: len(part) for name, part in frame.parts.items()}
    head = dumps({"head": frame.head, "parts": sizes})
    return b"".join((_LENGTHS.pack(len(head), sum(sizes.values())), head, *frame.parts.values()))


def unpack(read: Callable[[int], bytes], max_body: int = MAX_BODY) -> Frame:
    """Read one frame.

    Args:
        read: returns exactly so many bytes, or raises.
        max_body: bytes of all parts.

    Raises:
        WireError: it is no frame, or it is too large; nothing of its body was read.
    """
    head_size, body_size = _LENGTHS.unpack(read(_LENGTHS.size))
    if head_size > MAX_HEAD:
        raise WireError(f"a message whose head has {head_size} bytes")
    if body_size > max_body:
        raise WireError(f"{body_size // 1024**2 + 1} MiB, more than the {max_body // 1024**2} MiB allowed")
    head, parts = _read_head(read(head_size))
    if sum(parts.values()) != body_size:
        raise WireError("a message whose parts do not add up")
    return Frame(head, {name: read(size) for name, size in parts.items()})


def _read_head(text: bytes) -> tuple[dict[str, object], dict[str, int]]:
    value = loads(text)
    head, parts = (value.get("head"), value.get("parts")) if isinstance(value, dict) else (None, None)
    if not isinstance(head, dict) or not isinstance(parts, dict):
        raise WireError("a message that is none")
    if not all(isinstance(size, int) and size >= 0 for size in parts.values()):
        raise WireError("a message whose parts have no size")
    return head, parts


def dumps(value: object) -> bytes:
    """Write a value as JSON; whole numbers keep their size, NaN and infinity become null.

    Raises:
        NotJsonError: it holds something that JSON does not; the text says where.
    """
    try:
        return orjson.dumps(value, option=orjson.OPT_PASSTHROUGH_DATETIME)
    except TypeError as error:
        if problem := not_json(value):
            raise NotJsonError(problem) from error
    # what orjson refuses although it is JSON: whole numbers beyond 64 bits, and half a surrogate pair
    return json.dumps(value, default=_plain, ensure_ascii=False).encode("utf-8", "replace")


def loads(text: bytes) -> object:
    """Read JSON; whole numbers keep their size.

    Raises:
        WireError: it is no JSON.
    """
    try:
        value: object = from_json(text)
    except ValueError as error:
        raise WireError(f"no JSON ({error})") from error
    return value


def not_json(value: object, way: str = "", depth: int = 0) -> str:
    """Say which part of a value is no JSON; empty when all of it is."""
    if depth > _MAX_DEPTH:
        return "it is nested too deeply"
    if value is None or isinstance(value, str | int | float | Enum):
        return ""
    if is_dataclass(value) and not isinstance(value, type):
        value = _plain(value)
    if isinstance(value, dict):
        odd = next((key for key in value if not isinstance(key, str)), None)
        if odd is not None:
            return f"{way or 'it'} has the key {odd!r:.40}, and keys must be text"
        inside = [(item, f"{way}.{key}" if way else key) for key, item in value.items()]
    elif isinstance(value, list | tuple):
        inside = [(item, f"{way}[{index}]") for index, item in enumerate(value)]
    else:
        return f"{way or 'it'} is a {type(value).__name__}, which JSON does not hold"
    return next(filter(None, (not_json(item, at, depth + 1) for item, at in inside)), "")


def _plain(value: object) -> object:
    if is_dataclass(value) and not isinstance(value, type):
        return {each.name: getattr(value, each.name) for each in fields(value)}
    raise TypeError(f"{type(value).__name__} is no JSON")


class _Slot(BaseModel):
    """One effect; exactly one of the keys is there."""

    model_config = ConfigDict(extra="forbid", strict=True)

    sample: Sample | None = None
    fact: StaticFact | None = None
    mail: MailItem | None = None
    push: Push | None = None
    metric: Metric | None = None
    check: AlertCheck | None = None

    def effect(self) -> Effect:
        """Return what it holds."""
        held: list[Effect] = [value for _, value in self if value is not None]
        if len(held) != 1:
            raise WireError("an effect that is none")
        return held[0]


_SLOTS = TypeAdapter(Annotated[list[_Slot], Field(max_length=MAX_EFFECTS)])
_SLOT_OF: Mapping[type, str] = {
    Sample: "sample",
    StaticFact: "fact",
    MailItem: "mail",
    Push: "push",
    Metric: "metric",
    AlertCheck: "check",
}


def write_effects(effects: Sequence[object]) -> bytes:
    """Write effects as JSON, in order.

    Raises:
        NotJsonError: one of them is no effect, or holds something that is no JSON.
    """
    if not effects:
        return b"[]"
    for effect in effects:
        if type(effect) not in _SLOT_OF:
            raise NotJsonError(f"a {type(effect).__name__} is nothing a filter can ask for")
    return dumps([{_SLOT_OF[type(effect)]: effect} for effect in effects])


def read_effects(text: bytes) -> list[Effect]:
    """Read effects that were written by `write_effects`.

    Raises:
        WireError: something else stands there.
    """
    if text == b"[]":
        return []
    try:
        return [slot.effect() for slot in _SLOTS.validate_json(text)]
    except ValueError as error:
        first = str(error).splitlines()
        raise WireError("; ".join(line.strip() for line in first[1:3])) from error


def write_record(record: Record) -> tuple[dict[str, object], dict[str, bytes]]:
    """Return a record's head and its parts.

    Raises:
        NotJsonError: its `data` is no JSON.
    """
    head: dict[str, object] = {
        "host": record.host,
        "probe": record.probe,
        "iteration": record.iteration,
        "started_at": record.started_at,
        "outcome": record.outcome.value,
        "reason": None if record.reason is None else record.reason.value,
        "exit_code": record.exit_code,
        "elapsed_s": record.elapsed_s,
        "codepage": record.codepage,
        "stderr_text": record.stderr_text,
    }
    return head, {
        "data": dumps(record.data),
        "stdout": record.stdout_bytes,
        "stderr": record.stderr_bytes,
    }


def read_record(head: Mapping[str, object], parts: Mapping[str, bytes]) -> Record:
    """Return the record of `write_record`; only the filter process reads one, so its sender is trusted."""
    values: dict[str, object] = dict(head)
    reason = values["reason"]
    values["outcome"] = Outcome(str(values["outcome"]))
    values["reason"] = None if reason is None else Reason(str(reason))
    values["data"] = loads(parts["data"])
    return Record(**values, stdout_bytes=parts["stdout"], stderr_bytes=parts["stderr"])  # type: ignore[arg-type]


def write_context(context: FilterContext) -> bytes:
    """Write all that a filter sees of a context.

    Raises:
        NotJsonError: state, facts or variables are no JSON.
    """
    host = context.host
    return dumps(
        {
            "host": [host.name, host.groups, _readable(host.vars), host.room],
            "experiment": context.experiment,
            "output_dir": str(context._output_dir),  # noqa: SLF001 - `output_dir` would make the directory
            "state": dict(context.state),
            "static": dict(context.static),
            "iteration": context.iteration,
        }
    )


def _readable(variables: Mapping[str, object]) -> dict[str, object]:
    """Return variables as JSON: YAML knows dates, which arrive as text."""
    return {
        str(name): value if not not_json(value) else str(value) for name, value in dict(variables).items()
    }


def read_context(text: bytes, log: logging.Logger) -> FilterContext:
    """Return the context of `write_context`; only the filter process reads one, so its sender is trusted."""
    value = loads(text)
    assert isinstance(value, dict)
    name, groups, variables, room = value["host"]
    return FilterContext(
        HostView(name, tuple(groups), variables, room),
        value["experiment"],
        Path(value["output_dir"]),
        value["state"],
        log,
        static=value["static"],
        iteration=value["iteration"],
    )
