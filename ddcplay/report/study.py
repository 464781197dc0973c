"""Everything the report of an experiment says, from counts and two streams; what shows it adds nothing."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from ddcplay.model.report import ReportData, UsageSample, Visit
from ddcplay.model.result import Outcome
from ddcplay.report.figures import Summary, Task
from ddcplay.report.machines import DiskTrouble, Machines, Uptimes
from ddcplay.report.summary import LONG_ENOUGH, summarise
from ddcplay.report.table1 import Column, Table1
from ddcplay.report.timeline import Timeline, Week, make_grid
from ddcplay.report.words import one_line, percent, plural, zone
from ddcplay.units import format_duration

DYING_RANK, FULL_RANK, UNUSED_RANK = 15, 55, 210


@dataclass(frozen=True, slots=True)
class Study:
    """A report before it is written.

    Args:
        summary: counts and tasks; the tasks that samples tell are among them.
        timeline: hosts by time.
        week: machines by hour of the week.
        rooms: room → its hosts, in inventory order; one room "" when nobody knows rooms.
        samples: of `w32probe`, 0 when the play does not have it.
        table1: columns, none without samples.
        uptimes: None without samples.
        disks: volumes that are nearly full or will be soon.
    """

    summary: Summary
    timeline: Timeline
    week: Week
    rooms: tuple[tuple[str, tuple[str, ...]], ...]
    samples: int = 0
    table1: tuple[Column, ...] = ()
    uptimes: Uptimes | None = None
    disks: tuple[DiskTrouble, ...] = field(default=())


def study(
    data: ReportData, visits: Iterable[Visit], samples: Iterable[UsageSample] = (), probe: str | None = None
) -> Study:
    """Read both streams once and draw the conclusions.

    Args:
        data: the counts of the period.
        visits: of the same period, in any order.
        samples: of the same period, in order of time for each host.
        probe: whose samples they are, for the share of attempts.
    """
    summary = summarise(data)
    timeline = Timeline(make_grid(data.iterations), [host.host for host in data.presence])
    week = Week(zone(data.timezone), data.iterations)
    for visit in timeline.add_visits(visits):
        if visit.on:
            week.add_on(visit.iteration)
    table, machines = Table1(), Machines()
    number = 0
    users: dict[str, int] = defaultdict(int)  # by host: samples with somebody logged on
    for sample in samples:
        number += 1
        table.add(sample.data)
        machines.add(sample)
        if sample.data.get("occupied") is True:
            users[sample.host] += 1
            timeline.add_occupied(sample.iteration)
            week.add_occupied(sample.iteration)
    rooms = _rooms(data)
    if not number:
        return Study(summary, timeline, week, rooms)
    attempts = sum(
        count.count for count in data.counts if count.probe == probe and count.outcome is not Outcome.SKIPPED
    )
    more = [*_dying(machines), *_full(machines.full_soon()), *_unused(data, rooms, users)]
    tasks = tuple(sorted((*summary.tasks, *more), key=lambda task: task.rank))
    return Study(
        replace(summary, tasks=tasks),
        timeline,
        week,
        rooms,
        number,
        table.columns(attempts),
        machines.uptimes(),
        machines.full_soon(),
    )


def _rooms(data: ReportData) -> tuple[tuple[str, tuple[str, ...]], ...]:
    room_of = dict(data.rooms)
    found: dict[str, list[str]] = {}
    for host in data.presence:
        found.setdefault(room_of.get(host.host, ""), []).append(host.host)
    return tuple((room, tuple(hosts)) for room, hosts in found.items())


def _dying(machines: Machines) -> Iterable[Task]:
    dying = machines.dying()
    if dying:
        host, disks = next(iter(dying.items()))
        yield Task(
            "a disk says that it will fail soon (SMART)",
            "save what is on it and replace it",
            tuple(dying),
            f"{host}: disk {', '.join(disks)}",
            DYING_RANK,
        )


def _full(disks: Sequence[DiskTrouble]) -> Iterable[Task]:
    if disks:
        yield Task(
            "a disk is nearly full, or will be within 30 days if it goes on like this",
            "free space or enlarge the volume",
            tuple(dict.fromkeys(disk.host for disk in disks)),
            "; ".join(map(disk_words, disks[:3])) + (f"; {len(disks) - 3} more" if len(disks) > 3 else ""),
            FULL_RANK,
        )


def disk_words(disk: DiskTrouble) -> str:
    """Write `pc1 C:: 4.2 % free, full in 12d03h`."""
    words = f"{disk.host} {one_line(disk.device, 40)}: {percent(disk.free_pct)} % free"
    return words if disk.full_in_s is None else f"{words}, full in {format_duration(disk.full_in_s)}"


def _unused(
    data: ReportData, rooms: Iterable[tuple[str, Sequence[str]]], users: dict[str, int]
) -> Iterable[Task]:
    """Find rooms in which machines were on and nobody ever logged on."""
    if len(data.iterations) < LONG_ENOUGH:
        return
    collected = {host.host: host.collected for host in data.presence}
    for room, hosts in rooms:
        on = sum(collected[host] for host in hosts)
        if room and on >= LONG_ENOUGH and not any(users.get(host) for host in hosts):
            yield Task(
                f"room {one_line(room, 80)} was not used: nobody logged on in {plural(on, 'visit')}",
                "switch the machines off, or use them for something else",
                tuple(hosts),
                rank=UNUSED_RANK,
            )
