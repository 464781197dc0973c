"""Cumulative files lose their oldest blocks (setting `retention.archive`), and no other.

A file is never changed in place. What stays is copied beside it (`.cut`) and synced; then the database
records where the file ends from now on; then the copy takes the file's place. Whoever finds a copy knows by
its size what to do: if it ends where the database says it is the file, else the database knows nothing of it.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ddcplay.store.base import FileEnd
from ddcplay.store.blocks import header_at
from ddcplay.store.faults import store_faults
from ddcplay.store.files import open_private, sync_directory, write_all

if TYPE_CHECKING:
    from ddcplay.store.experiment_store import ExperimentStore

_HEAD = 256
_CHUNK = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Cut:
    """What was dropped from cumulative files.

    Args:
        blocks: of stdout and stderr.
        files: removed as a whole.
        bytes: given back to the disk.
    """

    blocks: int = 0
    files: int = 0
    bytes: int = 0

    def __add__(self, other: Cut) -> Cut:
        return Cut(self.blocks + other.blocks, self.files + other.files, self.bytes + other.bytes)


@dataclass(frozen=True, slots=True)
class Front:
    """The old blocks at the beginning of a file.

    Args:
        blocks: how many.
        end: where the first block that stays begins, or the file's recorded end.
        last: iteration of the last old block, 0 when there is none.
    """

    blocks: int = 0
    end: int = 0
    last: int = 0


def old_blocks(path: Path, recorded: int, before: int) -> Front:
    """Find the blocks of iterations below `before` at the beginning of a file.

    Bytes that are not ours are never dropped: where they begin, the old blocks end.

    Args:
        path: a cumulative file; one that is not there has none.
        recorded: its recorded end, in bytes.
        before: iteration id.
    """
    front = Front()
    try:
        file = path.open("rb")
    except FileNotFoundError:
        return front
    with file:
        if os.fstat(file.fileno()).st_size < recorded:
            return front
        while front.end < recorded:
            file.seek(front.end)
            head = header_at(file.read(min(_HEAD, recorded - front.end)))
            if head is None or head[0] >= before or front.end + head[1] > recorded:
                break
            front = Front(front.blocks + 1, front.end + head[1], head[0])
    return front


def cut_front(
    store: ExperimentStore,
    pair: tuple[str, str],
    paths: tuple[Path, Path],
    known: FileEnd,
    wanted: tuple[int, float],
) -> tuple[Cut, FileEnd]:
    """Drop the old blocks of one (host, probe); nobody else may write its files meanwhile.

    Args:
        store: whose recorded ends move.
        pair: (host, probe).
        paths: of stdout and stderr.
        known: their recorded ends.
        wanted: iteration id below which blocks go, and the least share of a file that is worth a cut.

    Returns:
        What was dropped, and where the files end now.
    """
    before, least_share = wanted
    ends = (known.stdout_end, known.stderr_end)
    with store_faults("shorten", str(paths[0])):
        for path, end in zip(paths, ends, strict=True):
            finish_cut(path, end)
        fronts = [old_blocks(path, end, before) for path, end in zip(paths, ends, strict=True)]
        if fronts[0].end == ends[0] > 0 and store.retained.still_current(pair, before):
            before = fronts[0].last  # `on_change`: the newest block says what newer attempts found
            fronts = [old_blocks(path, end, before) for path, end in zip(paths, ends, strict=True)]
        dropped = sum(front.end for front in fronts)
        if not dropped or dropped < least_share * sum(ends):
            return Cut(), known
        _write_copies(paths, ends, fronts)
        left = [end - front.end for front, end in zip(fronts, ends, strict=True)]
        ended = FileEnd(left[0], left[1], known.digest if left[0] else "")
        store.retained.move_ends(pair, before, (fronts[0].end, fronts[1].end), ended)
        for path, front, rest in zip(paths, fronts, left, strict=True):
            if rest:
                finish_cut(path, rest)
            elif front.end:
                path.unlink(missing_ok=True)
        if paths[0].parent.exists():
            sync_directory(paths[0].parent)
    gone = sum(bool(front.end) and not rest for front, rest in zip(fronts, left, strict=True))
    return Cut(sum(front.blocks for front in fronts), gone, dropped), ended


def finish_cut(path: Path, recorded: int) -> None:
    """Let the copy of an interrupted cut take the file's place, or remove it when it counts for nothing."""
    copy = _copy_of(path)
    try:
        size = copy.stat().st_size
    except FileNotFoundError:
        return
    if size == recorded:
        copy.replace(path)
    else:
        copy.unlink()
    sync_directory(path.parent)


def _copy_of(path: Path) -> Path:
    return path.with_name(f"{path.name}.cut")


def _write_copies(paths: tuple[Path, Path], ends: tuple[int, int], fronts: list[Front]) -> None:
    """Copy what stays of files of which something stays, synced."""
    for path, end, front in zip(paths, ends, fronts, strict=True):
        if not front.end or front.end == end:
            continue
        target = open_private(_copy_of(path), os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        try:
            with path.open("rb") as source:
                source.seek(front.end)
                left = end - front.end
                while left and (chunk := source.read(min(_CHUNK, left))):
                    write_all(target, chunk)
                    left -= len(chunk)
            os.fsync(target)
        finally:
            os.close(target)
        sync_directory(path.parent)
