from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ddcplay.ui.safe_text import decode_output, safe_text


@pytest.mark.parametrize(
    ("hostile", "shown"),
    [
        ("plain", "plain"),
        ("Português ß 漢字", "Português ß 漢字"),
        ("\x1b[2Jgone", "\\x1b[2Jgone"),
        ("\x1b]52;c;ZXZpbA==\x07", "\\x1b]52;c;ZXZpbA==\\x07"),
        ("\x9b31m", "\\x9b31m"),
        ("abc\u202etxt.exe", "abc\\u202etxt.exe"),
        ("\u2066x\u2069", "\\u2066x\\u2069"),
        ("zero\u200bwidth", "zero\\u200bwidth"),
        ("a\ud800b", "a\\ud800b"),
        ("\U000e0041", "\\U000e0041"),
        ("12\u00a0345\u202fMB", "12 345 MB"),
        ("one\r\ntwo\tthree", "one\\r\\ntwo\\tthree"),
        ("a\rb", "a\\rb"),
    ],
)
def test_what_could_move_the_cursor_or_the_eye_is_written_out(hostile: str, shown: str) -> None:
    assert safe_text(hostile) == shown


def test_a_block_keeps_its_lines() -> None:
    assert safe_text("one\r\ntwo\tx\x1b[0m\rz", block=True) == "one\ntwo\tx\\x1b[0m\\rz"


@given(st.text(), st.integers(min_value=1, max_value=50))
def test_limit_holds_after_escaping_too(text: str, limit: int) -> None:
    assert len(safe_text(text, limit=limit)) <= limit


@given(st.text(alphabet=st.characters()))
def test_nothing_unprintable_ever_comes_out_and_all_can_be_encoded(text: str) -> None:
    line = safe_text(text)
    assert line.isprintable()
    line.encode("utf-8")
    block = safe_text(text, block=True)
    assert all(char.isprintable() or char in "\n\t" for char in block)


@given(st.binary())
def test_any_bytes_can_be_shown(raw: bytes) -> None:
    assert safe_text(decode_output(raw)).isprintable()
