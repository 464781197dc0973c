"""Probe kind `wmi`: WQL over WS-Man Enumerate; no shell is opened and no process started on the target.

The rows are the probe's standard output, as JSON, and its `data`. Several named queries travel over one
connection, one after another (WQL has no joins).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import orjson

from ddcplay.errors import FaultError, UsageError
from ddcplay.model.plan import ProbeSpec
from ddcplay.model.result import ProbeOutput, Reason
from ddcplay.transport.base import Connection, RowsLimitError
from ddcplay.transport.wsman_enumerate import namespace_of
from ddcplay.units import Deadline

DEFAULT_NAMESPACE = "root/cimv2"

_QUOTED = re.compile(r"'(?:[^'\\]|\\.|'')*'|\"(?:[^\"\\]|\\.)*\"", re.DOTALL)
_SELECT = re.compile(r"\s*select\s+\S.*?\sfrom\s+\S", re.IGNORECASE | re.DOTALL)
_JOIN = re.compile(r"\bfrom\s+\w+\s*(?:,|\w*\s*\bjoin\b)", re.IGNORECASE)

Rows = Sequence[Mapping[str, object]]


class WmiProbe:
    """Asks one WQL query, or several by name."""

    kind = "wmi"

    def command_line(self, spec: ProbeSpec) -> str:
        """Return the queries as the target receives them; a namespace of its own is said in front.

        Raises:
            UsageError: something is no query WQL could answer, or no namespace.
        """
        namespace, queries = _plan(spec)
        said = "" if namespace == DEFAULT_NAMESPACE else f"[{namespace}] "
        return "\n".join(
            f"{said}{name}: {wql}" if name is not None else f"{said}{wql}" for name, wql in queries
        )

    def run(self, spec: ProbeSpec, connection: Connection, deadline: Deadline) -> ProbeOutput:
        """Ask every query; one that WMI refuses names itself and leaves the others their turn."""
        namespace, queries = _plan(spec)
        before = _round_trips(connection)
        found: dict[str | None, Rows] = {}
        faults: list[tuple[str | None, FaultError]] = []
        left = spec.max_output_bytes
        for name, wql in queries:
            try:
                found[name] = connection.query(wql, deadline, namespace, max_bytes=max(2, left))
            except FaultError as fault:
                if isinstance(fault, RowsLimitError):
                    found[name] = fault.rows
                faults.append((name, fault))
                if fault.reason != Reason.WQL:
                    break
            left -= len(_json(found.get(name, ())))
        trips = _round_trips(connection) - before
        data: object = found.get(None, []) if None in dict(queries) else dict(found)
        return _output(data if found else None, faults, trips)


def _plan(spec: ProbeSpec) -> tuple[str, list[tuple[str | None, str]]]:
    """Return namespace and queries, checked; the name is None for a probe that has one query without."""
    written = str(spec.options.get("namespace") or DEFAULT_NAMESPACE)
    try:
        namespace = namespace_of(written)
    except ValueError as error:
        raise UsageError(f"probe {spec.name}: {error}", "correct `namespace`") from error
    if not isinstance(spec.body, Mapping):
        return namespace, [(None, _checked(spec.name, None, spec.body))]
    if not spec.body:
        raise UsageError(f"probe {spec.name}: `wmi` is empty", "write a query, or a mapping name: query")
    return namespace, [(str(name), _checked(spec.name, str(name), wql)) for name, wql in spec.body.items()]


def _checked(probe: str, name: str | None, wql: object) -> str:
    where = f"probe {probe}" if name is None else f"probe {probe}, query {name}"
    text = str(wql).strip().rstrip(";").rstrip() if isinstance(wql, str) else ""
    if not text:
        raise UsageError(f"{where}: the query is empty", "write SELECT … FROM …")
    bare = _QUOTED.sub("''", text)
    if _SELECT.match(bare) is None:
        raise UsageError(
            f"{where}: this is no WQL query that can be asked here: {text[:80]!r}",
            "write SELECT properties FROM class WHERE …; other statements have no dialect over WS-Man",
        )
    if ";" in bare:
        raise UsageError(f"{where}: several statements", "write a mapping name: query, one SELECT each")
    if _JOIN.search(bare):
        raise UsageError(f"{where}: WQL has no joins", "write a mapping name: query, one class each")
    return text


def _output(data: object, faults: Sequence[tuple[str | None, FaultError]], round_trips: int) -> ProbeOutput:
    stdout = b"" if data is None else _json(data)
    if not faults:
        return ProbeOutput(stdout=stdout, data=data, round_trips=round_trips)
    first = faults[-1][1] if faults[-1][1].reason != Reason.WQL else faults[0][1]
    return ProbeOutput(
        stdout=stdout,
        data=data,
        reason=Reason(first.reason),
        detail="; ".join(
            fault.message if name is None else f"{name}: {fault.message}" for name, fault in faults
        ),
        hint=first.hint,
        connection_lost=first.connection_lost,
        # A query has no effect on the target, so asking again is never wrong.
        accepted=False,
        round_trips=round_trips,
    )


def _json(value: object) -> bytes:
    return orjson.dumps(value)


def _round_trips(connection: Connection) -> int:
    counted = connection.facts().get("round_trips", 0)
    return counted if isinstance(counted, int) else 0
