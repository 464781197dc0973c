"""What an iteration was run with: playbook text, git commit, versions (design §6)."""

from __future__ import annotations

import platform
import subprocess
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from ddcplay.model.playbook import Playbook
from ddcplay.store.base import Provenance

_PACKAGES = ("ddcplay", "pywinrm", "pyspnego", "sqlalchemy")
_GIT_S = 5.0


def provenance_of(playbook: Playbook) -> Provenance:
    """Gather what explains an iteration's figures years later; what cannot be told is left empty."""
    commit, dirty = _git_state(Path(playbook.path).absolute().parent)
    return Provenance(playbook.path, playbook.text, commit, dirty, _versions())


@lru_cache
def _versions() -> dict[str, str]:
    found = {"python": platform.python_version(), "system": platform.platform()}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _git_state(directory: Path) -> tuple[str, bool | None]:
    """Return the commit the playbook's repository stands at and whether it has uncommitted changes."""
    commit = _git(directory, "rev-parse", "HEAD")
    if commit is None:
        return "", None
    changes = _git(directory, "status", "--porcelain", "--untracked-files=no")
    return commit, None if changes is None else bool(changes)


def _git(directory: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(directory), *arguments],
            capture_output=True,
            text=True,
            timeout=_GIT_S,
            check=False,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
