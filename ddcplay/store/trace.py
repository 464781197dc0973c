"""DDC's trace: one file per probe, one line per iteration, readable by the paper's own tools.

Nine fields are DDC's, the tenth (skipped names) is ours; nine-field lines are read too (design §6)::

    1081948390|120|0|49|71.0|381.9|m01,m02|  |m12|m40
    iteration|ok|failed|unavailable|percent ok|elapsed s|names: ok|failed|unavailable|skipped
"""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote_to_bytes

from ddcplay.errors import StoreError
from ddcplay.store.base import ProbeTally
from ddcplay.store.experiment_store import ExperimentStore
from ddcplay.store.faults import store_faults
from ddcplay.store.files import open_private, sync_directory, write_all

_COUNT = re.compile(r"[0-9]{1,15}")
_NUMBER = re.compile(r"[0-9]{1,15}(\.[0-9]{1,15})?")
_TAIL = 64 * 1024


@dataclass(frozen=True, slots=True)
class TraceLine:
    """One line of a trace file.

    Args:
        iteration: its id, UTC Unix seconds.
        ok: hosts.
        failed: hosts.
        unavailable: hosts.
        percent_ok: 0 to 100, None for 0/0.
        elapsed_s: the remote part.
        ok_names: inventory names, in inventory order.
        failed_names: same.
        unavailable_names: same.
        skipped_names: same; empty in nine-field lines.
    """

    iteration: int
    ok: int
    failed: int
    unavailable: int
    percent_ok: float | None
    elapsed_s: float
    ok_names: tuple[str, ...] = ()
    failed_names: tuple[str, ...] = ()
    unavailable_names: tuple[str, ...] = ()
    skipped_names: tuple[str, ...] = ()


def format_line(iteration: int, tally: ProbeTally) -> str:
    """Write one trace line, without its newline."""
    ok, failed, unavailable = len(tally.ok), len(tally.failed), len(tally.unavailable)
    total = ok + failed + unavailable
    percent = f"{100 * ok / total:.1f}" if total else "-"
    lists = (tally.ok, tally.failed, tally.unavailable, tally.skipped)
    counts = f"{iteration}|{ok}|{failed}|{unavailable}|{percent}|{tally.elapsed_s:.1f}"
    return "|".join((counts, *(",".join(map(_encoded, names)) for names in lists)))


def parse_line(text: str) -> TraceLine:
    """Read one trace line of nine or ten fields, with or without its line end.

    Raises:
        StoreError: not a trace line; the text says which field.
    """
    fields = text.rstrip("\r\n").split("|")
    if len(fields) not in (9, 10):
        raise StoreError(
            f"a trace line has nine or ten fields, this one {len(fields)}", "cut the damaged line"
        )
    iteration, ok, failed, unavailable = (_count(text) for text in fields[:4])
    percent = None if fields[4].strip() == "-" else _number(fields[4])
    names = [tuple(_decoded(name) for name in item.split(",")) if item else () for item in fields[6:]]
    return TraceLine(
        iteration=iteration,
        ok=ok,
        failed=failed,
        unavailable=unavailable,
        percent_ok=percent,
        elapsed_s=_number(fields[5]),
        ok_names=names[0],
        failed_names=names[1],
        unavailable_names=names[2],
        skipped_names=names[3] if len(names) > 3 else (),
    )


def trace_since(path: Path, iteration: int) -> bytes:
    """Return the whole lines of a trace file that are newer than an iteration; empty when there are none."""
    try:
        lines = path.read_bytes().splitlines(keepends=True)
    except OSError:
        return b""
    newer: list[bytes] = []
    for line in reversed(lines):
        number = _iteration_of(line)
        if 0 <= number <= iteration:
            break
        if line.endswith(b"\n"):
            newer.append(line)
    return b"".join(reversed(newer))


