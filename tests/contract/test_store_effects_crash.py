"""A kill between or within the commits never parts an attempt from what its chain left (design §6)."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from pathlib import Path

import pytest
import sqlalchemy as sa

from ddcplay.store.base import ChainDone, IterationEffects
from ddcplay.store.dialect import database_url
from ddcplay.store.experiment_store import ExperimentStore, open_store

POSTGRES = pytest.param("postgres", marks=[pytest.mark.real, pytest.mark.xdist_group("postgres")])


@pytest.fixture(params=["sqlite", POSTGRES])
def url(request: pytest.FixtureRequest) -> str | None:
    """Return where rows go: None for the experiment's own file."""
    if request.param == "sqlite":
        return None
    made: str = request.getfixturevalue("postgres_url")()
    return made


HOSTS = 6

# The child does what the engine does with filters, as fast as it can, and says what was acknowledged.
CHILD = """
import sys
from pathlib import Path
from ddcplay.model.alert import AlertEvent, AlertIdentity, AlertState, AlertUpdate, Happening
from ddcplay.model.effects import Outgoing, Sample, StaticFact
from ddcplay.model.result import AttemptResult, Outcome
from ddcplay.store.base import ChainDone, IterationEffects, IterationRecord, Provenance
from ddcplay.store.experiment_store import open_store

hosts = [f"pc{number}" for number in range(int(sys.argv[2]))]
store = open_store(Path(sys.argv[1]), "exp", play="Play", clock_now=1.0, url=sys.argv[3] or None)
last = store.last_iteration()
iteration = last.id if last else 0

def chain(number, result):
    who = AlertIdentity("exp", "r", result.host)
    return ChainDone(
        number, of=result, samples=(Sample(iteration),), statics=(StaticFact("n", iteration),),
        states={"s": {"n": iteration}}, alerts=(AlertUpdate(who, AlertState(bad_in_a_row=iteration)),),
        events=(AlertEvent(who, Happening.FIRED, float(iteration)),),
    )

print("ready", flush=True)
while True:
    iteration += 1
    store.open_iteration(IterationRecord(iteration, float(iteration)), Provenance(), hosts, ["p"])
    results = [
        AttemptResult("exp", iteration, host, "p", Outcome.OK, started_at=float(iteration)) for host in hosts
    ]
    ids = store.commit_attempts(results)
    done = [chain(number, result) for number, result in zip(ids, results)]
    for part in (done[:3], done[3:]):
        store.commit_chains(part)
        print(iteration, flush=True)
    told = tuple(each.id for each in store.alerts.untold())
    mail = Outgoing("mail", f"<{iteration}@exp>", float(iteration), b"%d" % len(told), ("a@b",))
    store.close_iteration(iteration, iteration + 0.5, 0.5, "closed",
                          effects=IterationEffects(outgoing=(mail,), told=told, reported_until=iteration))
"""


def _run_and_kill(directory: Path, url: str | None, acknowledged: int, after_s: float) -> int:
    """Kill the child a moment after some acknowledgements; return how many chains it had acknowledged."""
    command = [sys.executable, "-c", CHILD, str(directory), str(HOSTS), url or ""]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"ready\n"
        told = b"".join(child.stdout.readline() for _ in range(acknowledged))
        time.sleep(after_s)
        child.kill()
        told += child.stdout.read()
    return told.count(b"\n") * 3


def _rows(directory: Path, url: str | None, statement: str) -> list[tuple[object, ...]]:
    """Run one statement as any other program would; return its rows."""
    engine = sa.create_engine(database_url(directory / "experiment.db", url))
    with engine.begin() as connection:
        done = connection.exec_driver_sql(statement)
        found = [tuple(row) for row in done] if done.returns_rows else []
    engine.dispose()
    return found


def _done(directory: Path, url: str | None) -> dict[str, list[tuple[int, int]]]:
    """Return (attempt id, iteration) of the chains that are done, by host, oldest first."""
    found: dict[str, list[tuple[int, int]]] = {}
    query = "SELECT host, id, iteration FROM attempt WHERE chain = 'done' ORDER BY id"
    for host, number, iteration in _rows(directory, url, query):
        found.setdefault(host, []).append((number, iteration))  # type: ignore[arg-type, call-overload]
    return found


def _everything_agrees(directory: Path, url: str | None, store: ExperimentStore) -> None:
    done = _done(directory, url)
    newest = {host: attempts[-1][1] for host, attempts in done.items()}
    samples = _rows(directory, url, "SELECT attempt, data FROM sample ORDER BY attempt")
    events = _rows(directory, url, "SELECT host, iteration FROM event ORDER BY id")
    mails = _rows(directory, url, "SELECT id, payload FROM notification")
    counts = dict(_rows(directory, url, "SELECT told_by, count(*) FROM event GROUP BY told_by"))  # type: ignore[arg-type, var-annotated]
    closed = _rows(directory, url, "SELECT id FROM iteration WHERE state = 'closed'")
    assert samples == sorted((number, str(it)) for attempts in done.values() for number, it in attempts)
    assert sorted(events) == sorted((host, it) for host, attempts in done.items() for _, it in attempts)
    facts = {host: {"n": number} for host, number in newest.items()}
    assert store.statics() == {host: state for (host, _, _), state in store.states().items()} == facts
    assert {each.identity.host: each.state.bad_in_a_row for each in store.alerts.snapshots()} == newest
    assert [counts.get(number, 0) for number, _ in mails] == [int(text) for _, text in mails]
    assert len(mails) == len(closed)
    assert (store.last_report() or (0, 0.0))[0] == max((row[0] for row in closed), default=0)


@pytest.mark.parametrize("seed", range(4))
def test_an_attempt_and_what_its_chain_left_survive_a_kill_together(
    tmp_path: Path, url: str | None, seed: int
) -> None:
    moments = random.Random(seed)
    directory = tmp_path / "exp"
    acknowledged = 0
    for _ in range(2):
        acknowledged += _run_and_kill(directory, url, moments.randint(1, 25), moments.uniform(0.0, 0.01))
        store = open_store(directory, "exp", play="Play", clock_now=2.0, url=url)
        try:
            _everything_agrees(directory, url, store)
            assert acknowledged <= sum(map(len, _done(directory, url).values()))
            pending = store.pending(0, 1000)
            assert len(pending) == store.pending_count()
            store.commit_chains([ChainDone(each.attempt_id) for each in pending])
            # Take away the attempts whose chains were ended here without leaving anything.
            for table, column in (("output", "attempt_id"), ("attempt", "id")):
                empty = f"DELETE FROM {table} WHERE {column} NOT IN (SELECT attempt FROM sample)"
                _rows(directory, url, empty)
            last = store.last_iteration()
            if last is not None and last.state == "open":
                store.close_iteration(last.id, 1.0, 1.0, "interrupted", effects=IterationEffects())
        finally:
            store.close()
