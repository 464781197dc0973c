"""A playbook as it was read: validated in shape, not yet rendered for any host."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from ddcplay.errors import Place
from ddcplay.model.alert import Severity
from ddcplay.model.inventory import SecretRef
from ddcplay.model.result import Outcome


class Unsafe(str):
    """Text written with `!unsafe`: taken as it is, never a template (design §3)."""

    __slots__ = ()


class PingMethod(StrEnum):
    """How the sweep looks for hosts."""

    AUTO = "auto"
    TCP = "tcp"
    ICMP = "icmp"
    IDENTIFY = "identify"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class PingPolicy:
    """How the pool is swept before an iteration's visits.

    Args:
        method: `auto` is TCP first with ICMP as further evidence.
        timeout_s: per try, in seconds.
        attempts: tries per host, at least 1.
    """

    method: PingMethod = PingMethod.AUTO
    timeout_s: float = 0.3
    attempts: int = 2


@dataclass(frozen=True, slots=True)
class Blackout:
    """A daily window in which no visit starts; may pass midnight.

    Args:
        start_minute: minutes after local midnight, 0 to 1439.
        end_minute: minutes after local midnight, 0 to 1439; at or below `start_minute` it
            ends on the next day.
        weekdays: 0 = Monday … 6 = Sunday, of the day on which the window starts.
    """

    start_minute: int
    end_minute: int
    weekdays: frozenset[int] = frozenset(range(7))


@dataclass(frozen=True, slots=True)
class Schedule:
    """When iterations start. Without `every_s`, `cron` and `single_shot` it is one pass.

    Args:
        every_s: start-to-start, at least 1 s.
        min_gap_s: least pause when an iteration overran.
        align: start on multiples of `every_s` since local midnight of the play's time zone.
        iterations: how many iterations this run makes, None for no limit.
        until_s: the experiment ends this long after it began, None for never.
        blackout: windows with no visits.
        cron: a cron expression of five fields, in the play's time zone.
        single_shot: seconds from one sweep of the hosts that owe to the next, and seconds after which a debt
            is given up (None for never).
    """

    every_s: float | None = None
    min_gap_s: float = 0.0
    align: bool = False
    iterations: int | None = None
    until_s: float | None = None
    blackout: tuple[Blackout, ...] = ()
    cron: str | None = None
    single_shot: tuple[float, float | None] | None = None

    @property
    def one_pass(self) -> bool:
        """Say whether the play makes one pass over the pool and stops."""
        return self.every_s is None and self.cron is None and self.single_shot is None


@dataclass(frozen=True, slots=True)
class FilterEntry:
    """One entry of a filter chain as written; its options were validated by its class.

    Args:
        name: a built-in or plug-in, `FILE.py:Class` or `package.module:Class`.
        options: as written; their templates are rendered at record time.
        on: outcomes that enter it.
        label: unique in the chain and stable when others are added: the name, `#2` … for a second one.
        place: where it stands.
        file: of `FILE.py:Class`, found beside the playbook or in the project root; empty otherwise.
        builtin: it runs in the pipeline; others run in the child process.
    """

    name: str
    options: object = field(default=None, repr=False)
    on: tuple[Outcome, ...] = (Outcome.OK,)
    label: str = ""
    place: Place = field(default_factory=lambda: Place(""))
    file: str = ""
    builtin: bool = True


@dataclass(frozen=True, slots=True)
class Absent:
    """A host that was not seen on for so long is an alert; else being off is none.

    Args:
        for_s: seconds since it was last seen on (or since the experiment first asked for it).
        of: group or pattern; empty for all hosts of the play.
        severity: of the alert.
        place: where its group is written, else the rule.
    """

    for_s: float
    of: str = ""
    severity: Severity = Severity.WARNING
    place: Place | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Vanish:
    """Many hosts of a group that were on and are not any more, at once: one alert instead of many.

    Args:
        over_pct: percent of those that were on in the iteration before.
        of: group or pattern; empty for each room by itself.
        active: cron expression (in the play's time zone) of the minutes in which it counts; None for always.
        severity: of the alert.
        place: where its group is written, else the rule.
    """

    over_pct: float
    of: str = ""
    active: str | None = None
    severity: Severity = Severity.CRITICAL
    place: Place | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class AlertPolicy:
    """How people are told of a play's alerts (`alerts:`).

    Args:
        email_to: addresses, none for no mail.
        attach: `trace` adds the trace lines since the last digest.
        notify: Apprise addresses that get each digest, too.
        repeat_s: seconds between reminders while an alert fires, None for none.
        group_wait_s: a digest waits this long for company, counted from its oldest event.
        absent: None unless asked for.
        vanish: None unless asked for.
        max_hosts: hosts listed by name in one group of a digest, the rest is counted.
        max_attachments: bytes of all attachments of one mail.
    """

    email_to: tuple[str, ...] = ()
    attach: tuple[str, ...] = ()
    notify: tuple[SecretRef, ...] = ()
    repeat_s: float | None = 4 * 3600.0
    group_wait_s: float = 0.0
    absent: Absent | None = None
    vanish: Vanish | None = None
    max_hosts: int = 20
    max_attachments: int = 5 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class ReportPolicy:
    """When and where reports go (`report:`).

    Args:
        every_s: seconds from one report to the next.
        file: HTML file in the experiment's directory, empty for none.
        email_to: addresses, none for no mail.
        attach: `trace` and `report` (the HTML file).
    """

    every_s: float
    file: str = ""
    email_to: tuple[str, ...] = ()
    attach: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ProbeEntry:
    """One probe of a play as written, with `defaults` merged in, nothing rendered.

    Args:
        name: unique in the play, file-name safe.
        kind: `command`, `powershell`, … the key that says what to run.
        body: the value of that key: text, or a mapping.
        options: every other probe key that was written or defaulted, unrendered (key → value).
        when: expressions, all of which must hold.
        tags: names for `--tags` and `--skip-tags`.
        vars: the probe's own variables.
        template: False leaves the probe's text as it is.
        every_s: least seconds between two attempts that reached a host, None for every iteration.
        filters: its chain, in order.
        place: where the probe stands.
        places: key → where its value stands, for errors after rendering.
    """

    name: str
    kind: str
    body: object
    options: Mapping[str, object] = field(default_factory=dict)
    when: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    vars: Mapping[str, object] = field(default_factory=dict)
    template: bool = True
    every_s: float | None = None
    filters: tuple[FilterEntry, ...] = ()
    place: Place = field(default_factory=lambda: Place(""))
    places: Mapping[str, Place] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Play:
    """One pattern, one schedule, some probes; its life is an experiment.

    Args:
        name: as written.
        hosts: one pattern text (a list is joined with `:`).
        experiment: the experiment's name (`experiment:` or the slug of `name`).
        probes: in order.
        vars: the play's variables with `vars_files` merged over them.
        timezone: IANA name, of the schedule and of reports.
        schedule: when iterations start.
        ping: how the pool is swept.
        concurrency: visits in flight.
        late_sweep: silent hosts are swept once more before a periodic iteration closes.
        connect_timeout_s: counts inside the first attempt's budget.
        visit_timeout_s: None = sum of the probes' timeouts + connect.
        rooms: pattern list by which reports group hosts; empty = each host's deepest group.
        vars_files: file as written → names of the variables it brought, for warnings.
        alerts: how people are told.
        report: periodic reports, None for none.
        place: where the play stands.
    """

    name: str
    hosts: str
    experiment: str
    probes: tuple[ProbeEntry, ...]
    vars: Mapping[str, object] = field(default_factory=dict)
    timezone: str = "UTC"
    schedule: Schedule = field(default_factory=Schedule)
    ping: PingPolicy = field(default_factory=PingPolicy)
    concurrency: int = 100
    late_sweep: bool = True
    connect_timeout_s: float = 10.0
    visit_timeout_s: float | None = None
    rooms: tuple[str, ...] = ()
    vars_files: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    alerts: AlertPolicy = field(default_factory=AlertPolicy)
    report: ReportPolicy | None = None
    place: Place = field(default_factory=lambda: Place(""))


@dataclass(frozen=True, slots=True)
class Playbook:
    """A file of plays.

    Args:
        path: as the user named it.
        text: the file's text, kept for provenance (table `playbook`).
        plays: in order; experiment names are unique within the file.
    """

    path: str
    text: str
    plays: tuple[Play, ...]
