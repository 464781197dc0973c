"""Between values and rows: the only file that knows which column holds which field."""

from __future__ import annotations

import datetime as dt
import decimal
import json
import uuid
from collections.abc import Callable, Mapping
from typing import Any

from ddcplay.model.result import AttemptResult, Outcome, Reason
from ddcplay.store.base import IterationRecord

_TAG = "$ddcplay"
_TYPES: Mapping[str, tuple[type, Callable[[str], object]]] = {
    "datetime": (dt.datetime, dt.datetime.fromisoformat),
    "date": (dt.date, dt.date.fromisoformat),
    "time": (dt.time, dt.time.fromisoformat),
    "timedelta": (dt.timedelta, lambda text: dt.timedelta(seconds=float(text))),
    "decimal": (decimal.Decimal, decimal.Decimal),
    "uuid": (uuid.UUID, uuid.UUID),
    "bytes": (bytes, bytes.fromhex),
}


def attempt_row(experiment_id: int, attempt_id: int, result: AttemptResult, keep: str) -> dict[str, object]:
    """Return the row of an attempt that was just acknowledged."""
    return {
        "experiment_id": experiment_id,
        "id": attempt_id,
        "iteration": result.iteration,
        "host": result.host,
        "probe": result.probe,
        "outcome": result.outcome.value,
        "reason": None if result.reason is None else result.reason.value,
        "detail": storable(result.detail),
        "hint": storable(result.hint),
        "was_on": result.on,
        "started_at": result.started_at,
        "elapsed_s": result.elapsed_s,
        "timeout_s": result.timeout_s,
        "tries": result.tries,
        "exit_code": result.exit_code,
        "kill_verified": result.kill_verified,
        "round_trips": result.round_trips,
        "stdout_bytes": len(result.stdout),
        "stderr_bytes": len(result.stderr),
        "keep": keep,
        "chain": "pending",
        "archived": False,
        "stdout_end": None,
        "stderr_end": None,
    }


def output_row(experiment_id: int, attempt_id: int, result: AttemptResult) -> dict[str, object] | None:
    """Return the row of what a probe brought back, None when it brought nothing."""
    if not result.stdout and not result.stderr and result.stderr_text is None and result.data is None:
        return None
    return {
        "experiment_id": experiment_id,
        "attempt_id": attempt_id,
        "stdout": result.stdout,
        "stderr": result.stderr,
        "stderr_text": None if result.stderr_text is None else storable(result.stderr_text),
        "data": None if result.data is None else dump_data(result.data),
    }


def result_from(row: Mapping[str, Any], experiment: str) -> AttemptResult:
    """Rebuild an attempt from its row; outputs are empty where the row has none."""
    data = row.get("data")
    return AttemptResult(
        experiment=experiment,
        iteration=row["iteration"],
        host=row["host"],
        probe=row["probe"],
        outcome=Outcome(row["outcome"]),
        reason=None if row["reason"] is None else Reason(row["reason"]),
        detail=row["detail"],
        hint=row["hint"],
        on=row["was_on"],
        started_at=row["started_at"],
        elapsed_s=row["elapsed_s"],
        timeout_s=row["timeout_s"],
        tries=row["tries"],
        exit_code=row["exit_code"],
        stdout=row.get("stdout") or b"",
        stderr=row.get("stderr") or b"",
        stderr_text=row.get("stderr_text"),
        data=None if data is None else load_data(data),
        kill_verified=row["kill_verified"],
        round_trips=row["round_trips"],
    )


def iteration_from(row: Mapping[str, Any]) -> IterationRecord:
    """Rebuild an iteration from its row."""
    names = ("id", "started_at", "closed_at", "state", "pairs", "remote_s", "missed")
    return IterationRecord(**{name: row[name] for name in names})


def storable(text: str) -> str:
    """Replace what a database cannot hold as text: NUL (PostgreSQL) and lone surrogates (both)."""
    return text.replace("\0", "\ufffd").encode("utf-8", "replace").decode("utf-8")


def dump_data(data: object) -> str:
    """Write parsed data as JSON that keeps dates, numbers and bytes apart from text."""
    try:
        return json.dumps(data, default=_tagged, separators=(",", ":"))
    except (TypeError, ValueError, RecursionError):  # odd keys, a cycle, absurd depth: never worth an attempt
        return json.dumps(f"not storable: {type(data).__name__}")


def load_data(text: str) -> object:
    """Read what `dump_data` wrote."""
    loaded: object = json.loads(text, object_hook=_untagged)
    return loaded


def _tagged(value: object) -> object:
    if isinstance(value, dt.timedelta):
        return {_TAG: "timedelta", "value": repr(value.total_seconds())}
    if isinstance(value, bytes):
        return {_TAG: "bytes", "value": value.hex()}
    for name, (kind, _read) in _TYPES.items():
        if isinstance(value, kind):
            text = value.isoformat() if isinstance(value, dt.date | dt.time) else str(value)
            return {_TAG: name, "value": text}
    if isinstance(value, tuple | set | frozenset):
        return list(value)
    if isinstance(value, Mapping):
        return dict(value)
    return str(value)


def _untagged(value: dict[str, object]) -> object:
    kind = value.get(_TAG)
    if len(value) != 2 or not isinstance(kind, str) or kind not in _TYPES:
        return value
    try:
        return _TYPES[kind][1](str(value.get("value")))
    except (ValueError, ArithmeticError):  # a target printed our tag: then it is its data, as it stands
        return value
