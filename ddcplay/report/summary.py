"""From counts to what a person wants to know: what to do, how much was collected, who fails, who is slow."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise

from ddcplay.model.alert import AlertUpdate, Severity
from ddcplay.model.report import AttemptCount, HostPresence, IterationSpan, ReportData
from ddcplay.model.result import REASONS, Outcome, Reason
from ddcplay.report.advice import ADVICE, NEVER_ON, Advice, what_to_do
from ddcplay.report.figures import (
    Coverage,
    Gap,
    Offender,
    ProbeLine,
    ReasonLine,
    SlowHost,
    Summary,
    Task,
)

OFTEN = 3
"""So many ends of a passing kind (timeout, reset) make a task, if they are also `OFTEN_PCT` of all."""
OFTEN_PCT = 10.0
LONG_ENOUGH = 10
"""A host that was asked in fewer iterations is not called absent."""
TOP = 10


def summarise(data: ReportData) -> Summary:
    """Draw the conclusions from a period's counts; pure."""
    rooms = dict(data.rooms)
    last = data.iterations[-1] if data.iterations else None
    return Summary(
        experiment=data.experiment,
        play=data.play,
        since=data.iterations[0].started_at if data.iterations else float(data.since),
        until=(last.closed_at or last.started_at) if last else float(data.until),
        timezone=data.timezone,
        iterations=len(data.iterations),
        coverage=_coverage(data.presence),
        tasks=_tasks(data),
        probes=_probes(data.counts),
        reasons=_reasons(data.counts),
        offenders=_offenders(data.counts, rooms),
        slowest=_slowest(data.counts, rooms),
        alerts=_worst_first(data.alerts),
        gaps=gaps_of(data.iterations),
        presence=data.presence,
        rooms=rooms,
    )


def gaps_of(iterations: Sequence[IterationSpan]) -> tuple[Gap, ...]:
    """Find where slots of the schedule passed without an iteration."""
    return tuple(
        Gap(before.started_at, after.started_at, after.missed)
        for before, after in pairwise(iterations)
        if after.missed
    )


def _coverage(presence: Sequence[HostPresence]) -> Coverage:
    return Coverage(
        hosts=sum(host.asked > 0 for host in presence),
        asked=sum(host.asked for host in presence),
        on=sum(host.on for host in presence),
        collected=sum(host.collected for host in presence),
    )


def _tasks(data: ReportData) -> tuple[Task, ...]:
    order = {host.host: rank for rank, host in enumerate(data.presence)}
    tasks = [*_failing_now(data.counts, order), *_absent(data.presence)]
    return tuple(sorted(tasks, key=lambda task: (task.rank, -len(task.hosts))))


def _failing_now(counts: Iterable[AttemptCount], order: Mapping[str, int]) -> list[Task]:
    """Make a task of each trouble that was there when its hosts were last reached."""
    by_pair: dict[tuple[str, str], list[AttemptCount]] = defaultdict(list)
    for count in counts:
        # A machine that is off says nothing about its trouble, so its last reached attempt decides.
        if count.outcome is not Outcome.SKIPPED and count.reason is not Reason.NO_ANSWER:
            by_pair[count.host, count.probe].append(count)
    found: dict[Reason, dict[str, AttemptCount]] = defaultdict(dict)
    for (host, _probe), ends in by_pair.items():
        newest = max(ends, key=lambda end: end.last_id)
        advice = None if newest.reason is None else ADVICE.get(newest.reason)
        if newest.reason is not None and advice is not None and _worth_it(advice, newest, ends):
            found[newest.reason].setdefault(host, newest)
    return [_task(ADVICE[reason], hosts, order) for reason, hosts in found.items()]


def _worth_it(advice: Advice, newest: AttemptCount, ends: Sequence[AttemptCount]) -> bool:
    tried = sum(end.count for end in ends)
    return advice.lasting or (newest.count >= OFTEN and 100 * newest.count >= OFTEN_PCT * tried)


def _task(advice: Advice, hosts: Mapping[str, AttemptCount], order: Mapping[str, int]) -> Task:
    names = tuple(sorted(hosts, key=lambda host: (order.get(host, len(order)), host)))
    # The newest host's own words are the most useful ones; its hint beats our general advice.
    newest = max(hosts.values(), key=lambda count: count.last_id)
    return Task(advice.title, newest.hint or advice.fix, names, newest.detail, advice.rank)


