"""`lookup('env', …)` and `lookup('file', …)`: the two of Ansible's lookups an inventory needs.

A looked-up secret stays a reference until it is used, so a plan never holds it.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from ddcplay.model.inventory import SecretRef

MAX_FILE_BYTES = 1024 * 1024

_SECRET_NAME = re.compile(
    r"pass(wd|word|phrase|code)?($|_)|secret|token|credential|api_?key|_pwd?$|^pwd?$", re.IGNORECASE
)


def is_secret_name(name: str) -> bool:
    """Say whether a variable's name tells that it holds a secret (`ansible_password`, `api_token`, …).

    Args:
        name: of a playbook or inventory variable, or of an environment variable.
    """
    return _SECRET_NAME.search(name) is not None and not name.endswith(("_file", "_path"))


def look_up(kind: str, name: str, *, secret: bool) -> str | SecretRef:
    """Do what `lookup(kind, name)` says in a template.

    Args:
        kind: `env` or `file`.
        name: of the environment variable, or the file's path.
        secret: the value belongs to a secret; hand out the reference instead of the value.

    Returns:
        The value; as in Ansible an unset environment variable is empty text and a file loses the line breaks
        at its end. A reference when `secret`, or when the environment variable's name says that it is one.

    Raises:
        ValueError: no such lookup, or the file cannot be read; the text never holds the value.
    """
    if kind not in {"env", "file"}:
        raise ValueError(f"there is no lookup {kind!r} here; 'env' and 'file' exist")
    if secret or (kind == "env" and is_secret_name(name)):
        return SecretRef(kind, name)
    return os.environ.get(name, "") if kind == "env" else _read(Path(name).expanduser())


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_FILE_BYTES + 1)
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError(f"lookup('file', …): {path} is not UTF-8 text") from None
    except OSError as error:
        raise ValueError(f"lookup('file', …): {path} cannot be read: {error.strerror}") from None
    if len(raw) > MAX_FILE_BYTES:
        raise ValueError(f"lookup('file', …): {path} has more than {MAX_FILE_BYTES} bytes")
    return text.rstrip("\r\n")
