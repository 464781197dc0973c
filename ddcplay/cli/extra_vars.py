"""`-e`: variables from the command line, in Ansible's three forms."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

from ddcplay.errors import ConfigError, Place, UsageError

_FORMS = "write -e name=value, -e '{\"name\": 1}' or -e @file.yml"


def parse_extra_vars(texts: Sequence[str]) -> dict[str, object]:
    r"""Read and merge what followed each `-e`; later ones win.

    Values of `name=value` are text, as in Ansible; backslashes stay (`-e ansible_user=CORP\svc`). Connection
    secrets become references at once, so that no message can show them.

    Raises:
        UsageError: not one of the forms.
        ConfigError: a file is wrong.
    """
    merged: dict[str, object] = {}
    for text in texts:
        merged |= _one(text.strip())
    return {key: _guarded(key, value) for key, value in merged.items()}


def _one(text: str) -> dict[str, object]:
    if text.startswith("@"):
        return _from_file(Path(text[1:]).expanduser())
    if text.startswith(("{", "[")):
        from ddcplay.config.yaml_marks import parse_yaml  # noqa: PLC0415 - brings a YAML parser

        # JSON is YAML; Ansible reads both here.
        return _mapping(parse_yaml(text, "-e").data, "-e")
    return _pairs(text)


def _from_file(path: Path) -> dict[str, object]:
    from ddcplay.config.yaml_marks import read_yaml  # noqa: PLC0415 - as above

    marked = read_yaml(path)
    if marked.problems:
        raise ConfigError(marked.problems)
    return {} if marked.data is None else _mapping(marked.data, str(path))


def _mapping(data: object, where: str) -> dict[str, object]:
    if not isinstance(data, dict):
        kind = type(data).__name__
        raise UsageError(f"variables are a mapping, this is a {kind}", _FORMS, Place(where))
    return {str(key): value for key, value in data.items()}


def _pairs(text: str) -> dict[str, object]:
    lexer = shlex.shlex(text, posix=True, punctuation_chars=False)
    lexer.whitespace_split = True
    lexer.escape = lexer.commenters = ""
    try:
        words = list(lexer)
    except ValueError as error:
        raise UsageError("-e: a quote is never closed", _FORMS) from error
    pairs: dict[str, object] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals or not name.isidentifier():
            # The word is not repeated: it may be half of a password with a blank in it.
            raise UsageError("-e: a word is not of the form name=value", _FORMS)
        pairs[name] = value
    if not pairs:
        raise UsageError("-e is empty", _FORMS)
    return pairs


def _guarded(key: str, value: object) -> object:
    from ddcplay.config.inventory_connection import guard_variable  # noqa: PLC0415 - as above

    guarded = guard_variable(key, value)
    if guarded.problem:
        raise UsageError(f"-e {key}: {guarded.problem}", guarded.hint)
    return guarded.value
