"""Probe kind `w32probe`: the figures of the DDC paper's W32Probe, all by WQL over one connection.

No process is started on the target and no shell is opened. `data` is one flat object with a few lists; its
fields are those of `model.codebook`. User names are replaced here, before anything is handed on, so neither
the archive nor the database ever holds one (unless `users: name` asks for it).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import orjson

from ddcplay.errors import FaultError, UsageError
from ddcplay.model.codebook import SECTIONS, USERS, fields_of
from ddcplay.model.plan import ProbeSpec
from ddcplay.model.result import ProbeOutput, Reason
from ddcplay.probing import w32probe_fields as fields
from ddcplay.probing import w32probe_queries as ask
from ddcplay.probing.w32probe_queries import Query, queries_for
from ddcplay.probing.w32probe_rates import carried, since_last
from ddcplay.probing.w32probe_sessions import Naming, UsersKey, naming, needs_logons, sessions
from ddcplay.probing.w32probe_smart import is_complete, smart
from ddcplay.probing.w32probe_values import Rows
from ddcplay.transport.base import Connection, RowsLimitError
from ddcplay.units import Deadline

QUERY_S = 20.0
"""Most one query may take: a provider that hangs must not cost the others their turn."""


class W32Probe:
    """Asks what the chosen sections need, and makes one sample of it."""

    kind = "w32probe"

    def command_line(self, spec: ProbeSpec) -> str:
        """Return the queries as the target receives them, in order.

        Raises:
            UsageError: the options are none.
        """
        return "\n".join(_shown(query) for query in queries_for(_Options.of(spec).sections))

    def run(self, spec: ProbeSpec, connection: Connection, deadline: Deadline) -> ProbeOutput:
        """Ask every query; one that fails leaves its fields null and says why in `queries`."""
        options = _Options.of(spec)
        asking = _Asking(connection, deadline, spec.max_output_bytes)
        for query in queries_for(options.sections):
            if not query.when_needed or _is_needed(query, asking.answers):
                asking.ask(query)
        if not asking.answers:
            return asking.failure()
        data = _sample(options, asking)
        # What ended the asking early is told, with what came before it.
        return asking.failure(data) if asking.stopped_by else _output(data, asking.round_trips)

    def carried(self, data: object) -> dict[str, object]:
        """Return what `since_last` needs of this sample when the next one comes; see `w32probe_rates`."""
        return carried(data)

    def since_last(self, before: Mapping[str, object] | None, data: object) -> object:
        """Return a sample with its means since the sample before; see `w32probe_rates`."""
        return since_last(before, data)


@dataclass(frozen=True, slots=True)
class _Options:
    users: str
    sections: tuple[str, ...]
    key: bytes = field(repr=False)

    @classmethod
    def of(cls, spec: ProbeSpec) -> _Options:
        """Read the options of a probe; the playbook's reader checks the same, with places.

        Raises:
            UsageError: they are none.
        """
        body = {} if spec.body is None else spec.body
        known = isinstance(body, Mapping) and not set(body) - {"users", "sections"}
        users = body.get("users", USERS[0]) if isinstance(body, Mapping) else None
        written = body.get("sections", SECTIONS) if isinstance(body, Mapping) else ()
        sections = (written,) if isinstance(written, str) else tuple(written or ())
        if not known or users not in USERS or not sections or set(sections) - set(SECTIONS):
            raise UsageError(
                f"probe {spec.name}: these are no options of w32probe: {str(spec.body)[:80]}",
                f"users: {', '.join(USERS)}; sections: some of {', '.join(SECTIONS)}",
            )
        key = spec.options.get("users_key")
        if isinstance(key, UsersKey):
            key = key.value
        # Without the experiment's key a hash hides names from readers, but not from whoever can list them.
        weak = f"ddcplay w32probe {spec.options.get('experiment', spec.name)}".encode()
        chosen = tuple(section for section in SECTIONS if section in sections)
        return cls(str(users), chosen, key if isinstance(key, bytes) and key else weak)

    @property
    def naming(self) -> Naming:
        return naming(self.users, self.key)


@dataclass(slots=True)
class _Asking:
    """The queries of one visit: answers by query, and what each cost."""

    connection: Connection
    deadline: Deadline
    bytes_left: int
    answers: dict[str, Rows] = field(default_factory=dict)
    costs: list[dict[str, object]] = field(default_factory=list)
    faults: list[FaultError] = field(default_factory=list)
    stopped_by: FaultError | None = None
    denied: set[str] = field(default_factory=set)
    round_trips: int = 0

    def ask(self, query: Query) -> None:
        """Ask one query, unless the connection is lost or its namespace is closed to the account."""
        if self.stopped_by is not None:
            return self._noted(query, "not asked: the connection was lost or the time was up")
        if query.namespace in self.denied:
            # Windows takes seconds to refuse; it would refuse the same again.
            return self._noted(query, f"not asked: no access to {query.namespace}")
        clock = self.deadline.clock
        begun, trips = clock.monotonic(), self._trips()
        note, rows = None, None
        try:
            rows = self.connection.query(
                query.wql, self.deadline.capped(QUERY_S), query.namespace, max_bytes=max(2, self.bytes_left)
            )
        except FaultError as fault:
            note, rows = fault.message, fault.rows if isinstance(fault, RowsLimitError) else None
            self._judge(query, fault)
        if rows is not None:
            self.answers[query.name] = rows
            self.bytes_left -= len(orjson.dumps(rows))
        cost = self._trips() - trips
        self.round_trips += cost
        ms = round((clock.monotonic() - begun) * 1000, 1)
        self._noted(query, note, None if rows is None else len(rows), cost, ms)
        return None

    def failure(self, data: Mapping[str, object] | None = None) -> ProbeOutput:
        """Return the output of a visit whose queries all failed, or that was cut short."""
        told = self.stopped_by or self.faults[0]
        return ProbeOutput(
            stdout=b"" if data is None else _json(data),
            data=data,
            reason=Reason(told.reason),
            detail=told.message,
            hint=told.hint,
            connection_lost=told.connection_lost,
            round_trips=self.round_trips,
        )

    def _judge(self, query: Query, fault: FaultError) -> None:
        self.faults.append(fault)
        if (
            fault.connection_lost
            or self.deadline.expired()
            or fault.reason in {Reason.TRANSPORT, Reason.QUOTA}
        ):
            self.stopped_by = fault
        elif "denied" in fault.message and (query.namespace != ask.CIMV2 or not self.answers):
            # In root/cimv2 single classes may be closed; the first one asked is open to whoever reads any.
            self.denied.add(query.namespace)

    def _noted(
        self, query: Query, note: str | None, rows: int | None = None, trips: int = 0, ms: float = 0.0
    ) -> None:
        self.costs.append({"query": query.name, "rows": rows, "round_trips": trips, "ms": ms, "note": note})

    def _trips(self) -> int:
        counted = self.connection.facts().get("round_trips", 0)
        return counted if isinstance(counted, int) else 0


def _is_needed(query: Query, answers: Mapping[str, Rows]) -> bool:
    """Say whether the answers so far leave open what a query would tell."""
    if "smart" in query.sections:
        found = (answers.get(each.name) for each in (ask.DRIVES, ask.SMART_STATUS, ask.SMART_DATA))
        return not is_complete(*found)
    return needs_logons(answers.get(ask.DESKTOPS.name), answers.get(ask.COMPUTER.name))


def _sample(options: _Options, asking: _Asking) -> dict[str, object]:
    """Put the fields of the chosen sections together, in the codebook's order."""

    def rows(query: Query) -> Rows | None:
        return asking.answers.get(query.name)

    parts: dict[str, Callable[[], fields.Fields]] = {
        "identity": lambda: fields.identity(rows(ask.COMPUTER), rows(ask.PRODUCT), rows(ask.ADAPTERS)),
        "os": lambda: fields.operating_system(rows(ask.SYSTEM)),
        "boot": lambda: fields.boot(rows(ask.SYSTEM)),
        "cpu": lambda: fields.processors(rows(ask.PROCESSORS), rows(ask.CPU_COUNTERS), rows(ask.SYSTEM)),
        "memory": lambda: fields.memory(rows(ask.SYSTEM)),
        "disks": lambda: fields.volumes(rows(ask.VOLUMES)),
        "physical_disks": lambda: fields.drives(rows(ask.DRIVES)),
        "smart": lambda: smart(
            *map(rows, (ask.DRIVES, ask.SMART_STATUS, ask.SMART_DATA, ask.HEALTH, ask.RELIABILITY))
        ),
        "nics": lambda: fields.nics(rows(ask.NIC_COUNTERS), rows(ask.ADAPTERS)),
        "sessions": lambda: sessions(
            options.naming,
            *map(rows, (ask.DESKTOPS, ask.COMPUTER, ask.LOGONS, ask.LOGON_USERS, ask.SYSTEM)),
        ),
    }
    found: dict[str, object] = {}
    for section in options.sections:
        found |= parts[section]()
    found["queries"] = asking.costs
    return {each.name: found[each.name] for each in fields_of("", options.sections)}


def _output(data: Mapping[str, object], round_trips: int) -> ProbeOutput:
    return ProbeOutput(stdout=_json(data), data=data, round_trips=round_trips)


def _shown(query: Query) -> str:
    namespace = "" if query.namespace == ask.CIMV2 else f"[{query.namespace}] "
    return f"{namespace}{query.name}{' (when needed)' if query.when_needed else ''}: {query.wql}"


def _json(value: object) -> bytes:
    return orjson.dumps(value)