class TraceFiles:
    """The `.trace` files of one experiment; lines go in order of iteration, each once, whole or not at all.

    Args:
        directory: of the experiment.
        sync: lines are synced to the disk; without, a power loss may take the last ones (`repair`).
    """

    def __init__(self, directory: Path, *, sync: bool = True) -> None:
        self._directory = directory
        self._sync = sync
        self._last: dict[str, int] = {}

    def path(self, probe: str) -> Path:
        """Return where a probe's trace is."""
        return self._directory / f"{probe}.trace"

    def write(self, iteration: int, tallies: Sequence[ProbeTally]) -> None:
        """Append one synced line per tally; a probe whose file is that far already is left alone.

        Args:
            iteration: id, above those written before.
            tallies: of `ExperimentStore.tally`.

        Raises:
            StoreError: a file cannot be written; no part of its line is left in it.
        """
        for tally in tallies:
            if iteration <= self._last_id(tally.probe):
                continue
            line = format_line(iteration, tally) + "\n"
            path = self.path(tally.probe)
            with store_faults("write the trace", str(path)):
                _append_whole(path, line.encode("utf-8"), sync=self._sync)
            self._last[tally.probe] = iteration

    def repair(self, store: ExperimentStore) -> tuple[str, ...]:
        """Cut a torn last line from every trace, then append what ended iterations lack.

        Iterations from the first one with a pending filter chain on are left for later: lines go in order.

        Args:
            store: of the same experiment.

        Returns:
            What was done, one line of text per file.
        """
        done = []
        limit = store.first_pending_iteration()
        for probe in store.probe_names():
            cut = self._cut_torn(probe)
            missing = store.ended_with_rows(probe, above=self._last_id(probe))
            ready = [i for i in missing if limit is None or i < limit]
            for iteration in ready:
                self.write(iteration, [tally for tally in store.tally(iteration) if tally.probe == probe])
            if cut or ready:
                torn = "a torn line was cut, " if cut else ""
                done.append(f"{self.path(probe)}: {torn}{len(ready)} missing lines appended")
        return tuple(done)

    def _last_id(self, probe: str) -> int:
        if probe not in self._last:
            self._cut_torn(probe)
        return self._last[probe]

    def _cut_torn(self, probe: str) -> bool:
        """Cut what follows the last newline, and remember the last line's iteration."""
        path = self.path(probe)
        with store_faults("read the trace", str(path)):
            self._last[probe] = -1
            try:
                descriptor = open_private(path, os.O_RDWR)
            except FileNotFoundError:
                return False
            try:
                return self._examine(probe, descriptor)
            finally:
                os.close(descriptor)

    def _examine(self, probe: str, descriptor: int) -> bool:
        size = end = os.fstat(descriptor).st_size
        known_end: int | None = None
        tail = b""
        while end > 0 and self._last[probe] < 0:
            start = max(0, end - _TAIL)
            os.lseek(descriptor, start, os.SEEK_SET)
            tail = os.read(descriptor, end - start) + tail
            if known_end is None and b"\n" in tail:
                known_end = start + tail.rindex(b"\n") + 1
                tail = tail[: tail.rindex(b"\n") + 1]
            end = start
            if known_end is None:
                continue  # no whole line yet: what is here is torn, even if it reads like one
            lines = tail.split(b"\n")[0 if start == 0 else 1 :]
            self._last[probe] = next((i for line in reversed(lines) if (i := _iteration_of(line)) >= 0), -1)
        if (known_end or 0) == size:
            return False
        os.ftruncate(descriptor, known_end or 0)
        os.fsync(descriptor)
        return True


def _iteration_of(line: bytes) -> int:
    """Return a line's iteration, -1 when it is no trace line (a person's note)."""
    try:
        return parse_line(line.decode("utf-8", "replace")).iteration
    except StoreError:
        return -1


def _append_whole(path: Path, line: bytes, *, sync: bool) -> None:
    new = not path.exists()
    descriptor = open_private(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    try:
        before = os.fstat(descriptor).st_size
        try:
            write_all(descriptor, line)
            if sync:
                os.fsync(descriptor)
        except OSError:
            os.ftruncate(descriptor, before)
            raise
    finally:
        os.close(descriptor)
    if new and sync:
        sync_directory(path.parent)


def _encoded(name: str) -> str:
    return "".join(
        "".join(f"%{byte:02X}" for byte in c.encode("utf-8", "surrogatepass")) if _must_encode(c) else c
        for c in name
    )


def _must_encode(character: str) -> bool:
    # Zl, Zp: str.splitlines of other programs breaks lines there; Cs cannot be written as UTF-8.
    return character in "|,%" or unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp")


def _decoded(text: str) -> str:
    if "%" not in text:
        return text
    raw = unquote_to_bytes(text.encode("utf-8", "surrogatepass"))
    try:
        return raw.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:  # DDC wrote names as they were, percent signs included
        return text


def _count(text: str) -> int:
    if not _COUNT.fullmatch(text.strip()):
        raise StoreError(f"trace line: {text!r} is not a whole number", "cut the damaged line")
    return int(text)


def _number(text: str) -> float:
    if not _NUMBER.fullmatch(text.strip()):
        raise StoreError(f"trace line: {text!r} is not a number", "cut the damaged line")
    return float(text)
