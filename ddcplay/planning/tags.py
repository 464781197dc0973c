"""Which probes `--tags` and `--skip-tags` leave, by Ansible's rules (`always never all tagged untagged`)."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from ddcplay.model.playbook import ProbeEntry

_SPECIAL = frozenset({"all", "always", "never", "tagged", "untagged"})


def is_selected(own: Collection[str], tags: Collection[str], skip_tags: Collection[str]) -> bool:
    """Say whether a probe runs.

    Args:
        own: the probe's tags.
        tags: `--tags`; empty means `all`.
        skip_tags: `--skip-tags`.
    """
    names = set(own) or {"untagged"}
    tagged = names != {"untagged"}
    wanted = set(tags) or {"all"}
    unwanted = set(skip_tags)
    return _wanted(names, wanted, tagged=tagged) and not _unwanted(names, unwanted, tagged=tagged)


def _wanted(names: set[str], wanted: set[str], *, tagged: bool) -> bool:
    if "always" in names or names & wanted:
        return True
    return "never" not in names and ("all" in wanted or ("tagged" in wanted and tagged))


def _unwanted(names: set[str], unwanted: set[str], *, tagged: bool) -> bool:
    if names & unwanted or ("tagged" in unwanted and tagged):
        return True
    return "all" in unwanted and "always" not in names


def unknown_tags(entries: Iterable[ProbeEntry], asked: Collection[str]) -> tuple[str, ...]:
    """Return the tags that were asked for and that no probe has, in the order asked."""
    known = {tag for entry in entries for tag in entry.tags} | _SPECIAL
    return tuple(tag for tag in asked if tag not in known)
