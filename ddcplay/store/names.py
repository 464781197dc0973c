"""Host names become directory names: an inventory may call a host anything, a file system allows less.

A name that is safe everywhere stays as it is. Any other is made safe and gets a mark made of its own digest,
so two hosts never share a directory and the same host gets the same name in every new experiment. The map
itself is kept in table `host` (design §6), so a later change of these rules moves no directory.
"""

from __future__ import annotations

import hashlib
import re
import threading
import unicodedata
from collections.abc import Collection, Iterable, Mapping

MAX_CHARACTERS = 80  # leaves room for the data directory and the probe's name below Windows' 260
MAX_BYTES = (
    160  # ext4, APFS and eCryptfs count bytes; 143 + suffixes is eCryptfs' limit for a whole component
)

_RESERVED = frozenset(
    {"con", "prn", "aux", "nul", "conin$", "conout$", "clock$"}
    | {f"{device}{digit}" for device in ("com", "lpt") for digit in "0123456789¹²³"}
)
_OURS = re.compile(r"experiment\.db.*|.*\.(trace|html?|json|csv|prom|db|db-wal|db-shm|db-journal|lock|tmp)")
_SAFE_PUNCTUATION = frozenset("-_.")


def collision_key(directory: str) -> str:
    """Return what a file system that ignores case and Unicode form sees of a name."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", directory).casefold())


def directory_name(host: str, taken: Collection[str] = frozenset()) -> str:
    """Choose the directory name of a host.

    Args:
        host: inventory name, any text.
        taken: `collision_key` of the names in use.

    Returns:
        A single path component that every supported file system accepts and tells from those in `taken`.
    """
    plain = _made_safe(host)
    if plain == host and _fits(plain) and collision_key(plain) not in taken:
        return plain
    for attempt in range(1_000_000):
        candidate = _marked(plain, host, attempt)
        if collision_key(candidate) not in taken:
            return candidate
    raise AssertionError("a million digests cannot all be taken")


def _made_safe(host: str) -> str:
    """Replace what some file system refuses; never empty, never reserved, never hidden."""
    normal = unicodedata.normalize("NFC", host)
    kept = "".join(c if c.isalnum() or c in _SAFE_PUNCTUATION else "_" for c in normal)
    kept = kept.rstrip(". ")
    if not kept or kept[0] in ".-":  # hidden files are ours; a leading dash is an option to every tool
        kept = "_" + kept.lstrip(".")
    stem = kept.split(".", 1)[0]
    if {stem.casefold(), collision_key(stem)} & _RESERVED:  # NFKC turns COM¹ into com1
        kept = "_" + kept
    if _OURS.fullmatch(collision_key(kept)):
        kept += "_"
    return kept


def _fits(name: str) -> bool:
    return len(name) <= MAX_CHARACTERS and len(name.encode("utf-8", "surrogatepass")) <= MAX_BYTES


def _marked(plain: str, host: str, attempt: int) -> str:
    seed = f"{attempt or ''}{host}".encode("utf-8", "surrogatepass")
    mark = "-" + hashlib.blake2b(seed, digest_size=5).hexdigest()
    while not _fits(plain + mark):
        plain = plain[:-1]
    return plain.rstrip(". ") + mark


class HostNames:
    """Which directory each host has; thread-safe.

    Args:
        directories: host → directory, as recorded.
    """

    def __init__(self, directories: Mapping[str, str]) -> None:
        self._directories = dict(directories)
        self._taken = {collision_key(name) for name in directories.values()}
        self._lock = threading.Lock()

    def of(self, host: str) -> str | None:
        """Return a host's directory, None for one never seen."""
        return self._directories.get(host)

    def fresh(self, hosts: Iterable[str]) -> dict[str, str]:
        """Choose directories for hosts not seen before; the caller writes their rows."""
        found = {}
        with self._lock:
            for host in hosts:
                if host not in self._directories:
                    name = directory_name(host, self._taken)
                    self._taken.add(collision_key(name))
                    self._directories[host] = found[host] = name
        return found
