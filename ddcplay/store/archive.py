"""The cumulative files, DDC's layout: `<experiment>/<host>/<probe>.stdout` and, when not empty, `.stderr`.

The database is the truth and holds every output until its file is synced; no file is cut below its recorded
end, and a file that somebody else changed is left alone while its outputs wait in the database.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ddcplay.store.archive_cut import Cut, cut_front, finish_cut
from ddcplay.store.base import ArchivedAttempt, FileEnd, PendingAttempt
from ddcplay.store.blocks import begins_like, digest_of, format_block, is_kept
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
    """What one (host, probe) gets in this round; ends of `attempts` count from where the addition begins."""

    stdout: bytes
    stderr: bytes
    attempts: tuple[ArchivedAttempt, ...]
    digest: str


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

    def files(self) -> tuple[tuple[Path, Path, FileEnd], ...]:
        """Return stdout, stderr and their recorded ends of every (host, probe)."""
        with self._lock:
            ends = dict(self._ends)
        return tuple(
            (self._path(pair, "stdout"), self._path(pair, "stderr"), end) for pair, end in ends.items()
        )

    def cut_front(self, pair: Pair, before: int, least_share: float = 0.0) -> Cut:
        """Drop the blocks of old iterations from the files of one (host, probe).

        Args:
            pair: (host, probe).
            before: iteration id; blocks of earlier ones go, the newest of `keep: on_change` while it holds.
            least_share: how much of a file must go for a cut to be worth copying the rest, 0 to 1.

        Raises:
            StoreError: the database refuses, or a file cannot be read or written; no block is lost.
        """
        with self._lock:
            if pair in self._held or pair not in self._ends:
                return Cut()
            paths = (self._path(pair, "stdout"), self._path(pair, "stderr"))
            cut, end = cut_front(self._store, pair, paths, self._ends[pair], (before, least_share))
            self._ends[pair] = end
            return cut

    def _append(self, pending: Sequence[PendingAttempt], *, repairing: bool = False) -> tuple[str, ...]:
        by_pair: dict[Pair, list[PendingAttempt]] = {}
        for item in pending:
            by_pair.setdefault((item.result.host, item.result.probe), []).append(item)
        warnings: list[str] = []
        done: list[ArchivedAttempt] = []
        ends: dict[Pair, FileEnd] = {}
        whole = self._sync_whole and len(by_pair) > _MANY_FILES and self._store.durability != "batch"
        for pair, items in by_pair.items():
            if pair in self._held and repairing:
                continue
            waiting = self._waiting(pair)
            try:
                archived, end = self._write(pair, waiting or items, sync=not whole)
            except (OSError, _HeldFileError) as error:
                warnings += self._hold(pair, error)
                continue
            if len(waiting) < _REPAIR_CHUNK:  # else more wait, and their order must be kept
                self._held.pop(pair, None)
            done += archived
            if end is not None:
                ends[pair] = end
        if whole and ends:
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

    def _write(
        self, pair: Pair, items: Sequence[PendingAttempt], *, sync: bool
    ) -> tuple[Iterable[ArchivedAttempt], FileEnd | None]:
        """Append the blocks of one (host, probe); return them with the new ends, None when unchanged."""
        known = self._ends.get(pair, FileEnd())
        added = _addition(items, known.digest)
        if not added.stdout:
            return added.attempts, None
        sync = sync and self._store.durability != "batch"
        out = self._append_file(pair, "stdout", known.stdout_end, added.stdout, sync=sync)
        err = known.stderr_end
        if added.stderr:
            err = self._append_file(pair, "stderr", known.stderr_end, added.stderr, sync=sync)
        archived = [_shifted(each, out, err) for each in added.attempts]
        return archived, FileEnd(out + len(added.stdout), err + len(added.stderr), added.digest)

    def _append_file(self, pair: Pair, stream: str, recorded: int, content: bytes, *, sync: bool) -> int:
        """Write behind the recorded end, over whatever an interrupted write left there; return the offset."""
        path = self._path(pair, stream)
        finish_cut(path, recorded)
        new = False
        try:
            descriptor = open_private(path, os.O_RDWR)
        except FileNotFoundError:  # never written, or removed to save space: a new file begins
            new = True
            make_private_directory(path.parent)
            descriptor = open_private(path, os.O_RDWR | os.O_CREAT | os.O_EXCL)
        try:
            size = 0 if new else os.fstat(descriptor).st_size
            end = 0 if new else self._usable_end(path, descriptor, size, recorded)
            if size > end:
                os.ftruncate(descriptor, end)
            os.lseek(descriptor, end, os.SEEK_SET)
            write_all(descriptor, content)
            if sync:
                os.fsync(descriptor)
        finally:
            os.close(descriptor)
        if new and sync:
            sync_directory(path.parent)
        return end

    def _usable_end(self, path: Path, descriptor: int, size: int, recorded: int) -> int:
        """Return where the next block goes; refuse a file that is not as we left it."""
        if recorded:
            os.lseek(descriptor, recorded - 1, os.SEEK_SET)
            if size < recorded or os.read(descriptor, 1) != b"\n":
                raise _HeldFileError(
                    f"{path} was changed by another program ({size} bytes, {recorded} were written)\n"
                    "    restore it, or move it away: a new file is then begun"
                )
            return recorded
        # No end recorded: our torn first block is overwritten; DDC's file, or an earlier database's, stays.
        begun_by = begins_like(os.read(descriptor, 256))
        torn = begun_by == -1 or (begun_by is not None and bool(self._store.recorded_pairs(begun_by)))
        return 0 if torn else size

    def _cut(self, pair: Pair) -> str:
        """Cut the files of a pair to their recorded ends; return a warning when one is not as we left it."""
        known = self._ends[pair]
        try:
            for stream, end in (("stdout", known.stdout_end), ("stderr", known.stderr_end)):
                path = self._path(pair, stream)
                finish_cut(path, end)
                if end and path.exists():
                    descriptor = open_private(path, os.O_RDWR)
                    try:
                        size = os.fstat(descriptor).st_size
                        if self._usable_end(path, descriptor, size, end) < size:
                            os.ftruncate(descriptor, end)
                    finally:
                        os.close(descriptor)
        except (OSError, _HeldFileError) as error:
            return "".join(self._hold(pair, error))
        return ""


def _addition(items: Sequence[PendingAttempt], digest: str) -> _Addition:
    """Lay out the blocks of one (host, probe), as far as its archive rule keeps them."""
    stdout, stderr = bytearray(), bytearray()
    attempts = []
    for item in items:
        result = item.result
        if not is_kept(result, item.keep, digest):
            attempts.append(ArchivedAttempt(item.attempt_id))
            continue
        stdout += format_block(result, result.stdout)
        if result.stderr:
            stderr += format_block(result, result.stderr)
        digest = digest_of(result)
        attempts.append(ArchivedAttempt(item.attempt_id, len(stdout), len(stderr) if result.stderr else None))
    return _Addition(bytes(stdout), bytes(stderr), tuple(attempts), digest)


def _shifted(attempt: ArchivedAttempt, out: int, err: int) -> ArchivedAttempt:
    """Turn ends within an addition into ends within the files."""
    if attempt.stdout_end is None:
        return attempt
    return ArchivedAttempt(
        attempt.attempt_id,
        attempt.stdout_end + out,
        None if attempt.stderr_end is None else attempt.stderr_end + err,
    )
