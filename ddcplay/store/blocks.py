"""The blocks of a cumulative file: written here, and read back from files that anybody may have touched.

A block is a header line, N raw bytes, and a newline::

    #ddcplay iteration=1081948390 outcome=ok exit=0 elapsed=0.412 bytes=N

`exit=-` stands for "it did not end by itself, or there is no program". The length rules, so a probe that
prints something like a header changes nothing.
"""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from ddcplay.model.result import AttemptResult, Outcome
from ddcplay.store.faults import store_faults

_MARK = b"#ddcplay "
_HEADER = re.compile(
    rb"#ddcplay iteration=(\d{1,15}) outcome=([a-z]{1,20}) exit=(-|\d{1,10}) elapsed=(\d{1,12}\.\d{3})"
    rb" bytes=(\d{1,15})\n"
)
_LONGEST_HEADER = 256
_FOREIGN_CHUNK = 64 * 1024


@dataclass(frozen=True, slots=True)
class Block:
    """One attempt's output in a cumulative file, or a stretch of bytes that is not ours.

    Args:
        offset: where it starts in the file, in bytes.
        content: the raw bytes; of a torn block what is left of them.
        iteration: id of the iteration, None for foreign bytes (DDC's own files, somebody's edit).
        outcome: outcome word, "" for foreign bytes.
        exit_code: None where there was none.
        elapsed_s: seconds, None for foreign bytes.
        complete: False for a torn block at the end of the file.
    """

    offset: int
    content: bytes = field(repr=False)
    iteration: int | None = None
    outcome: str = ""
    exit_code: int | None = None
    elapsed_s: float | None = None
    complete: bool = True


def format_block(result: AttemptResult, content: bytes) -> bytes:
    """Return the block of one attempt's stdout or stderr."""
    code = "-" if result.exit_code is None else str(result.exit_code)
    head = (
        f"#ddcplay iteration={result.iteration} outcome={result.outcome.value} exit={code}"
        f" elapsed={max(0.0, result.elapsed_s):.3f} bytes={len(content)}\n"
    )
    return head.encode("ascii") + content + b"\n"


def has_block(result: AttemptResult) -> bool:
    """Say whether something was tried on the host; what was unavailable or skipped leaves no block."""
    return result.outcome in (Outcome.OK, Outcome.FAILED)


def digest_of(result: AttemptResult) -> str:
    """Return what `keep: on_change` compares: both outputs."""
    state = hashlib.blake2b(len(result.stdout).to_bytes(8, "big"), digest_size=16)
    state.update(result.stdout)
    state.update(result.stderr)
    return state.hexdigest()


def is_kept(result: AttemptResult, keep: str, last_digest: str) -> bool:
    """Say whether the default archive keeps an attempt's outputs (probe key `keep`)."""
    if keep == "never" or not has_block(result):
        return False
    if keep == "on_failure":
        return result.outcome is not Outcome.OK
    return keep != "on_change" or digest_of(result) != last_digest


def begins_like(head: bytes) -> int | None:
    """Say which iteration's block a file begins with.

    Args:
        head: the first 256 bytes of a file, or all of a shorter one.

    Returns:
        The iteration's id; -1 for a header that was never finished; None for foreign bytes.
    """
    match = _HEADER.match(head)
    if match is not None:
        return int(match[1])
    torn = len(head) < _LONGEST_HEADER and b"\n" not in head and head[: len(_MARK)] == _MARK[: len(head)]
    return -1 if torn else None


def header_at(head: bytes) -> tuple[int, int] | None:
    """Read the header that some bytes begin with.

    Args:
        head: 256 bytes of a file, or what is left of it.

    Returns:
        The iteration's id, and the length of the whole block with its header; None for foreign bytes.
    """
    match = _HEADER.match(head)
    return None if match is None else (int(match[1]), match.end() + int(match[5]) + 1)


class BlockChangedError(Exception):
    """A file does not hold what was written to it; the text says what was looked for, and where."""


def read_block_at(file: io.RawIOBase | BinaryIO, end: int, length: int, of: AttemptResult) -> bytes:
    """Read the content of the block that ends at an offset, and check that it is the one that is meant.

    Args:
        file: a cumulative file.
        end: offset right after the block.
        length: bytes of content.
        of: the attempt that the block's header must name (iteration and outcome).

    Raises:
        BlockChangedError: something else is there.
    """
    content_at = end - 1 - length
    head_at = max(0, content_at - _LONGEST_HEADER)
    text = b""
    if content_at >= 0:
        file.seek(head_at)
        text = file.read(end - head_at) or b""
    head, content = text[: content_at - head_at], text[content_at - head_at : -1]
    match = _HEADER.fullmatch(head[head.rfind(b"\n", 0, max(0, len(head) - 1)) + 1 :])
    expected = (of.iteration, of.outcome.value.encode(), length)
    if (
        len(text) != end - head_at
        or match is None
        or not text.endswith(b"\n")
        or (int(match[1]), match[2], int(match[5])) != expected
    ):
        what = f"iteration {of.iteration} ({of.outcome.value}, {length} bytes)"
        raise BlockChangedError(f"the block of {what} does not end at byte {end}")
    return content


def read_blocks(path: Path) -> Iterator[Block]:
    """Read a cumulative file, whatever became of it.

    Args:
        path: a `.stdout` or `.stderr` file, of ours or of DDC.

    Yields:
        Blocks in file order; joined with what was left out of them, their bytes are the file's.

    Raises:
        StoreError: the file cannot be read.
    """
    with store_faults("read", str(path)), path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(0)
        foreign_at, foreign = 0, bytearray()
        while True:
            offset = file.tell()
            block = _block_at(file, offset, size)
            if block is None:
                file.seek(offset)
                line = file.readline(_FOREIGN_CHUNK)
                if not foreign:
                    foreign_at = offset
                foreign += line
                if line and len(foreign) < _FOREIGN_CHUNK:
                    continue
            if foreign:
                yield Block(foreign_at, bytes(foreign))
                foreign.clear()
            if block is not None:
                yield block
            elif offset >= size:
                return


def _block_at(file: BinaryIO, offset: int, size: int) -> Block | None:
    """Read the block that starts here; None when none does."""
    head = file.readline(_LONGEST_HEADER)
    match = _HEADER.fullmatch(head)
    if match is None:
        return None
    length = int(match[5])
    left = size - file.tell()
    content = file.read(min(length, left))
    complete = left > length
    if complete and file.read(1) != b"\n":
        return None  # the length lies, so it is not ours: its line is foreign text
    return Block(
        offset,
        content,
        iteration=int(match[1]),
        outcome=match[2].decode(),
        exit_code=None if match[3] == b"-" else int(match[3]),
        elapsed_s=float(match[4]),
        complete=complete,
    )
