"""From a play and its hosts to a `Plan`: everything rendered, validated and free of secrets.

Pure: no file, no socket, no clock. `plan`, `check` and `run` all come through here, so what `plan` shows is
what `run` does. Mistakes of all hosts are collected and told once each.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from ddcplay.errors import ConfigError, Place, Problem, TemplateError
from ddcplay.model.inventory import Host
from ddcplay.model.plan import HostPlan, Plan, ProbeSpec, Skip, Target
from ddcplay.model.playbook import Play, ProbeEntry
from ddcplay.model.result import Reason
from ddcplay.planning.connection import build_target, ignored_warnings
from ddcplay.planning.record_variables import RecordVariables
from ddcplay.planning.tags import is_selected, unknown_tags
from ddcplay.planning.variables import (
    MAGIC_NAMES,
    connection_variables,
    host_scope,
    probe_scope,
)
from ddcplay.templating.environment import Scope, render_value
from ddcplay.templating.expression import Expression
from ddcplay.templating.values import is_template

BuildProbe = Callable[[ProbeEntry, Mapping[str, object], str], ProbeSpec]
"""Turns a probe, its rendered values (the body under its kind's key, and every option) and the host's name
into what a visit runs; raises `ConfigError`."""

_CODE_KINDS = frozenset({"command", "powershell", "wmi"})
_SECRET_KEYS = frozenset({"env", "stdin"})
_HOSTS_SHOWN = 3
_NOTHING: Mapping[str, Mapping[str, object]] = MappingProxyType({})


def _never(_host: str) -> bool:
    return False


def plan_play(  # noqa: PLR0913 - what planning may not read itself is handed in, each under its name
    play: Play,
    hosts: Sequence[Host],
    *,
    room_of: Callable[[str], str],
    build_probe: BuildProbe,
    extra_vars: Mapping[str, object],
    tags: Collection[str] = (),
    skip_tags: Collection[str] = (),
    static: Mapping[str, Mapping[str, object]] = _NOTHING,
    per_host_secret: Callable[[str], bool] = _never,
) -> Plan:
    """Render a play for its hosts.

    Args:
        play: as it was read.
        hosts: the hosts its pattern chose, in inventory order.
        room_of: host name → the group that reports show it under.
        build_probe: validates rendered values.
        extra_vars: `-e`; stands above every other variable.
        tags: `--tags`.
        skip_tags: `--skip-tags`.
        static: host name → its last stored static facts, seen by `when` as `static`, never as templates.
        per_host_secret: says whether a host's password is its own.

    Returns:
        The plan; a probe without any template is one object shared by all hosts.

    Raises:
        ConfigError: every mistake found, each once, with the number of hosts it concerns.
    """
    findings = _Findings(len(hosts))
    entries = [entry for entry in play.probes if is_selected(entry.tags, tags, skip_tags)]
    steps = [_prepare(entry, findings) for entry in entries]
    common = connection_variables(play.vars) | connection_variables(extra_vars)
    filtered = any(entry.filters for entry in entries)
    names_used: set[str] = set()
    plans: list[HostPlan] = []
    for host in hosts:
        scope = host_scope(play, host, extra_vars, static.get(host.name, {}))
        variables = connection_variables(host.vars) | common
        names_used.update(variables)
        target = _target(host, variables, scope, per_host_secret, findings)
        probes, skips = _host_probes(steps, host, scope, build_probe, findings)
        if target is not None:
            own = RecordVariables(scope) if filtered else {}
            room = room_of(host.name)
            plans.append(
                HostPlan(host.name, host.groups, room, target, tuple(probes), tuple(skips), vars=own)
            )
    findings.raise_if_any()
    warnings = (
        *ignored_warnings(names_used),
        *_warnings(play, hosts, extra_vars, entries, (*tags, *skip_tags)),
    )
    return Plan(play.experiment, tuple(entry.name for entry in entries), tuple(plans), warnings)


@dataclass(slots=True)
class _Step:
    """A probe on its way through all hosts: what can be done once is kept here."""

    entry: ProbeEntry
    conditions: tuple[Expression, ...]
    per_host: bool
    shared: ProbeSpec | None = None
    broken: bool = False


def _prepare(entry: ProbeEntry, findings: _Findings) -> _Step:
    conditions = tuple(Expression(text, entry.places.get("when", entry.place)) for text in entry.when)
    code = entry.kind in _CODE_KINDS
    per_host = entry.template and (is_template(entry.body, code=code) or is_template(entry.options))
    step = _Step(entry, conditions, per_host)
    for condition in conditions:
        try:
            condition.check()
        except TemplateError as error:
            findings.add(_as_problem(error, entry, "when"))
            step.broken = True
    return step


def _host_probes(
    steps: Sequence[_Step], host: Host, scope: Scope, build_probe: BuildProbe, findings: _Findings
) -> tuple[list[ProbeSpec], list[Skip]]:
    probes: list[ProbeSpec] = []
    skips: list[Skip] = []
    for step in steps:
        if step.broken:
            continue
        if step.shared is not None and not step.conditions:
            probes.append(step.shared)
            continue
        own = probe_scope(scope, step.entry)
        try:
            refused = _refused_by(step, own)
            if refused:
                skips.append(Skip(step.entry.name, Reason.WHEN, refused))
            else:
                probes.append(_built(step, own, host, build_probe))
        except ConfigError as error:
            for problem in error.problems:
                findings.add(problem, host.name)
            # Without templates the same mistake waits on every host.
            step.broken = not step.per_host
    return probes, skips


def _refused_by(step: _Step, scope: Scope) -> str:
    """Return the first condition that does not hold, empty when all do."""
    for condition in step.conditions:
        try:
            if not condition.evaluate(scope):
                return condition.text
        except TemplateError as error:
            raise ConfigError([_as_problem(error, step.entry, "when")]) from None
    return ""


def _built(step: _Step, scope: Scope, host: Host, build_probe: BuildProbe) -> ProbeSpec:
    if step.shared is not None:
        return step.shared
    entry = step.entry
    written = {entry.kind: entry.body, **entry.options}
    rendered = _rendered(entry, written, scope) if entry.template else written
    spec = build_probe(entry, rendered, host.name)
    if not step.per_host:
        step.shared = spec
    return spec


def _rendered(entry: ProbeEntry, written: Mapping[str, object], scope: Scope) -> dict[str, object]:
    rendered: dict[str, object] = {}
    problems: list[Problem] = []
    for key, value in written.items():
        code = key == entry.kind and key in _CODE_KINDS
        try:
            rendered[key] = render_value(value, scope, code=code, secrets=key in _SECRET_KEYS)
        except TemplateError as error:
            problems.append(_as_problem(error, entry, key))
    if problems:
        raise ConfigError(problems)
    return rendered


def _as_problem(error: TemplateError, entry: ProbeEntry, key: str) -> Problem:
    place = entry.places.get(key, entry.place)
    return Problem(place, f"probe {entry.name!r}, {key}: {error.message}", error.hint)


def _target(
    host: Host,
    variables: Mapping[str, object],
    scope: Scope,
    per_host_secret: Callable[[str], bool],
    findings: _Findings,
) -> Target | None:
    try:
        return build_target(
            host, variables, lambda name, _: scope.value(name), per_host_secret=per_host_secret
        )
    except ConfigError as error:
        for problem in error.problems:
            findings.add(problem, host.name)
        return None


def _warnings(
    play: Play,
    hosts: Sequence[Host],
    extra_vars: Mapping[str, object],
    entries: Sequence[ProbeEntry],
    asked_tags: Sequence[str],
) -> list[str]:
    warnings: list[str] = []
    unknown = unknown_tags(play.probes, asked_tags)
    if unknown:
        warnings.append(f"play {play.name!r}: no probe has the tag {', '.join(map(repr, unknown))}")
    if play.probes and not entries:
        warnings.append(f"play {play.name!r}: the tags leave no probe")
    written = [("vars", play.vars), ("-e", extra_vars)]
    written += [(f"probe {entry.name!r}", entry.vars) for entry in entries]
    written += [("the inventory", host.vars) for host in hosts]
    hidden = dict.fromkeys(
        (name, where) for where, names in written for name in sorted(MAGIC_NAMES & names.keys())
    )
    warnings += [f"variable {name!r} ({where}) is never seen: the name is ours" for name, where in hidden]
    return warnings


@dataclass(slots=True)
class _Findings:
    """Mistakes by place and message, each with the hosts it was found on."""

    host_count: int
    _found: dict[tuple[Place, str], tuple[Problem, list[str]]] = field(default_factory=dict)

    def add(self, problem: Problem, host: str = "") -> None:
        """Note a mistake; the host's name is taken out of the message, so that equal mistakes meet."""
        message = problem.message
        if host:
            message = message.replace(f" on host {host!r}", "").replace(f" on host {host}", "")
        _, hosts = self._found.setdefault((problem.place, message), (problem, []))
        if host and (not hosts or hosts[-1] != host):
            hosts.append(host)

    def raise_if_any(self) -> None:
        """End planning when anything is wrong."""
        if self._found:
            raise ConfigError(
                [
                    Problem(place, f"{message}{self._on(hosts)}", problem.hint)
                    for (place, message), (problem, hosts) in self._found.items()
                ]
            )

    def _on(self, hosts: Sequence[str]) -> str:
        if not hosts:
            return ""
        if len(hosts) == 1:
            return f" (on host {hosts[0]})"
        if len(hosts) == self.host_count:
            return f" (on all {len(hosts)} hosts)"
        more = ", …" if len(hosts) > _HOSTS_SHOWN else ""
        return f" (on {len(hosts)} hosts: {', '.join(hosts[:_HOSTS_SHOWN])}{more})"
