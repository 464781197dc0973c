"""The cumulative files, DDC's layout: `<experiment>/<host>/<probe>.stdout` and, when not empty, `.stderr`.

The database is the truth and holds every output until its file is synced; a file is never cut below the end that
is recorded, and a file that somebody else changed is left alone while its outputs wait in the database.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ddcplay.store.base import ArchivedAttempt, FileEnd, PendingAttempt
from ddcplay.store.blocks import digest_of, begins_like, format_block, has_block, is_kept
from ddcplay.store.experiment_store import ExperimentStore
from ddcplay.store.faults import describe, store_faults
from ddcplay.store.files import (
    can_sync_file_system,
    make_private_directory,
    open_private,
    sync_directory,
    sync_file_system,
    write_all,
)

Pair = tuple[str, str]
_MANY_FILES = 8  # above it one sync of the file system is cheaper than one per file
_REPAIR_CHUNK = 200  # attempts in memory at once; each may carry outputs of a megabyte


class _HeldFileError(Exception):
    """A file that must not be touched now; the text says why and what to do."""


@dataclass(frozen=True, slots=True)
class _Addition:
    """What one (host, probe) gets in this round."""

    stdout: bytes
    stderr: bytes
    attempts: tuple[ArchivedAttempt, ...]
    end: FileEnd


class Archive:
    """Appends outputs to the cumulative files and lets them leave the database.

    Args:
        directory: of the experiment.
        store: its database; `durability` is taken from it.
    """

    def __init__(self, directory: Path, store: ExperimentStore) -> None:
        self._directory = directory
        self._store = store
        self._lock = threading.Lock()
        self._ends = store.archive_ends()
        self._held: dict[Pair, str] = {}
        self._sync_whole = can_sync_file_system()

    def append(
        self, pending: Sequence[PendingAttempt], keep: Mapping[str, str] | None = None
    ) -> tuple[str, ...]:
        """Write the blocks of attempts that are through commit 2.

        Args:
            pending: as `ChainDone.applied_to` leaves them.
            keep: probe → archive rule; where missing, the rule given at commit 1.

        Returns:
            Warnings, each told once: a file cannot be written now and its outputs wait in the database.

        Raises:
            StoreError: the database refuses; the files are cut back when they are next written.
        """
        rules = keep or {}
        ordered = sorted(pending, key=lambda item: item.attempt_id)
        with self._lock:
            return self._append([replace(p, keep=rules.get(p.result.probe, p.keep)) for p in ordered])

    def repair(self) -> tuple[str, ...]:
        """Cut every file to its recorded end and append what is missing; may be called again at any time.

        Returns:
            Warnings, as `append`.
        """
        with self._lock:
            self._ends = self._store.archive_ends()
            self._held.clear()
            warnings = [text for pair in self._ends if (text := self._cut(pair))]
            after = 0
            while chunk := self._store.unarchived(after=after, limit=_REPAIR_CHUNK):
                after = chunk[-1].attempt_id
                warnings += self._append(chunk, repairing=True)
            return tuple(warnings)

    def _append(self, pending: Sequence[PendingAttempt], *, repairing: bool = False) -> tuple[str, ...]:
        by_pair: dict[Pair, list[PendingAttempt]] = {}
        for item in pending:
            by_pair.setdefault((item.result.host, item.result.probe), []).append(item)
        warnings: list[str] = []
        done: list[ArchivedAttempt] = []
        ends: dict[Pair, FileEnd] = {}
        written: list[Pair] = []
        whole = self._sync_whole and len(by_pair) > _MANY_FILES and self._store.durability != "batch"
        for pair, items in by_pair.items():
            if pair in self._held and repairing:
                continue
            waiting = self._waiting(pair)
            try:
                addition = self._write(pair, waiting or items, sync=not whole)
            except (OSError, _HeldFileError) as error:
                warnings += self._hold(pair, error)
                continue
            if len(waiting) < _REPAIR_CHUNK:  # else more wait, and their order must be kept
                self._held.pop(pair, None)
            done += addition.attempts
            if addition.end != self._ends.get(pair):
                ends[pair] = addition.end
                written.append(pair)
        if whole and written:
            with store_faults("sync the archive", str(self._directory)):
                sync_file_system(self._directory)
        self._store.mark_archived(done, ends)
        self._ends.update(ends)
        return tuple(warnings)

    def _waiting(self, pair: Pair) -> Sequence[PendingAttempt]:
        """Return everything that waits for a held file, so that blocks stay in attempt order."""
        return self._store.unarchived(pair=pair, limit=_REPAIR_CHUNK) if pair in self._held else ()

    def _hold(self, pair: Pair, error: Exception) -> Iterable[str]:
        path = self._path(pair, "stdout")
        text = str(error)
        if isinstance(error, OSError):
            text = str(describe(error, "append", str(error.filename or path)))
        told = self._held.get(pair)
        self._held[pair] = text
        return (
            () if told == text else (f"{text}\n    its outputs wait in the database and are written later",)
        )

    def _path(self, pair: Pair, stream: str) -> Path:
        return self._directory / self._store.directory_name(pair[0]) / f"{pair[1]}.{stream}"

    def _write(self, pair: Pair, items: Sequence[PendingAttempt], *, sync: bool) -> _Addition:
        """Append the blocks of one (host, probe) to its files."""
        base = self._ends.get(pair, FileEnd())
        if any(has_block(item.result) for item in items):
            base = replace(
                base,
                stdout_end=self._usable_end(pair, "stdout", base.stdout_end),
                stderr_end=self._usable_end(pair, "stderr", base.stderr_end),
            )
        addition = _addition(items, base)
        sync = sync and self._store.durability != "batch"
        for stream, content, end in (
            ("stdout", addition.stdout, base.stdout_end),
            ("stderr", addition.stderr, base.stderr_end),
        ):
            if content:
                _append_file(self._path(pair, stream), end, content, sync=sync)
        return addition

    def _usable_end(self, pair: Pair, stream: str, recorded: int) -> int:
        """Return where the next block goes; refuse a file that is not as we left it."""
        path = self._path(pair, stream)
        try:
            descriptor = open_private(path, os.O_RDONLY)
        except FileNotFoundError:
            return 0  # removed to save space, or never written: a new file begins
        try:
            size = os.fstat(descriptor).st_size
            if recorded:
                os.lseek(descriptor, recorded - 1, os.SEEK_SET)
                if size < recorded or os.read(descriptor, 1) != b"\n":
                    raise _HeldFileError(
                        f"{path} was changed by another program ({size} bytes, {recorded} were written)\n"
                        "    restore it, or move it away: a new file is then begun"
                    )
                return recorded
            begun_by = begins_like(os.read(descriptor, 256))
        finally:
            os.close(descriptor)
        # No end recorded: our own torn first block is overwritten; DDC's file, or one of an earlier database, stays.
        torn = begun_by == -1 or (begun_by is not None and bool(self._store.recorded_pairs(begun_by)))
        return 0 if torn else size

    def _cut(self, pair: Pair) -> str:
        """Cut the files of a pair to their recorded ends; return a warning when one is too short."""
        try:
            for stream, end in (
                ("stdout", self._ends[pair].stdout_end),
                ("stderr", self._ends[pair].stderr_end),
            ):
                path = self._path(pair, stream)
                if end and path.exists():
                    self._usable_end(pair, stream, end)
                    if path.stat().st_size > end:
                        os.truncate(path, end)
        except (OSError, _HeldFileError) as error:
            return "".join(self._hold(pair, error))
        return ""


def _addition(items: Sequence[PendingAttempt], base: FileEnd) -> _Addition:
    """Lay out the blocks of one (host, probe) behind the ends of its files."""
    stdout, stderr = bytearray(), bytearray()
    attempts = []
    end = base
    for item in items:
        result = item.result
        if not is_kept(result, item.keep, end.digest):
            attempts.append(ArchivedAttempt(item.attempt_id))
            continue
        stdout += format_block(result, result.stdout)
        if result.stderr:
            stderr += format_block(result, result.stderr)
        end = FileEnd(base.stdout_end + len(stdout), base.stderr_end + len(stderr), digest_of(result))
        attempts.append(
            ArchivedAttempt(item.attempt_id, end.stdout_end, end.stderr_end if result.stderr else None)
        )
    return _Addition(bytes(stdout), bytes(stderr), tuple(attempts), end)


def _append_file(path: Path, end: int, content: bytes, *, sync: bool) -> None:
    """Write `content` at `end`, over whatever an interrupted write left there."""
    new = not path.exists()
    if new:
        make_private_directory(path.parent)
    descriptor = open_private(path, os.O_RDWR | os.O_CREAT)
    try:
        if os.fstat(descriptor).st_size > end:
            os.ftruncate(descriptor, end)
        os.lseek(descriptor, end, os.SEEK_SET)
        write_all(descriptor, content)
        if sync:
            os.fsync(descriptor)
    finally:
        os.close(descriptor)
    if new and sync:
        sync_directory(path.parent)
