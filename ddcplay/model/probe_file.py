"""A local file that a probe sends to its target: known by its content, looked for when the plan is made."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import PurePath

OPTION = "file"
"""The key of `ProbeSpec.options` under which the file stands."""

_SEPARATORS = re.compile(r"[\\/]")
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")
_NAME_LENGTH = 60


@dataclass(frozen=True, slots=True)
class ProbeFile:
    r"""What is sent, where to, and how long it stays; small and picklable, the bytes stay on the disk.

    Args:
        path: local path, as it can be opened by this process.
        sha256: lower-case hexadecimal digest of the content when the plan was made.
        size: bytes.
        home: name of the private directory on the target, the probe's own: `ddcplay-<hash>`.
        copy: `auto`, `smb` or `winrm`.
        cleanup: `visit`, `experiment` or `never`.
        remote_dir: directory of the target in which `home` is made; may hold variables (`%TEMP%`).
    """

    path: str
    sha256: str
    size: int
    home: str
    copy: str = "auto"
    cleanup: str = "visit"
    remote_dir: str = "%TEMP%"

    @property
    def remote_name(self) -> str:
        """Return the file's name on the target: told apart by content, safe in every command line."""
        return f"{self.sha256[:16]}-{safe_name(self.path)}"

    @property
    def suffix(self) -> str:
        """Return the file's ending in lower case, such as `.ps1`."""
        return PurePath(safe_name(self.path)).suffix.lower()

    @property
    def written_directory(self) -> str:
        """Return the private directory as written, its variables not yet resolved by the target."""
        return rf"{self.remote_dir.rstrip(chr(92))}\{self.home}"

    @property
    def written_path(self) -> str:
        """Return the file's path on the target as written."""
        return rf"{self.written_directory}\{self.remote_name}"


def safe_name(path: str) -> str:
    """Return a local file's name as it may stand in any Windows command line: ASCII, its ending kept.

    Args:
        path: local path with either separator.
    """
    name = _SEPARATORS.split(path)[-1]
    stem, dot, ending = name.rpartition(".")
    if not dot:
        stem, ending = name, ""
    ending = _UNSAFE.sub("_", ending)[:8].strip(".")
    stem = _UNSAFE.sub("_", stem)[: _NAME_LENGTH - len(ending) - 1].strip(".") or "file"
    return f"{stem}.{ending}" if ending else stem
