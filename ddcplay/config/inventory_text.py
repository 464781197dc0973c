"""Reads the bytes of an inventory or variables file and says what kind of file it is."""

from __future__ import annotations

from pathlib import Path

from ddcplay.errors import ConfigError, Place, Problem

_VAULT_MARK = b"$ANSIBLE_VAULT"
_SCRIPT_SUFFIXES = frozenset({".py", ".sh", ".exe", ".ps1", ".bat", ".cmd", ".pl", ".rb"})
_PROGRAM_MARKS = (b"#!", b"\x7fELF", b"MZ")


def read_text(path: Path) -> str:
    """Return a file's text; UTF-8 with or without a byte order mark.

    Raises:
        ConfigError: missing, unreadable, encrypted with Ansible Vault, or not UTF-8.
    """
    raw = _read_bytes(path)
    if raw.startswith(_VAULT_MARK):
        raise _refusal(
            path,
            "Ansible Vault files cannot be read, not yet",
            "keep the secret elsewhere and name it: env:NAME, file:PATH, keyring:SERVICE/USER, cmd:COMMAND",
        )
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise _refusal(path, "the file is UTF-16", "save it as UTF-8")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        return _decode_lines(path, raw)


def refuse_program(path: Path) -> None:
    """Refuse an inventory that is a program.

    A file system without permission bits marks every file as executable, so that bit alone proves nothing.

    Raises:
        ConfigError: the file is a script or a program.
    """
    if path.suffix.lower() in _SCRIPT_SUFFIXES or _read_bytes(path).startswith(_PROGRAM_MARKS):
        raise _refusal(path, "inventory scripts cannot be run, not yet", static_copy_hint(path))


def static_copy_hint(path: Path) -> str:
    """Return the advice to let Ansible write a static copy of a dynamic inventory."""
    return f"write a static copy: ansible-inventory -i {path} --list --yaml > inventories/static.yml"


def _read_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise _refusal(
            path,
            "there is no such inventory",
            f"check the path; a single host is written with a comma: -i {path.name},",
        ) from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "the name is no path"
        raise _refusal(path, f"cannot be read: {reason}", "check the file and its permissions") from None


def _decode_lines(path: Path, raw: bytes) -> str:
    # Old files often hold another code page in comments, which say nothing to us; elsewhere it is a mistake.
    lines = []
    for number, line in enumerate(raw.splitlines(), start=1):
        try:
            lines.append(line.decode("utf-8"))
        except UnicodeDecodeError as error:
            if line.lstrip()[:1] not in {b"#", b";"}:
                place = Place(str(path), number, error.start + 1)
                raise ConfigError(
                    [Problem(place, "the text is not UTF-8", "save the file as UTF-8")]
                ) from None
            lines.append("#")
    return "\n".join(lines)


def _refusal(path: Path, message: str, hint: str) -> ConfigError:
    return ConfigError([Problem(Place(str(path)), message, hint)])
