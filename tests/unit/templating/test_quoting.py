"""Quoting is checked against readers written from the rules of the languages, not from the quoting."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ddcplay.templating.quoting import ps_quote, quote_argument, win_quote, wql_quote

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\r\n"))
NASTY = st.text(alphabet=" \t\"\\%^&|<>()!,;='`:aPATH$~*\u2019", max_size=30)
ENVIRONMENT = {"PATH": "EXPANDED", "A": "EXPANDED", "P": "EXPANDED", "T": "EXPANDED"}


def expand_percent(line: str) -> str:
    """cmd.exe phase 1 in command-line mode: `%NAME%`, `%NAME:a=b%`, `%NAME:~1,2%`; unknown names stay."""
    result, position = "", 0
    while position < len(line):
        if line[position] == "%":
            end = line.find("%", position + 1)
            if end > 0:
                name = line[position + 1 : end].split(":", 1)[0]
                if name.upper() in ENVIRONMENT:
                    result += ENVIRONMENT[name.upper()]
                    position = end + 1
                    continue
        result += line[position]
        position += 1
    return result


def read_cmd_line(line: str) -> str:
    """cmd.exe phase 2: quotes protect, a caret outside them escapes one character, operators end it."""
    result, quoted, position = "", False, 0
    while position < len(line):
        character = line[position]
        if character == '"':
            quoted = not quoted
        elif not quoted and character == "^":
            position += 1
            character = line[position] if position < len(line) else ""
        elif not quoted and character in "&|<>()":
            raise AssertionError(f"cmd.exe would act on {character!r} in {line!r}")
        result += character
        position += 1
    assert not quoted, f"quotes stay open in {line!r}"
    return result


def split_arguments(line: str) -> list[str]:
    """CommandLineToArgvW after the program's name: 2n backslashes + quote, 2n+1 backslashes + quote."""
    arguments: list[str] = []
    current, quoted, started, position = "", False, False, 0
    while position < len(line):
        slashes = re.match(r"\\*", line[position:])
        count = len(slashes[0]) if slashes else 0
        position += count
        following = line[position] if position < len(line) else ""
        if following == '"':
            current += "\\" * (count // 2)
            if count % 2:
                current += '"'
            else:
                quoted = not quoted
            started = True
            position += 1
        elif count:
            current, started = current + "\\" * count, True
        elif following in " \t" and not quoted:
            if started:
                arguments.append(current)
            current, started = "", False
            position += 1
        else:
            current, started = current + following, True
            position += 1
    return [*arguments, current] if started else arguments


@given(TEXT | NASTY)
@example('a" & calc & "')
@example("%PATH%")
@example("%PATH:a=b%")
@example("100%")
@example("ends\\")
@example('\\"\\\\" %A% "')
@example("")
def test_win_quote_survives_cmd_and_argv_as_one_argument(text: str) -> None:
    line = f"{win_quote(text)} end"
    assert split_arguments(read_cmd_line(expand_percent(line))) == [text, "end"]


@given(NASTY, NASTY)
def test_two_quoted_arguments_stay_two(first: str, second: str) -> None:
    line = f"{win_quote(first)} {win_quote(second)}"
    assert split_arguments(read_cmd_line(expand_percent(line))) == [first, second]


def test_pieces_side_by_side_do_not_make_a_variable_of_cmd() -> None:
    line = "".join(map(win_quote, ["%", "PATH", "%"]))
    assert split_arguments(read_cmd_line(expand_percent(line))) == ["%PATH%"]


@given(st.text(alphabet=' &|<>()^%a"', max_size=20).filter(lambda text: '"' not in text))
def test_win_quote_without_quotes_in_the_text_survives_a_pipe_which_cmd_reads_twice(text: str) -> None:
    once = read_cmd_line(expand_percent(win_quote(text)))
    assert split_arguments(read_cmd_line(expand_percent(once))) == [text]


@given(TEXT | NASTY)
def test_quote_argument_is_read_back_by_argv(text: str) -> None:
    assert split_arguments(quote_argument(text)) == [text]


@pytest.mark.parametrize("word", ["hostname", "C:\\Windows\\System32", "-v", "10.0.0.1", 42, 1.5])
def test_win_quote_leaves_plain_words_readable(word: object) -> None:
    assert win_quote(word) == str(word)


@pytest.mark.parametrize("text", ["a\nb", "a\rb", "a\0b"])
def test_win_quote_refuses_what_cmd_would_cut(text: str) -> None:
    with pytest.raises(ValueError, match="win_quote"):
        win_quote(text)


@pytest.mark.parametrize("value", [None, True, ["a"], {"a": 1}])
@pytest.mark.parametrize("quote", [win_quote, ps_quote, wql_quote, quote_argument])
def test_quoting_refuses_what_is_neither_text_nor_number(quote: object, value: object) -> None:
    assert callable(quote)
    with pytest.raises(ValueError, match="text or a number"):
        quote(value)


def read_ps_literal(script: str) -> tuple[str, str]:
    """PowerShell's single-quoted literal: any of five quotes opens or ends it, two are one."""
    quotes = "'\u2018\u2019\u201a\u201b"
    assert script[0] in quotes
    result, position = "", 1
    while position < len(script):
        if script[position] in quotes:
            if position + 1 < len(script) and script[position + 1] in quotes:
                result += script[position]
                position += 2
                continue
            return result, script[position + 1 :]
        result += script[position]
        position += 1
    raise AssertionError(f"literal stays open in {script!r}")


@given(TEXT | st.text(alphabet="'\u2018\u2019\u201a\u201b$`\"\n;a"))
def test_ps_quote_is_one_literal(text: str) -> None:
    assert read_ps_literal(ps_quote(text) + ";rest") == (text, ";rest")


def read_wql_literal(query: str) -> tuple[str, str]:
    assert query[0] == "'"
    result, position = "", 1
    while query[position] != "'":
        if query[position] == "\\":
            position += 1
        result += query[position]
        position += 1
    return result, query[position + 1 :]


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"])) | st.text(alphabet="'\\\"a%"))
def test_wql_quote_is_one_literal(text: str) -> None:
    assert read_wql_literal(wql_quote(text) + " AND x") == (text, " AND x")


def test_wql_quote_refuses_control_characters() -> None:
    with pytest.raises(ValueError, match="control"):
        wql_quote("a\x01")
