"""Files as the store needs them: private, synced, and never written through somebody's link."""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path

_NO_FOLLOW = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)


def make_private_directory(path: Path) -> None:
    """Create a directory and its missing parents for this account only (0700); existing ones stay."""
    missing = []
    while not path.exists():
        missing.append(path)
        path = path.parent
    for directory in reversed(missing):
        directory.mkdir(mode=0o700, exist_ok=True)
        sync_directory(directory.parent)


def open_private(path: Path, flags: int) -> int:
    """Open a file, created for this account only (0600); a symbolic link at its place is refused."""
    return os.open(path, flags | _NO_FOLLOW, 0o600)


def write_all(descriptor: int, content: bytes) -> None:
    """Write all bytes, in one system call unless the kernel takes less."""
    view = memoryview(content)
    while view:
        view = view[os.write(descriptor, view) :]


def sync_directory(path: Path) -> None:
    """Make new names in a directory survive a power loss; Windows keeps them without."""
    if sys.platform == "win32":
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_file_system(directory: Path) -> bool:
    """Sync everything on the file system of `directory` at once: one journal commit instead of hundreds.

    Returns:
        False where the system has no such call (Linux has); the caller then syncs each file.
    """
    if not can_sync_file_system():
        return False
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        if ctypes.CDLL(None, use_errno=True).syncfs(descriptor) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), str(directory))
    finally:
        os.close(descriptor)
    return True


def can_sync_file_system() -> bool:
    """Say whether `sync_file_system` works here."""
    return sys.platform == "linux" and hasattr(ctypes.CDLL(None), "syncfs")
