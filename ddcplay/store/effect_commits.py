"""The statements that write what filter chains and alerts leave; each belongs to a transaction of a commit.

A batch touches only the tables it has something for. Where several attempts of a batch write the same state,
fact or alert, the last one holds: attempts come in their order.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import sqlalchemy as sa

from ddcplay.model.alert import AlertState, AlertUpdate
from ddcplay.model.effects import Outgoing
from ddcplay.store import alert_rows, schema
from ddcplay.store.base import ChainDone, IterationEffects
from ddcplay.store.dialect import insert_or_replace
from ddcplay.store.documents import dump_document
from ddcplay.store.rows import storable

Row = dict[str, object]
NOBODY = 0
"""`told_by` of what a digest would have told, had there been anyone to mail to."""

_STATIC = schema.static.c
_FACT = sa.and_(
    _STATIC.experiment_id == sa.bindparam("of_experiment"),
    _STATIC.host == sa.bindparam("of_host"),
    _STATIC.field == sa.bindparam("of_field"),
    _STATIC.valid_to.is_(None),
)
# A clock that was set back must not give a fact an end before its beginning.
_FACT_ENDS = (
    sa.update(schema.static)
    .where(_FACT, _STATIC.value != sa.bindparam("new_value"))
    .values(
        valid_to=sa.case(
            (_STATIC.valid_from > sa.bindparam("new_at"), _STATIC.valid_from), else_=sa.bindparam("new_at")
        )
    )
)


def _this(table: sa.Table) -> sa.ColumnElement[bool]:
    """Return the condition on a table's key, with parameters `of_<column>`."""
    return sa.and_(*(column == sa.bindparam(f"of_{column.name}") for column in table.primary_key))


_STATE_GONE = sa.delete(schema.filter_state).where(_this(schema.filter_state))
_ALERT_GONE = sa.delete(schema.alert).where(_this(schema.alert))
_TOLD = (
    sa.update(schema.event)
    .where(
        schema.event.c.experiment_id == sa.bindparam("of_experiment"),
        schema.event.c.id == sa.bindparam("of_id"),
        schema.event.c.told_by.is_(None),
    )
    .values(told_by=sa.bindparam("new_told_by"))
)


def write_chains(connection: sa.Connection, experiment_id: int, done: Sequence[ChainDone]) -> None:
    """Write samples, facts, states, alerts, events and messages of chains; part of commit 2."""
    samples: list[Row] = []
    facts: list[Row] = []
    states: dict[tuple[str, str, str], object] = {}
    events: list[Row] = []
    for item in done:
        if item.of is None:
            continue
        of = item.of
        samples += _sample_rows(experiment_id, item)
        facts += _fact_rows(item)
        states.update({(of.host, of.probe, label): state for label, state in item.states.items()})
        events += [alert_rows.of_event(of.iteration, each, of.probe) for each in item.events]
        events += [alert_rows.of_item(of, each) for each in item.items]
    if samples:
        connection.execute(sa.insert(schema.sample), samples)
    write_facts(connection, experiment_id, facts)
    write_states(connection, experiment_id, states)
    write_alerts(connection, experiment_id, (update for item in done for update in item.alerts))
    add_events(connection, experiment_id, events)
    add_outgoing(connection, experiment_id, [message for item in done for message in item.outgoing])


def write_iteration(
    connection: sa.Connection, experiment_id: int, iteration: int, at: float, effects: IterationEffects
) -> None:
    """Write what the end of an iteration changes; part of the transaction that closes it."""
    states = {("", probe, label): state for (probe, label), state in effects.states.items()}
    write_states(connection, experiment_id, states)
    write_alerts(connection, experiment_id, effects.alerts)
    numbers = add_outgoing(connection, experiment_id, effects.outgoing)
    told_by = next((numbers[m.message_id] for m in effects.outgoing if m.kind == "mail"), None)
    if told_by is None:
        told_by = next(iter(numbers.values()), NOBODY)
    events = [alert_rows.of_event(iteration, each) for each in effects.events]
    events += [{**alert_rows.of_event(iteration, each), "told_by": told_by} for each in effects.told_events]
    add_events(connection, experiment_id, events)
    told = [{"of_experiment": experiment_id, "of_id": n, "new_told_by": told_by} for n in effects.told]
    if told:
        connection.execute(_TOLD, told)
    if effects.reported_until is not None:
        row = {"experiment_id": experiment_id, "iteration": effects.reported_until, "made_at": at}
        connection.execute(insert_or_replace(connection, schema.report), row)


def write_facts(connection: sa.Connection, experiment_id: int, facts: Sequence[Row]) -> None:
    """Let facts hold from their moment on; what says the same as the current one changes nothing."""
    for round_ in _rounds(facts):
        rows = [{**row, "of_experiment": experiment_id} for row in round_]
        connection.execute(_FACT_ENDS, rows)
        connection.execute(_fact_begins(connection), rows)


def write_states(
    connection: sa.Connection, experiment_id: int, states: Mapping[tuple[str, str, str], object]
) -> None:
    """Write filter states by (host, probe, label); None removes one."""
    kept: list[Row] = []
    gone: list[Row] = []
    for (host, probe, label), state in states.items():
        key = {"experiment_id": experiment_id, "host": host, "probe": probe, "label": label}
        if state is None:
            gone.append({f"of_{name}": value for name, value in key.items()})
        else:
            kept.append({**key, "value": dump_document(state)})
    if kept:
        connection.execute(insert_or_replace(connection, schema.filter_state), kept)
    if gone:
        connection.execute(_STATE_GONE, gone)


