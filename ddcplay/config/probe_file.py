"""The local file of an `exe` or `script` probe: found, bounded and hashed once, when the plan is made."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from ddcplay.config.words import WrongValueError
from ddcplay.model.plan import Plan
from ddcplay.model.probe_file import OPTION, ProbeFile

MAX_FILE_BYTES = 64 * 1024 * 1024
SLOW_OVER_WINRM_BYTES = 5 * 1024 * 1024

FILE_KINDS = ("exe", "script")
ENDINGS: Mapping[str, tuple[str, ...]] = {"exe": (".exe", ".com"), "script": (".ps1", ".cmd", ".bat")}
"""Kind → endings of the files it runs."""

_HOME_DIGITS = 12
_DIRECTORY = re.compile(r"(?:[A-Za-z]:[\\/]|%[A-Za-z_][A-Za-z0-9_()]*%)")
_NOT_IN_PATHS = re.compile(r'[\x00-\x1f"<>|?*]')


class ProbeFiles:
    """Finds the files of one play's probes; each is read once.

    Args:
        folders: where a relative path is looked for, in order: beside the playbook, then the project root.
        experiment: whose name goes into the private directories' names.
    """

    def __init__(self, folders: Sequence[Path], experiment: str) -> None:
        self._folders = tuple(dict.fromkeys(folders))
        self._experiment = experiment
        self._known: dict[str, tuple[Path, str, int]] = {}

    def find(self, kind: str, written: str, probe: str, **how: str) -> ProbeFile:
        """Find and hash a file.

        Args:
            kind: `exe` or `script`.
            written: path as written, templates rendered.
            probe: the probe's name.
            **how: `copy`, `cleanup`, `remote_dir` where written.

        Raises:
            WrongValueError: it is not there, empty, too big, or no program or script.
        """
        if written not in self._known:
            path = self._look(written)
            self._known[written] = (path, *_read(path))
        path, digest, size = self._known[written]
        _check_kind(kind, path)
        name = hashlib.sha256(f"{self._experiment}\0{probe}".encode()).hexdigest()[:_HOME_DIGITS]
        return ProbeFile(str(path), digest, size, f"ddcplay-{name}", **how)

    def _look(self, written: str) -> Path:
        asked = Path(written).expanduser()
        candidates = [asked] if asked.is_absolute() else [folder / asked for folder in self._folders]
        for path in candidates:
            if path.is_file():
                return path
        looked = ", ".join(map(str, candidates))
        raise WrongValueError(
            f"there is no file {written!r}",
            f"looked for {looked}; a relative path starts beside the playbook, then in the project root",
        )


def _read(path: Path) -> tuple[str, int]:
    try:
        size = path.stat().st_size
        if not 0 < size <= MAX_FILE_BYTES:
            what = "is empty" if not size else f"has {size:,} bytes, more than {MAX_FILE_BYTES:,}"
            raise WrongValueError(f"{str(path)!r} {what}", "name the program or script itself")
        with path.open("rb") as opened:
            return hashlib.file_digest(opened, "sha256").hexdigest(), size
    except OSError as error:
        raise WrongValueError(
            f"{str(path)!r} cannot be read: {error.strerror}", "check its rights"
        ) from error


def _check_kind(kind: str, path: Path) -> None:
    if path.suffix.lower() not in ENDINGS[kind]:
        other = next((name for name, endings in ENDINGS.items() if path.suffix.lower() in endings), None)
        hint = f"write `{other}:` instead" if other else f"it must end in {' or '.join(ENDINGS[kind])}"
        raise WrongValueError(f"{path.name!r} is nothing `{kind}` can run", hint)
    if kind == "exe":
        with path.open("rb") as opened:
            if opened.read(2) != b"MZ":
                raise WrongValueError(
                    f"{path.name!r} is no Windows program: it does not start with MZ",
                    "name a program built for Windows",
                )


def check_remote_dir(value: str) -> str:
    """Refuse what cannot be a directory of the target's own disks.

    Raises:
        WrongValueError: relative, on another machine, or with characters a command line must not hold.
    """
    if value.startswith(("\\\\", "//")):
        raise WrongValueError("is on another machine, where the logon is not passed on", "write %TEMP%")
    if _NOT_IN_PATHS.search(value) or not _DIRECTORY.match(value) or ".." in re.split(r"[\\/]", value):
        raise WrongValueError(f"{value!r} is no directory of the target", r"write %TEMP% or C:\probes")
    return value.replace("/", "\\")


def slow_files(plan: Plan) -> tuple[str, ...]:
    """Warn of files that are bigger than WinRM alone should carry, once per probe."""
    found: dict[str, str] = {}
    for spec in (spec for host in plan.hosts for spec in host.probes):
        file = spec.options.get(OPTION)
        if isinstance(file, ProbeFile) and file.copy == "winrm" and file.size > SLOW_OVER_WINRM_BYTES:
            text = f"{file.path} has {file.size:,} bytes, slow over WinRM; `copy: auto` tries SMB"
            found.setdefault(spec.name, f"probe {spec.name!r}: {text}")
    return tuple(found.values())
