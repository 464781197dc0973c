"""SQL views over the samples: one typed table per stored probe, one more per list of rows.

Made of what the samples look like, so they are made again when new fields may have come. SQLite takes the
type of each value as it is; PostgreSQL casts, and what does not fit the type that was seen becomes null.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from pathlib import Path as FilePath

import sqlalchemy as sa

from ddcplay.errors import StoreError
from ddcplay.store import reads, schema
from ddcplay.store.dialect import open_engine, place_of
from ddcplay.store.faults import store_faults
from ddcplay.store.migrations import require_head
from ddcplay.store.queries import existing_database
from ddcplay.store.sample_reads import likely_shapes, stored_probes
from ddcplay.store.shapes import Column, Path, TableShape, named_apart

_PLAIN = re.compile(r"[A-Za-z0-9_ .:%()\[\]-]+")
_LONGEST = 63  # bytes of a name in PostgreSQL
_OURS = "made by ddcplay: "


def refresh_views(connection: sa.Connection, experiment_id: int, prefix: str = "") -> tuple[str, ...]:
    """Make the views of an experiment's samples; those that are right already stay.

    Args:
        connection: that may write.
        experiment_id: row of table `experiment`.
        prefix: in front of each name, where several experiments share a database.

    Returns:
        The names of its views.
    """
    probes = stored_probes(connection, experiment_id)
    shapes = named_apart(
        shape for probe in probes for shape in likely_shapes(connection, experiment_id, probe)
    )
    wanted = {view_name(shape, prefix): shape for shape in shapes}
    known = _existing(connection)
    postgres = connection.dialect.name == "postgresql"
    made = []
    for name, shape in wanted.items():
        text = view_statement(shape, experiment_id, postgres=postgres)
        mark = f"{_OURS}{hashlib.sha256(text.encode()).hexdigest()}"
        if name in known and _OURS not in known[name]:
            continue  # somebody else's view has the name
        made.append(name)
        if mark in known.get(name, ""):
            continue
        if name in known:
            connection.exec_driver_sql(f"DROP VIEW {quoted(name)}")
        statement = f"CREATE VIEW {quoted(name)} AS /* {mark} */ {text}"
        connection.exec_driver_sql(statement.replace("%", "%%") if postgres else statement)
        if postgres:  # which keeps no comment inside a statement
            connection.exec_driver_sql(f"COMMENT ON VIEW {quoted(name)} IS '{mark}'")
    return tuple(made)


def refresh_views_of(directory: FilePath, url: str | None) -> tuple[str, ...]:
    """Make the views of an experiment from outside its coordinator, in one short transaction.

    Args:
        directory: `<data>/<experiment>`.
        url: SQLAlchemy URL of setting `database`, None for `experiment.db` in `directory`.

    Raises:
        StoreError: there is no such experiment, or it cannot be written; the text says what to do.
    """
    target = existing_database(directory, url)
    place = place_of(target)
    with store_faults("open the database", place):
        engine = open_engine(target)
    try:
        with store_faults("make the views of samples", place), engine.begin() as connection:
            require_head(connection, place)
            row = reads.experiment_of(connection, directory.absolute().name, shared=url is not None)
            if row is None:
                raise StoreError(f"{place} does not hold experiment {directory.name!r}", "see ddcplay status")
            return refresh_views(connection, row[0], "" if url is None else view_prefix(row[1]))
    finally:
        engine.dispose()


def view_prefix(experiment: str) -> str:
    """Return what views of an experiment begin with in a database that several share."""
    return re.sub(r"\W+", "_", experiment).strip("_") + "__"


def view_name(shape: TableShape, prefix: str = "") -> str:
    """Return the name of a table's view; never that of one of our own tables."""
    name = prefix + shape.name
    if name.casefold() in schema.metadata.tables or name.casefold().startswith(("sqlite_", "pg_")):
        name = f"probe_{name}"
    if len(name.encode()) > _LONGEST:
        mark = hashlib.sha256(name.encode()).hexdigest()[:8]
        name = name.encode()[: _LONGEST - 9].decode("utf-8", "ignore") + f"_{mark}"
    return name


def view_statement(shape: TableShape, experiment_id: int, *, postgres: bool) -> str:
    """Return the SELECT behind a table's view."""
    make = _postgres if postgres else _sqlite
    columns, source = make(shape)
    leading = [f"s.{name} AS {quoted(name)}" for name in ("host", "iteration")]
    if postgres:
        leading.append("to_timestamp(s.at) AS started_at")
    else:
        leading.append("strftime('%Y-%m-%dT%H:%M:%fZ', s.at, 'unixepoch') AS started_at")
    where = (
        f"s.experiment_id = {experiment_id} AND s.probe = {_text(shape.probe)}"
        f" AND s.label = {_text(shape.label)}"
    )
    return f"SELECT {', '.join((*leading, *columns))} FROM {source} WHERE {where}"  # noqa: S608 - quoted above