def write_alerts(connection: sa.Connection, experiment_id: int, updates: Iterable[AlertUpdate]) -> None:
    """Write alerts as they stand; a fresh state removes its row."""
    fresh = AlertState()
    kept: list[Row] = []
    gone: list[Row] = []
    rows = {}
    for update in updates:
        row = alert_rows.of_update(experiment_id, update)
        rows[row["name"], row["host"], row["key"]] = row, update.state == fresh
    for row, is_fresh in rows.values():
        if is_fresh:
            gone.append({f"of_{name}": row[name] for name in ("experiment_id", "name", "host", "key")})
        else:
            kept.append(row)
    if kept:
        connection.execute(insert_or_replace(connection, schema.alert), kept)
    if gone:
        connection.execute(_ALERT_GONE, gone)


def add_events(connection: sa.Connection, experiment_id: int, events: Sequence[Row]) -> None:
    """Number events and items, and let them wait to be told."""
    if events:
        first = _following(connection, schema.event, experiment_id)
        rows = [
            {"told_by": None, **row, "experiment_id": experiment_id, "id": number}
            for number, row in enumerate(events, first)
        ]
        connection.execute(sa.insert(schema.event), rows)


def add_outgoing(
    connection: sa.Connection, experiment_id: int, messages: Sequence[Outgoing]
) -> dict[str, int]:
    """Put messages into the outbox, except those whose message id is there; return the number of each."""
    if not messages:
        return {}
    table = schema.notification.c
    wanted = {storable(message.message_id): message for message in reversed(messages)}
    query = sa.select(table.message_id, table.id).where(
        table.experiment_id == experiment_id, table.message_id.in_(sa.bindparam("ids", expanding=True))
    )
    known = {row.message_id: row.id for row in connection.execute(query, {"ids": list(wanted)})}
    fresh = [m for m in reversed(wanted.values()) if storable(m.message_id) not in known]
    if fresh:
        numbered = list(enumerate(fresh, _following(connection, schema.notification, experiment_id)))
        connection.execute(
            sa.insert(schema.notification),
            [alert_rows.of_outgoing(experiment_id, number, message) for number, message in numbered],
        )
        known.update({storable(message.message_id): number for number, message in numbered})
    return {message.message_id: known[storable(message.message_id)] for message in messages}


def _sample_rows(experiment_id: int, item: ChainDone) -> list[Row]:
    if item.of is None or not item.samples:
        return []
    common = {
        "experiment_id": experiment_id,
        "attempt": item.attempt_id,
        "probe": item.of.probe,
        "host": item.of.host,
        "iteration": item.of.iteration,
        "at": item.of.started_at,
    }
    return [
        {
            **common,
            "label": storable(sample.label),
            "data": dump_document(sample.data),
            "key": dump_document(sample.key),
        }
        for sample in item.samples
    ]


def _fact_rows(item: ChainDone) -> list[Row]:
    if item.of is None:
        return []
    return [
        {
            "of_host": item.of.host,
            "of_field": storable(fact.field),
            "new_value": dump_document(fact.value),
            "new_at": item.of.started_at,
            "new_probe": item.of.probe,
        }
        for fact in item.statics
    ]


def _rounds(facts: Sequence[Row]) -> list[list[Row]]:
    """Split facts so that no (host, field) is twice in a round; nearly always there is one round."""
    rounds: list[list[Row]] = []
    met: dict[tuple[object, object], int] = {}
    for row in facts:
        pair = (row["of_host"], row["of_field"])
        turn = met.get(pair, 0)
        met[pair] = turn + 1
        if turn == len(rounds):
            rounds.append([])
        rounds[turn].append(row)
    return rounds


def _fact_begins(connection: sa.Connection) -> sa.Executable:
    """Return the INSERT of a fact unless one holds already; a fact of the very same moment is replaced."""
    later = sa.select(sa.func.max(_STATIC.valid_from)).where(
        _STATIC.experiment_id == sa.bindparam("of_experiment"),
        _STATIC.host == sa.bindparam("of_host"),
        _STATIC.field == sa.bindparam("of_field"),
    )
    newest = sa.func.coalesce(later.scalar_subquery(), sa.bindparam("new_at", type_=sa.Double))
    at = sa.bindparam("new_at", type_=sa.Double)
    values = sa.select(
        sa.bindparam("of_experiment", type_=sa.Integer),
        sa.bindparam("of_host", type_=sa.Text),
        sa.bindparam("of_field", type_=sa.Text),
        sa.case((newest > at, newest), else_=at),
        sa.null(),
        sa.bindparam("new_value", type_=sa.Text),
        sa.bindparam("new_probe", type_=sa.Text),
    ).where(~sa.exists().where(_FACT))
    names = ["experiment_id", "host", "field", "valid_from", "valid_to", "value", "probe"]
    return insert_or_replace(connection, schema.static).from_select(names, values)


def _following(connection: sa.Connection, table: sa.Table, experiment_id: int) -> int:
    """Return the next number in a table that only this transaction writes to."""
    highest = sa.select(sa.func.max(table.c.id)).where(table.c.experiment_id == experiment_id)
    return (connection.execute(highest).scalar() or 0) + 1
