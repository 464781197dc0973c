"""Quoting for the three languages a probe is written in: a cmd.exe line, PowerShell and WQL.

Whoever puts a variable into code needs exactly one value to come out at the other end, whatever it holds.
"""

from __future__ import annotations

import re

_BARE = re.compile(r"[A-Za-z0-9_.:/\\-]+")
_BACKSLASHES_BEFORE_QUOTE = re.compile(r'(\\*)"')
_PIECES = re.compile(r'[%"]|[^%"]+')
# PowerShell reads these like an apostrophe (about_Quoting_Rules; tokenizer's IsSingleQuote).
_PS_QUOTES = re.compile("(['\u2018\u2019\u201a\u201b])")


def _as_text(value: object, use: str) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError(f"{use} quotes text or a number, not {type(value).__name__}")  # noqa: TRY004 - shown with its place as a TemplateError
    text = str(value)
    if "\0" in text:
        raise ValueError(f"{use}: a NUL character cannot be passed")
    return text


def quote_argument(value: object) -> str:
    """Quote one argument for a program that is started without cmd.exe.

    Args:
        value: text or number.

    Returns:
        What CommandLineToArgvW and the C runtime read as that one argument.

    Raises:
        ValueError: not text or number, or it holds NUL.
    """
    text = _as_text(value, "an argument")
    if _BARE.fullmatch(text):
        return text
    return f'"{_double_trailing_backslashes(_BACKSLASHES_BEFORE_QUOTE.sub(_escape_quote, text))}"'


def _escape_quote(match: re.Match[str]) -> str:
    return match[1] * 2 + '\\"'


def _double_trailing_backslashes(text: str) -> str:
    return text + "\\" * (len(text) - len(text.rstrip("\\")))


def win_quote(value: object) -> str:
    r"""Quote one argument of a cmd.exe command line.

    Plain words stay as they are; others stand in quotes, where cmd.exe takes all but `%` and `"` literally.
    Those two stand outside behind a caret: between two `%` there is always a quote or a caret, so it is never
    a variable's name, and `\^"` is a quote for the program but none for cmd.exe, which counts quotes.

    Args:
        value: text or number.

    Returns:
        Text that cmd.exe (`/V:OFF`, its default) hands on unchanged and CommandLineToArgvW reads as that one
        argument. It must not be put inside further quotes.

    Raises:
        ValueError: not text or number, or it holds NUL or a line break (cmd.exe would cut the line there).
    """
    text = _as_text(value, "win_quote")
    if "\n" in text or "\r" in text:
        raise ValueError("win_quote: cmd.exe cuts a line at a line break; use `stdin:` or `env:`")
    if _BARE.fullmatch(text):
        return text
    return "".join(map(_cmd_piece, _PIECES.findall(text))) or '""'


def _cmd_piece(piece: str) -> str:
    if piece == "%":
        return "^%"
    if piece == '"':
        return '\\^"'
    return f'"{_double_trailing_backslashes(piece)}"'


def ps_quote(value: object) -> str:
    """Write a PowerShell single-quoted literal.

    Args:
        value: text or number.

    Returns:
        The literal with its quotes; the typographic apostrophes U+2018 to U+201B are doubled too, because
        PowerShell ends a literal at them.

    Raises:
        ValueError: not text or number, or it holds NUL.
    """
    return "'" + _PS_QUOTES.sub(r"\1\1", _as_text(value, "ps_quote")) + "'"


def wql_quote(value: object) -> str:
    r"""Write a WQL string literal.

    Args:
        value: text or number.

    Returns:
        The literal with its quotes, backslash and apostrophe escaped (so a path in a `WHERE` needs no more).
        The wildcards of `LIKE` (`% _ [`) keep their meaning.

    Raises:
        ValueError: not text or number, or it holds a control character (XML cannot carry it).
    """
    text = _as_text(value, "wql_quote")
    if any(character < " " and character not in "\t\n\r" for character in text):
        raise ValueError("wql_quote: a control character cannot be part of a query")
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