def quoted(name: str) -> str:
    """Quote an identifier."""
    return '"' + name.replace('"', '""') + '"'


def _sqlite(shape: TableShape) -> tuple[Iterable[str], str]:
    if shape.path is None:
        return [f"{_sqlite_value('s.data', c)} AS {quoted(c.name)}" for c in shape.columns], "sample s"
    path = _text("$" + "".join(f'."{key}"' for key in shape.path))
    # What is no list must not be taken apart: json_each would give the fields of a mapping.
    source = (
        f"sample s JOIN json_each(CASE json_type(s.data, {path}) WHEN 'array'"
        f" THEN json_extract(s.data, {path}) ELSE '[]' END) r"
    )
    row = "(CASE r.type WHEN 'object' THEN r.value ELSE json_object('value', r.value) END)"
    columns = [f"{_sqlite_value(row, column)} AS {quoted(column.name)}" for column in shape.columns]
    return ["r.key AS row", *columns], source


def _sqlite_value(document: str, column: Column) -> str:
    if all(_PLAIN.fullmatch(key) for key in column.path):
        path = _text("$" + "".join(f'."{key}"' for key in column.path))
        if column.type == "unsigned":  # json_extract would make it a float; -> gives its digits
            return f"{document} -> {path}"
        value = f"json_extract({document}, {path})"
    else:
        value = _sqlite_odd(document, column)
    return f"CAST({value} AS TEXT)" if column.type == "text" else value


def _sqlite_odd(document: str, column: Column) -> str:
    """Find a field whose name a JSON path of SQLite cannot spell."""
    for key in column.path[:-1]:
        inner = f"json_each({document}) WHERE key = {_text(key)} AND type = 'object'"
        document = f"(SELECT value FROM {inner})"  # noqa: S608 - quoted
    found = f"FROM json_each({document}) WHERE key = {_text(column.path[-1])}"
    if column.type == "unsigned":
        return f"(SELECT coalesce({document} -> fullkey, value) {found})"  # older SQLite: a float at least
    return f"(SELECT value {found})"


def _postgres(shape: TableShape) -> tuple[Iterable[str], str]:
    # OFFSET 0 keeps the planner from parsing the document once per column.
    source = "sample s CROSS JOIN LATERAL (SELECT s.data::jsonb AS d OFFSET 0) j"
    if shape.path is None:
        row = "CASE jsonb_typeof(j.d) WHEN 'object' THEN j.d ELSE jsonb_build_object('value', j.d) END"
        return [
            f"{_postgres_value(row, column)} AS {quoted(column.name)}" for column in shape.columns
        ], source
    items = f"(j.d #> {_array(shape.path)})"
    source += (
        f" CROSS JOIN LATERAL jsonb_array_elements(CASE jsonb_typeof{items} WHEN 'array'"
        f" THEN {items} ELSE '[]'::jsonb END) WITH ORDINALITY r(d, n)"
    )
    row = "CASE jsonb_typeof(r.d) WHEN 'object' THEN r.d ELSE jsonb_build_object('value', r.d) END"
    columns = [f"{_postgres_value(row, column)} AS {quoted(column.name)}" for column in shape.columns]
    return ['r.n - 1 AS "row"', *columns], source


def _postgres_value(document: str, column: Column) -> str:
    value = f"(({document}) #> {_array(column.path)})"
    text = f"(({document}) #>> {_array(column.path)})"
    if column.type == "truth":
        return f"CASE jsonb_typeof{value} WHEN 'boolean' THEN {text}::boolean END"
    if column.type in ("integer", "unsigned", "number"):
        number = f"CASE jsonb_typeof{value} WHEN 'number' THEN {text}::numeric END"
        if column.type == "number":
            return f"({number})::double precision"
        if column.type == "unsigned":
            return number
        low, high = -(2**63), 2**63 - 1
        return f"CASE WHEN ({number}) BETWEEN {low} AND {high} THEN ({number})::bigint END"
    return value if column.type == "json" else text


def _array(path: Path) -> str:
    """Write a path as PostgreSQL's text[]."""
    return f"ARRAY[{', '.join(map(_text, path))}]::text[]" if path else "ARRAY[]::text[]"


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def _existing(connection: sa.Connection) -> dict[str, str]:
    """Return view → its text (SQLite) or its comment (PostgreSQL)."""
    if connection.dialect.name == "postgresql":
        query = (
            "SELECT c.relname, coalesce(obj_description(c.oid, 'pg_class'), '') FROM pg_class c"
            " JOIN pg_namespace n ON n.oid = c.relnamespace"
            " WHERE c.relkind = 'v' AND n.nspname = current_schema()"
        )
    else:
        query = "SELECT name, sql FROM sqlite_master WHERE type = 'view'"
    return {row[0]: row[1] for row in connection.exec_driver_sql(query)}
