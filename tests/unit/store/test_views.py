"""SQL views over samples: typed, keyed, safe for any name a target may send."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import Any

from ddcplay.model.effects import Sample
from ddcplay.store.base import ChainDone
from ddcplay.store.views import refresh_views_of, view_name, view_prefix


def keep(bench: Any, iteration: int, data: object, probe: str = "usage", key: Any = "") -> None:
    bench.begin(iteration, probes=(probe,))
    result = bench.result(iteration, probe=probe)
    ids = bench.store.commit_attempts([result])
    bench.store.commit_chains([ChainDone(ids[0], of=result, samples=(Sample(data, key),))])
    bench.end(iteration)


def ask(bench: Any, query: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(bench.directory / "experiment.db")) as connection:
        return connection.execute(query).fetchall()


def test_a_probe_and_its_lists_are_views(bench: Any) -> None:
    disks = [{"device": "C:", "free_pct": 12.5}, {"device": "D:", "free_pct": None}]
    keep(bench, 1000, {"occupied": True, "uptime_s": 5.5, "disks": disks}, key={"disks": "device"})
    assert refresh_views_of(bench.directory, None) == ("usage", "usage_disks")
    assert ask(bench, "SELECT host, iteration, started_at, occupied, uptime_s FROM usage") == [
        ("pc1", 1000, "1970-01-01T00:16:41.000Z", 1, 5.5)
    ]
    assert ask(bench, 'SELECT "row", device, free_pct FROM usage_disks ORDER BY "row"') == [
        (0, "C:", 12.5),
        (1, "D:", None),
    ]


def test_64_bits_without_sign_keep_every_digit(bench: Any) -> None:
    keep(bench, 1000, {"n": 2**64 - 1, "rows": [{"n": 2**64 - 3}]})
    refresh_views_of(bench.directory, None)
    assert ask(bench, "SELECT n FROM usage") == [(str(2**64 - 1),)]
    assert ask(bench, "SELECT n FROM usage_rows") == [(str(2**64 - 3),)]


def test_names_that_targets_send_cannot_leave_their_quotes(bench: Any) -> None:
    evil = "x') FROM sample; DROP TABLE sample; --"
    keep(bench, 1000, {evil: 1, 'a"b': 2, "a.b": {"c": 3}, "$[0]": 4, "": 5, "%s": 6})
    refresh_views_of(bench.directory, None)
    assert sorted(ask(bench, "SELECT * FROM usage")[0][3:]) == [1, 2, 3, 4, 5, 6]
    assert ask(bench, "SELECT count(*) FROM sample") == [(1,)]


def test_new_fields_appear_and_an_unchanged_view_is_left_alone(bench: Any) -> None:
    keep(bench, 1000, {"a": 1})
    refresh_views_of(bench.directory, None)
    version = ask(bench, "PRAGMA schema_version")
    refresh_views_of(bench.directory, None)
    assert ask(bench, "PRAGMA schema_version") == version
    keep(bench, 1100, {"a": 1, "b": 2})
    refresh_views_of(bench.directory, None)
    assert ask(bench, "SELECT a, b FROM usage") == [(1, None), (1, 2)]


def test_somebody_elses_view_and_our_own_tables_keep_their_names(bench: Any) -> None:
    keep(bench, 1000, {"a": 1}, probe="host")
    keep(bench, 1100, {"a": 1}, probe="mine")
    with closing(sqlite3.connect(bench.directory / "experiment.db")) as connection:
        connection.execute("CREATE VIEW mine AS SELECT 42 AS answer")
    assert refresh_views_of(bench.directory, None) == ("probe_host",)
    assert ask(bench, "SELECT answer FROM mine") == [(42,)]
    assert ask(bench, "SELECT a FROM probe_host") == [(1,)]


def test_data_that_is_a_list_or_a_plain_value(bench: Any) -> None:
    keep(bench, 1000, [{"DeviceID": "C:"}, 7], probe="disks", key="DeviceID")
    keep(bench, 1100, 5, probe="number")
    assert refresh_views_of(bench.directory, None) == ("disks", "number")
    assert ask(bench, "SELECT DeviceID, value FROM disks") == [("C:", None), (None, 7)]


def test_views_in_a_shared_database_carry_the_experiments_name(bench: Any) -> None:
    assert view_prefix("classroom-usage") == "classroom_usage__"
    long = type("Shape", (), {"name": "x" * 80})()
    assert len(view_name(long, "p__")) == 63
