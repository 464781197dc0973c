"""What was archived, attempt by attempt, as it was when its filters first saw it (`ddcplay replay`).

Outputs come back from the cumulative files at their recorded places, or from the database where they have not
left it yet; nothing is written. What a probe parsed on its own (`data`) is not archived: whoever replays
hands in how it is made of the outputs again.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from ddcplay.errors import StoreError
from ddcplay.model.result import AttemptResult
from ddcplay.store import reads, schema
from ddcplay.store.base import PendingAttempt
from ddcplay.store.blocks import BlockChangedError, has_block, read_block_at
from ddcplay.store.faults import store_faults
from ddcplay.store.queries import ExperimentReader
from ddcplay.store.rows import result_from

_ATTEMPT = schema.attempt
_VERDICT = ("outcome", "reason", "detail", "hint")
Restore = Callable[[AttemptResult], AttemptResult]
Pair = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Missing:
    """An attempt whose outputs were not kept, so that its filters cannot run again.

    Args:
        attempt_id: its number within the experiment.
        result: everything but the outputs.
        reason: why, for a human.
    """

    attempt_id: int
    result: AttemptResult
    reason: str


@dataclass(frozen=True, slots=True)
class _Recorded:
    """An attempt and where its outputs are.

    Args:
        attempt_id: its number within the experiment.
        result: as it is recorded.
        before: as it was before its filter chain, which may have failed.
        keep: the archive rule it was committed with.
        archived: its outputs have left the database.
        stdout_bytes: length of what came.
        stderr_bytes: length of what came.
        stdout_end: where its block ends in the cumulative file, None when there is none.
        stderr_end: same.
    """

    attempt_id: int
    result: AttemptResult
    before: AttemptResult
    keep: str
    archived: bool
    stdout_bytes: int
    stderr_bytes: int
    stdout_end: int | None
    stderr_end: int | None


def archived_attempts(
    reader: ExperimentReader,
    directory: Path,
    *,
    batch: int = 500,
    restore: Mapping[str, Restore] | None = None,
) -> Iterator[PendingAttempt | Missing]:
    """Return every attempt in attempt order, outputs included, as before its filter chain.

    Args:
        reader: of the experiment.
        directory: of the experiment; the cumulative files lie in it.
        batch: attempts in memory at once.
        restore: probe → what completes an attempt whose outputs came from a file (`data`, `stderr_text`);
            must not raise. `with_json_data` suits probes whose stdout is the JSON of their data.

    Raises:
        StoreError: a file was changed by another program; the text says which and where.
    """
    files = _Files(reader, directory)
    rows = _batch(reader, 0, batch)
    while rows:
        for row in rows:
            found = files.attempt(row)
            complete = (restore or {}).get(row.result.probe)
            if isinstance(found, PendingAttempt) and complete is not None and row.archived:
                found = replace(found, result=complete(found.result))
            yield found
        rows = _batch(reader, rows[-1].attempt_id, batch)


def recorded_playbook(reader: ExperimentReader) -> str:
    """Return the path of the playbook that the newest iteration was run with, empty when there is none."""
    table = schema.iteration.c

    def newest(connection: sa.Connection, experiment_id: int) -> str:
        query = sa.select(table.playbook_path).where(table.experiment_id == experiment_id)
        return connection.execute(query.order_by(table.id.desc()).limit(1)).scalar() or ""

    return reader.read(newest)


def with_json_data(result: AttemptResult) -> AttemptResult:
    """Make `data` of a stdout that is JSON (probe kind `wmi`); what is none leaves `data` alone."""
    try:
        return replace(result, data=json.loads(result.stdout)) if result.stdout else result
    except (ValueError, RecursionError):
        return result


class _Files:
    """Finds the outputs of attempts in the cumulative files; knows where each pair's last block is."""

    def __init__(self, reader: ExperimentReader, directory: Path) -> None:
        self._directories = reader.read(reads.directories)
        self._directory = directory
        self._last: dict[Pair, _Recorded] = {}

    def attempt(self, row: _Recorded) -> PendingAttempt | Missing:
        pair = row.result.host, row.result.probe
        if row.stdout_end is not None:
            self._last[pair] = row
        if not row.archived or not (row.stdout_bytes or row.stderr_bytes):
            return PendingAttempt(row.attempt_id, row.before, row.keep)
        source = self._source(pair, row)
        if source is None:
            return Missing(row.attempt_id, row.before, f"its outputs were not kept (keep: {row.keep})")
        outputs = []
        for stream, end, length in (
            ("stdout", source.stdout_end, row.stdout_bytes),
            ("stderr", source.stderr_end, row.stderr_bytes),
        ):
            path = self._directory / self._directories[pair[0]] / f"{pair[1]}.{stream}"
            content = b"" if end is None else _read(path, end, length, source.result)
            if content is None:
                return Missing(row.attempt_id, row.before, f"{path} is gone")
            outputs.append(content)
        result = replace(row.before, stdout=outputs[0], stderr=outputs[1])
        return PendingAttempt(row.attempt_id, result, row.keep)

    def _source(self, pair: Pair, row: _Recorded) -> _Recorded | None:
        """Return the attempt whose block holds this one's outputs."""
        if row.stdout_end is not None:
            return row
        last = self._last.get(pair)
        if row.keep != "on_change" or last is None or not has_block(row.result):
            return None
        same = (last.stdout_bytes, last.stderr_bytes) == (row.stdout_bytes, row.stderr_bytes)
        return last if same else None


