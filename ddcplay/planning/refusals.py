"""What several plays of one run may not be together, and flags that fit none of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from ddcplay.errors import ConfigError, PatternError, Place, Problem, UsageError
from ddcplay.model.inventory import Inventory
from ddcplay.model.plan import Plan
from ddcplay.model.playbook import Play
from ddcplay.planning.pattern import select_hosts

Planned = Sequence[tuple[Play, Plan]]


def refuse_doubles(plays: Planned) -> None:
    """Refuse one experiment in two playbooks: it has one owner (design §9.9).

    Raises:
        UsageError: with the places of both.
    """
    seen: dict[str, Play] = {}
    for play, plan in plays:
        first = seen.setdefault(plan.experiment.casefold(), play)
        if first is not play:
            raise UsageError(
                f"experiment {plan.experiment!r} is run twice: {first.place} and {play.place}",
                "give each play an `experiment:` of its own, or name its playbook once",
            )


def refuse_unknown_tags(plays: Planned, tags: Sequence[str]) -> None:
    """Refuse `--tags` that choose nothing: a typo must not look like a run without failures.

    Raises:
        UsageError: with the tags there are.
    """
    if tags and not any(plan.probe_names for _, plan in plays):
        known = sorted({tag for play, _ in plays for entry in play.probes for tag in entry.tags})
        raise UsageError(
            f"no probe has the tag {', '.join(tags)}",
            f"tags of these playbooks: {', '.join(known) or 'none'}",
        )


def refuse_wrong_again(plays: Planned, again: Sequence[str]) -> None:
    """Refuse `--again` for what no single shot has.

    Raises:
        UsageError: with the probes that have debts.
    """
    known = {name for play, plan in plays if play.schedule.single_shot for name in plan.probe_names}
    unknown = [name for name in again if name not in known]
    if unknown:
        listed = ", ".join(sorted(known)) or "none; only plays with schedule: {single_shot: ...} have debts"
        raise UsageError(
            f"--again: no single shot of these playbooks has a probe {unknown[0]!r}", f"probes: {listed}"
        )


def refuse_unknown_groups(play: Play, inventory: Inventory) -> None:
    """Refuse rules about a group (`of:`) that the inventory does not have, or that has no host.

    Raises:
        ConfigError: every such rule, with its place.
    """
    problems = []
    for what, pattern, place in _rules_about_groups(play):
        try:
            select_hosts(inventory, pattern)
        except PatternError as error:
            problems.append(Problem(place, f"{what}, of: {error.message}", error.hint))
    if problems:
        raise ConfigError(problems)


def _rules_about_groups(play: Play) -> Iterator[tuple[str, str, Place]]:
    """Yield what each rule is called, its pattern, and where it stands."""
    for name, rule in (("absent", play.alerts.absent), ("vanish", play.alerts.vanish)):
        if rule is not None and rule.of:
            yield f"play {play.name!r}, {name}", rule.of, rule.place or play.place
    # A chain of `defaults` is the same object in every probe that has it.
    entries = {id(entry): entry for probe in play.probes for entry in probe.filters}
    for entry in entries.values():
        options = entry.options if entry.builtin and isinstance(entry.options, Mapping) else {}
        share = options.get("share")
        of = share.get("of") if isinstance(share, Mapping) else None
        if isinstance(of, str) and of:
            yield f"filter {entry.label!r}, share", of, entry.place
