"""What commit 2 and the end of an iteration write: samples, facts, states, alerts, events, messages."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ddcplay.errors import StoreError
from ddcplay.model.alert import (
    AlertEvent,
    AlertIdentity,
    AlertState,
    AlertUpdate,
    Happening,
    Severity,
    Status,
)
from ddcplay.model.effects import MailItem, Outgoing, Sample, StaticFact
from ddcplay.model.result import AttemptResult, Reason
from ddcplay.store.base import ChainDone, IterationEffects, StoredEvent, StoredSample
from ddcplay.store.dialect import database_url
from ddcplay.store.experiment_store import ExperimentStore
from ddcplay.store.queries import open_reader

POSTGRES = pytest.param("postgres", marks=[pytest.mark.real, pytest.mark.xdist_group("postgres")])


class Bench(Protocol):
    directory: Path
    url: str | None
    store: ExperimentStore

    def reopen(self) -> ExperimentStore: ...
    def begin(self, iteration: int) -> None: ...
    def result(self, iteration: int, host: str = ..., probe: str = ..., **more: object) -> AttemptResult: ...


@pytest.fixture(params=["sqlite", POSTGRES])
def bench(request: pytest.FixtureRequest) -> Bench:
    """Return an experiment in a file or on a server."""
    url = None if request.param == "sqlite" else request.getfixturevalue("postgres_url")()
    made: Bench = request.getfixturevalue("make_bench")(url)
    return made


IDENTITY = AlertIdentity("exp", "low_disk", "pc1", "C:")
FIRED = AlertEvent(IDENTITY, Happening.FIRED, 1001.0, Severity.CRITICAL, "C: is full", "https://x", 990.0)
MAIL = Outgoing("mail", "<1@exp>", 1001.0, b"Subject: x\r\n\r\n\xff", ("a@b", "c@d"))


def chain(bench: Bench, iteration: int, host: str = "pc1", **fields: object) -> ChainDone:
    """Record an attempt and return its chain, not yet committed."""
    result = bench.result(iteration, host)
    (number,) = bench.store.commit_attempts([result])
    return ChainDone(number, of=result, **fields)  # type: ignore[arg-type]


def rows(bench: Bench, query: str) -> list[tuple[object, ...]]:
    engine = sa.create_engine(database_url(bench.directory / "experiment.db", bench.url))
    with engine.begin() as connection:
        done = connection.exec_driver_sql(query)
        found = [tuple(row) for row in done] if done.returns_rows else []
    engine.dispose()
    return found


def test_everything_a_chain_leaves_is_found_after_a_restart(bench: Bench) -> None:
    bench.begin(1000)
    update = AlertUpdate(
        IDENTITY,
        AlertState(Status.FIRING, 3, 0, 990.0, 1001.0, 1001.0, told_firing=True, history="xx.x", note="n"),
        Severity.CRITICAL,
        "C: is full",
        "https://x",
        1001.0,
        "p",
    )
    item = MailItem("text", "subject", immediate=False, attach=("stdout",), to=("z@y",))
    samples = (Sample([{"device": "C:", "size": 2**64 - 1}], "device"), Sample({"a": []}, {"a": "b"}, "2"))
    done = chain(
        bench, 1000, samples=samples, statics=(StaticFact("os", "11"),), states={"rate": {"x": [1]}},
        alerts=(update,), events=(FIRED,), items=(item,), outgoing=(MAIL,),
    )  # fmt: skip
    bench.store.commit_chains([done])
    store = bench.reopen()
    assert store.states() == {("pc1", "p", "rate"): {"x": [1]}}
    assert store.statics() == {"pc1": {"os": "11"}}
    assert store.alerts.snapshots() == (update,)
    assert store.alerts.untold() == (
        StoredEvent(1, 1001.0, event=FIRED, host="pc1", probe="p", iteration=1000),
        StoredEvent(2, 1001.0, item=item, host="pc1", probe="p", iteration=1000),
    )
    assert store.outbox.due(1001.0) == (replace(MAIL, id=1),)
    with open_reader(bench.directory, bench.url) as reader:
        assert tuple(reader.samples("p")) == (
            StoredSample(1, "p", "", "pc1", 1000, 1001.0, [{"device": "C:", "size": 2**64 - 1}], "device"),
            StoredSample(1, "p", "2", "pc1", 1000, 1001.0, {"a": []}, {"a": "b"}),
        )
        assert list(reader.samples("p", host="pc2")) == list(reader.samples("q")) == []
        assert [each.label for each in reader.samples("p", label="2", until=1001.5)] == ["2"]
        assert list(reader.samples("p", since=1001.5)) == list(reader.samples("p", until=1001.0)) == []
        assert reader.alerts() == (update,)
        assert reader.statics() == {"pc1": {"os": "11"}}


def test_a_chain_is_committed_once(bench: Bench) -> None:
    bench.begin(1000)
    done = chain(bench, 1000, samples=(Sample(1),), events=(FIRED,), outgoing=(MAIL,), states={"s": {"n": 1}})
    bench.store.commit_chains([done])
    again = replace(done, states={"s": {"n": 2}}, outgoing=(replace(MAIL, message_id="<2@exp>"),))
    for repeated in ([again], [replace(again, outcome_override=Reason.FILTER)]):
        with pytest.raises(StoreError, match="1 rows were to change, 0 did"):
            bench.store.commit_chains(repeated)
    assert bench.store.states() == {("pc1", "p", "s"): {"n": 1}}
    assert len(bench.store.alerts.untold()) == bench.store.outbox.waiting() == 1
    assert bench.store.pending_count() == 0


def test_one_bad_chain_of_a_batch_leaves_nothing_of_the_others(bench: Bench) -> None:
    bench.begin(1000)
    good = chain(bench, 1000, samples=(Sample(1),), states={"s": {}}, items=(MailItem("t"),))
    with pytest.raises(StoreError):
        bench.store.commit_chains([good, replace(good, attempt_id=77)])
    assert bench.store.states() == {}
    assert bench.store.alerts.untold() == ()
    assert rows(bench, "SELECT * FROM sample") == []
    assert (bench.store.pending_count(), len(bench.store.pending(0, 10_000))) == (1, 1)


def test_a_chain_without_its_attempt_is_refused_when_it_left_something(bench: Bench) -> None:
    bench.begin(1000)
    done = chain(bench, 1000, samples=(Sample(1),))
    with pytest.raises(StoreError, match="not its attempt"):
        bench.store.commit_chains([replace(done, of=None)])


def test_a_state_that_is_none_is_removed(bench: Bench) -> None:
    for iteration, state in ((1000, {"n": 1}), (2000, None)):
        bench.begin(iteration)
        bench.store.commit_chains([chain(bench, iteration, states={"s": state, "t": {}})])
    assert bench.store.states() == {("pc1", "p", "t"): {}}


def test_facts_hold_from_the_attempt_that_changed_them(bench: Bench) -> None:
    for iteration, ram in ((1000, 8), (2000, 8), (3000, 16)):
        bench.begin(iteration)
        done = chain(bench, iteration, statics=(StaticFact("ram", ram), StaticFact("os", {"b": 1, "a": 2})))
        bench.store.commit_chains([done])
    assert bench.store.statics() == {"pc1": {"ram": 16, "os": {"a": 2, "b": 1}}}
    query = "SELECT field, value, valid_from, valid_to FROM static ORDER BY field, valid_from"
    assert rows(bench, query) == [
        ("os", '{"a":2,"b":1}', 1001.0, None),
        ("ram", "8", 1001.0, 3001.0),
        ("ram", "16", 3001.0, None),
    ]


FACTS = st.tuples(st.integers(0, 5), st.sampled_from(["x", "y"]), st.integers(0, 2))


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(facts=st.lists(FACTS, max_size=8))
def test_facts_never_overlap_whatever_the_clock_does(
    make_bench: Callable[[], Bench], facts: list[tuple[int, str, int]]
) -> None:
    bench = make_bench()
    bench.begin(1000)
    hosts = [f"h{number}" for number in range(len(facts))]
    done = []
    for host, (at, name, value) in zip(hosts, facts, strict=True):
        item = chain(bench, 1000, host, statics=(StaticFact(name, value),))
        assert item.of is not None
        done.append(replace(item, of=replace(item.of, host="pc1", started_at=float(at))))
    bench.store.commit_chains(done)
    assert bench.store.statics().get("pc1", {}) == {name: value for _, name, value in facts}
    for name in ("x", "y"):
        query = f"SELECT valid_from, valid_to FROM static WHERE field = '{name}' ORDER BY valid_from"
        spans = rows(bench, query)
        ends = [start for start, _ in spans[1:]] + [None] * bool(spans)
        assert all(end is None or start <= end for start, end in spans)  # type: ignore[operator]
        assert [end for _, end in spans] == ends
    bench.store.close()


def test_a_fresh_alert_has_no_row(bench: Bench) -> None:
    firing = AlertUpdate(IDENTITY, AlertState(Status.FIRING, 3))
    other = replace(firing, identity=replace(IDENTITY, host="pc\0\ud800", key=""))
    bench.begin(1000)
    bench.store.commit_chains([chain(bench, 1000, alerts=(firing, other))])
    stored = replace(other.identity, host="pc\ufffd?")
    assert [each.identity for each in bench.store.alerts.snapshots()] == [IDENTITY, stored]
    gone = tuple(replace(each, state=AlertState()) for each in (firing, other))
    bench.store.close_iteration(1000, 1010.0, 5.0, "closed", effects=IterationEffects(alerts=(firing, *gone)))
    assert bench.store.alerts.snapshots() == ()


def test_an_alert_of_another_version_keeps_what_both_know(bench: Bench) -> None:
    bench.begin(1000)
    bench.store.commit_chains([chain(bench, 1000, alerts=(AlertUpdate(IDENTITY, AlertState(history="x.")),))])
    rows(bench, """UPDATE alert SET state = '{"history": "x.", "later": 1}'""")
    assert bench.store.alerts.snapshots()[0].state == AlertState(history="x.")


def test_a_digest_tells_what_waited_exactly_once(bench: Bench) -> None:
    bench.begin(1000)
    bench.store.commit_chains([chain(bench, 1000, events=(FIRED,), items=(MailItem("t"),))])
    told = tuple(each.id for each in bench.store.alerts.untold())
    resolved = replace(FIRED, what=Happening.RESOLVED)
    later = replace(FIRED, what=Happening.REPEATED)
    effects = IterationEffects(
        states={("p", "count"): {"n": 3}}, events=(later,), told_events=(resolved,),
        outgoing=(replace(MAIL, kind="push", message_id="p"), MAIL), told=told, reported_until=1000,
    )  # fmt: skip
    for _ in range(2):  # the second time as after a crash whose commit went through
        bench.store.close_iteration(1000, 1010.0, 5.0, "closed", effects=effects)
        effects = replace(effects, events=(), told_events=())
    (waiting,) = bench.store.alerts.untold()
    assert waiting.event == later
    assert [each.event for each in bench.store.alerts.history(9)] == [FIRED, later, resolved]
    assert [each.event for each in bench.store.alerts.history(1)] == [resolved]
    assert rows(bench, "SELECT id, told_by FROM event ORDER BY id") == [(1, 2), (2, 2), (3, None), (4, 2)]
    assert bench.store.outbox.waiting() == 2
    assert bench.store.last_report() == (1000, 1010.0)
    assert bench.store.states() == {("", "p", "count"): {"n": 3}}


def test_a_message_that_is_there_is_not_added_but_its_events_are_told(bench: Bench) -> None:
    bench.begin(1000)
    bench.store.commit_chains([chain(bench, 1000, events=(FIRED,), outgoing=(MAIL, MAIL))])
    bench.store.outbox.sent(1, 1002.0)
    effects = IterationEffects(outgoing=(MAIL,), told=(1,))
    bench.store.close_iteration(1000, 1010.0, 5.0, "closed", effects=effects)
    assert (bench.store.outbox.waiting(), bench.store.alerts.untold()) == (0, ())
    assert rows(bench, "SELECT id, sent_at, payload FROM notification") == [(1, 1002.0, b"")]


def test_events_with_nobody_to_mail_to_are_told_all_the_same(bench: Bench) -> None:
    bench.begin(1000)
    bench.store.commit_chains([chain(bench, 1000, events=(FIRED,))])
    bench.store.close_iteration(1000, 1010.0, 5.0, "closed", effects=IterationEffects(told=(1,)))
    assert rows(bench, "SELECT told_by FROM event") == [(0,)]


def test_an_end_that_cannot_be_written_changes_nothing(bench: Bench) -> None:
    with pytest.raises(StoreError, match="iteration 77"):
        bench.store.close_iteration(77, 1.0, 1.0, "closed", effects=IterationEffects(outgoing=(MAIL,)))
    assert bench.store.outbox.waiting() == 0
    assert bench.store.last_report() is None


def test_pending_chains_come_in_portions_and_are_counted(bench: Bench) -> None:
    bench.begin(1000)
    ids = bench.store.commit_attempts([bench.result(1000, f"h{n}") for n in range(5)])
    assert [each.attempt_id for each in bench.store.pending(0, 2)] == list(ids[:2])
    assert [each.attempt_id for each in bench.store.pending(ids[1], 9)] == list(ids[2:])
    assert bench.store.pending_count() == 5
    bench.store.commit_chains([ChainDone(each) for each in ids[:2]])
    assert bench.store.pending_count() == 3
    assert bench.reopen().pending_count() == 3


def test_hosts_are_seen_when_they_were_on(bench: Bench) -> None:
    bench.begin(1000)  # pc2 and pc1 are asked
    store = bench.store
    assert store.seen() == {"pc1": (None, 1000.0), "pc2": (None, 1000.0)}
    off = {"reason": Reason.NO_ANSWER}
    store.commit_attempts(
        [
            bench.result(1000, "pc1", "p", on=True, started_at=1005.0),
            bench.result(1000, "pc1", "q", started_at=1003.0),  # ok: it was on, though nobody looked
            bench.result(1000, "pc2", "p", **off, on=False),
            bench.result(1000, "new", "p", **off, on=False, started_at=1007.0),
            bench.result(1000, "new", "q", reason=Reason.PORT_CLOSED, on=True, started_at=1008.0),
        ]
    )
    bench.begin(2000)
    store.commit_attempts([bench.result(2000, "pc1", "p", **off, on=False), bench.result(2000, "pc2", "p")])
    expected = {"pc1": (1005.0, 1000.0), "pc2": (2001.0, 1000.0), "new": (1008.0, 1007.0)}
    assert store.seen() == expected
    assert bench.reopen().seen() == expected
