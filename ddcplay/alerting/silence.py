"""Silences: which alerts one covers, and how people write them (`name=low_disk host=pc* 2h`)."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from fnmatch import fnmatchcase

from ddcplay.errors import UsageError
from ddcplay.model.alert import AlertIdentity, Severity, Silence
from ddcplay.units import parse_duration

MATCHER_KEYS = ("name", "host", "key", "severity", "group")
_BETWEEN = re.compile(rf"\s+(?=(?:{'|'.join(MATCHER_KEYS)})=|\d+(?:\.\d+)?(?:ms|[smhdw])$)")
"""Where one word of a shell holds several of ours; a glob may hold spaces."""
_HOW = f"write matchers as KEY=GLOB, such as  name=low_disk host=pc*  (keys: {', '.join(MATCHER_KEYS)})"


@dataclass(frozen=True, slots=True)
class Wish:
    """A silence as a person wrote it.

    Args:
        matchers: key → glob, at least one; all must match.
        for_s: seconds, None when no duration was written.
    """

    matchers: tuple[tuple[str, str], ...]
    for_s: float | None = None


def covers(
    silence: Silence, identity: AlertIdentity, severity: Severity, groups: Collection[str], at: float
) -> bool:
    """Say whether a silence covers an alert now.

    Args:
        silence: from when until when, and what; globs know `*`, `?` and `[…]`, in either case.
        identity: of the alert.
        severity: of its rule.
        groups: of its host; one of them must match where the silence names a group.
        at: UTC Unix seconds.
    """
    if not silence.starts_at <= at < silence.ends_at or not silence.matchers:
        return False
    single = {
        "name": identity.name,
        "host": identity.host,
        "key": identity.key,
        "severity": severity.value,
    }
    return all(
        any(_like(group, glob) for group in groups) if key == "group" else _like(single.get(key), glob)
        for key, glob in silence.matchers
    )


def covering(
    silences: Iterable[Silence],
    identity: AlertIdentity,
    severity: Severity,
    groups: Collection[str],
    at: float,
) -> Silence | None:
    """Return the silence that covers an alert for longest, None when none does."""
    found = (each for each in silences if covers(each, identity, severity, groups, at))
    return max(found, key=lambda each: each.ends_at, default=None)


def parse_wish(words: Sequence[str]) -> Wish:
    """Read matchers and at most one duration from the words of a command line.

    Args:
        words: such as `name=low_disk`, `host=pc*`, `2h`; one word may hold several, separated by spaces.

    Raises:
        UsageError: a word is neither, a key is unknown or written twice, or there is no matcher.
    """
    matchers: dict[str, str] = {}
    for_s: float | None = None
    for word in (piece for each in words for piece in _BETWEEN.split(each.strip())):
        key, equals, glob = word.partition("=")
        if not equals:
            if for_s is not None:
                raise UsageError(f"{word!r} is no matcher, and there is a duration already", _HOW)
            for_s = _duration(word)
            continue
        key = key.strip().lower()
        _check_key(key, word)
        if key in matchers:
            hint = "all matchers must match; make two silences, or one glob that fits both"
            raise UsageError(f"{key} is written twice: {matchers[key]!r} and {glob!r}", hint)
        matchers[key] = glob.strip()
    if not matchers:
        raise UsageError("a silence needs to know what it is about", f"{_HOW}; name=* is every alert")
    return Wish(tuple(matchers.items()), for_s)


def _check_key(key: str, word: str) -> None:
    if key in MATCHER_KEYS:
        return
    close = get_close_matches(key, MATCHER_KEYS, n=1)
    near = f"did you mean {close[0]!r}? " if close else ""
    raise UsageError(f"{word!r}: a silence cannot match by {key!r}", near + _HOW)


def _duration(word: str) -> float:
    try:
        return parse_duration(word)
    except ValueError as error:
        raise UsageError(f"{word!r} is neither a matcher nor a duration: {error}", _HOW) from None


def _like(value: str | None, glob: str) -> bool:
    return value is not None and fnmatchcase(value.casefold(), glob.casefold())