def _absent(presence: Sequence[HostPresence]) -> list[Task]:
    names = tuple(host.host for host in presence if host.asked >= LONG_ENOUGH and not host.on)
    return [Task(NEVER_ON.title, NEVER_ON.fix, names, rank=NEVER_ON.rank)] if names else []


def _probes(counts: Sequence[AttemptCount]) -> tuple[ProbeLine, ...]:
    lines = []
    for probe in dict.fromkeys(count.probe for count in counts):
        mine = [count for count in counts if count.probe == probe]
        number = {outcome: sum(c.count for c in mine if c.outcome is outcome) for outcome in Outcome}
        seconds = sum(c.elapsed_s for c in mine if c.outcome is Outcome.OK)
        done = number[Outcome.OK]
        lines.append(
            ProbeLine(
                probe,
                done,
                number[Outcome.FAILED],
                number[Outcome.UNAVAILABLE],
                number[Outcome.SKIPPED],
                seconds / done if done else None,
            )
        )
    return tuple(lines)


def _reasons(counts: Iterable[AttemptCount]) -> tuple[ReasonLine, ...]:
    by_reason: dict[Reason, list[AttemptCount]] = defaultdict(list)
    for count in counts:
        if count.reason is not None:
            by_reason[count.reason].append(count)
    lines = []
    for outcome in (Outcome.FAILED, Outcome.UNAVAILABLE, Outcome.SKIPPED):
        mine = [_reason(outcome, reason, by_reason[reason]) for reason in REASONS[outcome] & by_reason.keys()]
        lines += sorted(mine, key=lambda line: (-line.attempts, line.reason))
    return tuple(lines)


def _reason(outcome: Outcome, reason: Reason, counts: Sequence[AttemptCount]) -> ReasonLine:
    hosts: Counter[str] = Counter()
    for count in counts:
        hosts[count.host] += count.count
    newest = max(counts, key=lambda count: count.last_id)
    return ReasonLine(
        outcome=outcome,
        reason=reason,
        attempts=hosts.total(),
        hosts=tuple(host for host, _number in hosts.most_common()),
        advice=newest.hint or what_to_do(reason),
        example=newest.detail,
    )


def _offenders(counts: Iterable[AttemptCount], rooms: Mapping[str, str]) -> tuple[Offender, ...]:
    reached: Counter[str] = Counter()
    failed: dict[str, Counter[Reason]] = defaultdict(Counter)
    for count in counts:
        if count.outcome in (Outcome.OK, Outcome.FAILED):
            reached[count.host] += count.count
        if count.outcome is Outcome.FAILED and count.reason is not None:
            failed[count.host][count.reason] += count.count
    worst = sorted(failed, key=lambda host: (-failed[host].total(), host))[:TOP]
    return tuple(
        Offender(
            host, rooms.get(host, ""), failed[host].total(), reached[host], failed[host].most_common(1)[0][0]
        )
        for host in worst
    )


def _slowest(counts: Sequence[AttemptCount], rooms: Mapping[str, str]) -> tuple[SlowHost, ...]:
    done = [count for count in counts if count.outcome is Outcome.OK]
    runs: Counter[str] = Counter()
    seconds: dict[str, float] = defaultdict(float)
    for count in done:
        runs[count.probe] += count.count
        seconds[count.probe] += count.elapsed_s
    slow = [
        SlowHost(
            host=count.host,
            room=rooms.get(count.host, ""),
            probe=count.probe,
            runs=count.count,
            mean_s=count.elapsed_s / count.count,
            slowest_s=count.slowest_s,
            pool_s=seconds[count.probe] / runs[count.probe],
        )
        for count in done
    ]
    above = (host for host in slow if host.mean_s > host.pool_s)
    return tuple(sorted(above, key=lambda host: (-host.mean_s, host.host))[:TOP])


def _worst_first(alerts: Iterable[AlertUpdate]) -> tuple[AlertUpdate, ...]:
    severities = list(Severity)
    return tuple(
        sorted(
            alerts,
            key=lambda alert: (-severities.index(alert.severity), alert.identity.name, alert.identity.host),
        )
    )