def _read(path: Path, end: int, length: int, of: AttemptResult) -> bytes | None:
    """Return the content of a block, None when the whole file is gone (people may delete files)."""
    try:
        with store_faults("read", str(path)):
            try:
                file = path.open("rb", buffering=0)
            except FileNotFoundError:
                return None
            with file:
                return read_block_at(file, end, length, of)
    except BlockChangedError as error:
        raise StoreError(
            f"{path} was changed by another program: {error}",
            "restore the file as ddcplay wrote it; replay needs every block where it was",
        ) from None


def _batch(reader: ExperimentReader, after: int, limit: int) -> tuple[_Recorded, ...]:
    return reader.read(
        lambda c, number: _recorded_attempts(c, number, reader.experiment, after=after, limit=limit)
    )


def _recorded_attempts(
    connection: sa.Connection, experiment_id: int, experiment: str, *, after: int, limit: int
) -> tuple[_Recorded, ...]:
    """Return attempts in attempt order, with outputs as far as the database still has them."""
    before = schema.overridden
    columns = [before.c[name].label(f"before_{name}") for name in _VERDICT]
    joined = reads.WITH_OUTPUT.outerjoin(
        before,
        sa.and_(_ATTEMPT.c.experiment_id == before.c.experiment_id, _ATTEMPT.c.id == before.c.attempt_id),
    )
    query = (
        sa.select(_ATTEMPT, *reads.OUTPUT_COLUMNS, *columns)
        .select_from(joined)
        .where(_ATTEMPT.c.experiment_id == experiment_id, _ATTEMPT.c.id > after)
        .order_by(_ATTEMPT.c.id)
        .limit(limit)
    )
    return tuple(_recorded(dict(row), experiment) for row in connection.execute(query).mappings())


def _recorded(row: dict[str, Any], experiment: str) -> _Recorded:
    result = result_from(row, experiment)
    verdict = {name: row[f"before_{name}"] for name in _VERDICT}
    was = result_from({**row, **verdict}, experiment) if verdict["outcome"] is not None else result
    return _Recorded(
        row["id"],
        result,
        was,
        row["keep"],
        row["archived"],
        row["stdout_bytes"],
        row["stderr_bytes"],
        row["stdout_end"],
        row["stderr_end"],
    )
