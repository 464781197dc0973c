from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ddcplay.errors import StoreError
from ddcplay.model.result import AttemptResult, Outcome, Reason
from ddcplay.store.blocks import Block, format_block, read_blocks

CONTENT = st.one_of(
    st.binary(max_size=200), st.just(b"#ddcplay iteration=1 outcome=ok exit=0 elapsed=0.001 bytes=3\nabc\n")
)
HEADERISH = st.builds(
    lambda n, tail: (
        b"#ddcplay iteration=5 outcome=ok exit=- elapsed=1.000 bytes=" + str(n).encode() + b"\n" + tail
    ),
    st.integers(0, 10**15),
    st.binary(max_size=40),
)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("blocks") / "p.stdout"


def _result(exit_code: int | None = 0) -> AttemptResult:
    return AttemptResult("e", 1081948390, "h", "p", Outcome.OK, exit_code=exit_code, elapsed_s=0.412)


def test_a_block_is_a_header_the_raw_bytes_and_a_newline() -> None:
    block = format_block(_result(), b"a\r\n\x00b")
    assert block == b"#ddcplay iteration=1081948390 outcome=ok exit=0 elapsed=0.412 bytes=5\na\r\n\x00b\n"


def test_an_attempt_without_an_exit_code_shows_a_dash() -> None:
    result = AttemptResult("e", 5, "h", "p", Outcome.FAILED, Reason.TIMEOUT)
    assert (
        format_block(result, b"") == b"#ddcplay iteration=5 outcome=failed exit=- elapsed=0.000 bytes=0\n\n"
    )


@given(st.lists(CONTENT, max_size=8), st.sampled_from([0, 1, 0xFFFFFFFF, None]))
def test_blocks_are_read_back_whatever_the_probe_printed(
    file: Path, contents: list[bytes], code: int | None
) -> None:
    file.write_bytes(b"".join(format_block(_result(code), content) for content in contents))
    blocks = list(read_blocks(file))
    assert [block.content for block in blocks] == contents
    assert all(block.complete and block.exit_code == code and block.elapsed_s == 0.412 for block in blocks)


@given(
    st.lists(st.one_of(st.binary(max_size=300), HEADERISH, CONTENT.map(lambda c: format_block(_result(), c))))
)
def test_any_file_is_read_without_losing_a_byte_or_raising(file: Path, parts: list[bytes]) -> None:
    raw = b"".join(parts)
    file.write_bytes(raw)
    blocks = list(read_blocks(file))
    assert all(_bytes_of(block, raw) for block in blocks)
    assert [block.offset for block in blocks] == sorted({block.offset for block in blocks})
    assert (blocks[0].offset == 0) if raw else not blocks
    for block, following in pairwise(blocks):
        if block.iteration is None:
            assert block.offset + len(block.content) == following.offset


def _bytes_of(block: Block, raw: bytes) -> bool:
    if block.iteration is None:
        return raw[block.offset : block.offset + len(block.content)] == block.content
    return block.content in raw[block.offset :]


def test_a_torn_block_says_so(file: Path) -> None:
    whole = format_block(_result(), b"0123456789")
    file.write_bytes(whole + whole[:-4])
    first, second = read_blocks(file)
    assert first.complete
    assert not second.complete
    assert second.content == b"0123456"


def test_ddcs_own_file_comes_back_as_it_is(file: Path) -> None:
    file.write_bytes(b"CPU: 12%\r\nMem: 50%\r\n" * 9000)
    assert b"".join(block.content for block in read_blocks(file)) == file.read_bytes()


def test_a_missing_file_is_our_error(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"nothing\.stdout"):
        list(read_blocks(tmp_path / "nothing.stdout"))
