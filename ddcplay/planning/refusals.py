"""What several plays of one run may not be together, and flags that fit none of them."""

from __future__ import annotations

from collections.abc import Sequence

from ddcplay.errors import UsageError
from ddcplay.model.plan import Plan
from ddcplay.model.playbook import Play

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
