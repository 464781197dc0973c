"""What only a database server can do to a store: other machines, restarts, lost connections, defaults."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from ddcplay.errors import ExperimentBusyError, StoreError
from ddcplay.model.alert import Silence
from ddcplay.model.result import AttemptResult, Outcome
from ddcplay.store import notes
from ddcplay.store.base import ChainDone, IterationRecord, Provenance
from ddcplay.store.dialect import database_url, open_engine
from ddcplay.store.experiment_store import ExperimentStore, open_store
from ddcplay.store.ledger import CredentialLedger, CredentialState
from ddcplay.store.migrations import require_head, upgrade
from ddcplay.store.postgres import PATIENCE_S
from ddcplay.store.queries import open_reader

pytestmark = [pytest.mark.real, pytest.mark.xdist_group("postgres")]
Open = Callable[..., ExperimentStore]

HOLDER = """
import sys
from pathlib import Path
from ddcplay.store.experiment_store import open_store
store = open_store(Path(sys.argv[1]), "exp", play="P", clock_now=500.0, url=sys.argv[2])
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def url(postgres_url: Callable[[], str]) -> str:
    return postgres_url()


@pytest.fixture
def opened(url: str, tmp_path: Path) -> Iterator[Open]:
    stores: list[ExperimentStore] = []

    def build(site: str = "site", name: str = "exp", **more: Any) -> ExperimentStore:
        stores.append(open_store(tmp_path / site / name, name, play="P", clock_now=500.0, url=url, **more))
        return stores[-1]

    yield build
    for store in stores:
        store.close()


def begin(store: ExperimentStore, iteration: int = 1000) -> None:
    record = IterationRecord(iteration, float(iteration))
    store.open_iteration(record, Provenance(), ["pc1", "pc2"], ["p"])


def result(iteration: int = 1000, host: str = "pc1", **more: Any) -> AttemptResult:
    return AttemptResult("exp", iteration, host, "p", Outcome.OK, **more)


def end_connections(server: Any, url: str) -> None:
    name = url.rpartition("/")[2]
    server.sql(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")


def test_a_coordinator_with_another_data_directory_is_refused(opened: Open) -> None:
    opened("site")
    with pytest.raises(ExperimentBusyError, match=rf"process {os.getpid()} on .* since 1970") as caught:
        opened("elsewhere")
    assert caught.value.exit_code == 2
    assert opened("elsewhere", "other").experiment == "other"


def test_a_coordinator_that_was_killed_lets_go(opened: Open, url: str, tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLDER, str(tmp_path / "elsewhere" / "exp"), url]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(ExperimentBusyError, match=f"process {holder.pid}"):
            opened()
        holder.kill()
        holder.wait()
        begin(opened())


def test_who_runs_an_experiment_is_seen_from_every_data_directory(
    opened: Open, url: str, tmp_path: Path
) -> None:
    store = opened("site")
    with open_reader(tmp_path / "elsewhere" / "exp", url) as reader:
        owner = reader.info().owner
        assert owner is not None
        assert owner.pid == os.getpid()
        store.close()
        assert reader.info().owner is None


def test_a_restart_of_the_server_is_survived(opened: Open, postgres_server: Any) -> None:
    store = opened(durability="full")
    begin(store)
    ids = store.commit_attempts([result(stdout=b"out")])
    postgres_server.restart()
    assert store.recorded_pairs(1000) == {("pc1", "p")}
    store.commit_chains([ChainDone(ids[0])])
    postgres_server.restart()
    store.commit_attempts([result(host="pc2")])
    assert [each.result.host for each in store.pending(0, 9)] == ["pc2"]


def test_a_connection_lost_within_a_transaction_costs_nothing(
    opened: Open, postgres_server: Any, url: str
) -> None:
    store = opened()
    begin(store)
    runs = []

    def work(connection: sa.Connection) -> int:
        runs.append(1)
        found = connection.execute(sa.text("UPDATE iteration SET missed = missed + 1")).rowcount
        if len(runs) == 1:
            end_connections(postgres_server, url)
        return found + connection.execute(sa.text("SELECT 1")).scalar_one()

    assert store._writer.do(work, "try") == 2
    assert len(runs) == 2
    last = store.last_iteration()
    assert last is not None
    assert last.missed == 1


def test_a_connection_lost_during_the_commit_is_told_and_nothing_is_acknowledged(
    opened: Open, postgres_server: Any, url: str
) -> None:
    store = opened()
    begin(store)
    sa.event.listen(store._engine, "commit", lambda _: end_connections(postgres_server, url), once=True)
    with pytest.raises(StoreError, match="lost during a commit") as caught:
        store.commit_attempts([result()])
    assert "start again" in caught.value.hint
    assert store.recorded_pairs(1000) == frozenset()
    assert store.commit_attempts([result()])


def test_a_coordinator_whose_experiment_was_run_elsewhere_meanwhile_writes_nothing(
    opened: Open, postgres_server: Any, url: str
) -> None:
    store = opened("site")
    begin(store)
    name = url.rpartition("/")[2]
    postgres_server.sql("UPDATE coordinator SET token = 'another'", database=name)
    end_connections(postgres_server, url)
    with pytest.raises(StoreError, match="another coordinator ran 'exp'"):
        store.commit_attempts([result()])
    assert store.recorded_pairs(1000) == frozenset()


def test_what_the_administrator_set_for_the_role_does_not_matter(opened: Open) -> None:
    for durability, level in (("full", "on"), ("batch", "off")):
        store = opened(name=durability, durability=durability)
        wanted = {
            "synchronous_commit": level,
            "transaction_isolation": "read committed",
            "TimeZone": "UTC",
            "client_encoding": "UTF8",
        }
        for name, value in wanted.items():
            asked = sa.text(f"SHOW {name}")
            assert store._writer.do(lambda c, asked=asked: c.execute(asked).scalar(), "ask") == value  # type: ignore[misc]


def test_a_reader_cannot_write(opened: Open, url: str, tmp_path: Path) -> None:
    opened()
    with (
        open_reader(tmp_path / "exp", url) as reader,
        pytest.raises(StoreError, match="read-only transaction"),
    ):
        reader.read(lambda c, _: c.execute(sa.text("DELETE FROM experiment")))


def test_an_experiment_that_is_not_there_is_not_taken_for_the_only_one(
    opened: Open, url: str, tmp_path: Path
) -> None:
    opened()
    with pytest.raises(StoreError, match="does not hold experiment 'strange'"):
        open_reader(tmp_path / "strange", url)


def test_four_coordinators_that_start_at_once_in_an_empty_database_migrate_it_once(
    postgres_server: Any, tmp_path: Path
) -> None:
    url = postgres_server.database()

    def start(number: int) -> None:
        name = f"exp{number}"
        open_store(tmp_path / name, name, play="P", clock_now=1.0, url=url).close()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(start, range(4)))
    engine = open_engine(database_url(Path(), url))
    with engine.begin() as connection:
        require_head(connection, "x")
        names = "SELECT name FROM (VALUES ('b'), ('a-b'), ('B'), ('ab')) AS t(name)"
        connection.execute(sa.text(f"INSERT INTO playbook SELECT name, '' FROM ({names}) AS n"))
        ordered = connection.execute(sa.text("SELECT digest FROM playbook ORDER BY digest")).scalars()
        assert list(ordered) == ["B", "a-b", "ab", "b"]  # as SQLite and Python sort
    engine.dispose()
    postgres_server.drop(url)


def test_two_people_who_silence_at_once_get_two_numbers(opened: Open, url: str, tmp_path: Path) -> None:
    store = opened()
    silence = Silence(0, (("host", "pc1"),), 0.0, 1e12)
    with ThreadPoolExecutor(4) as pool:
        numbers = pool.map(lambda _: notes.add_silence(tmp_path / "exp", url, silence), range(8))
    assert sorted(numbers) == list(range(1, 9))
    assert len(store.alerts.silences(1.0)) == 8


def test_sites_that_count_refusals_at_once_lose_none(url: str, tmp_path: Path) -> None:
    ledgers = [CredentialLedger(tmp_path / str(number), url) for number in range(3)]

    def refuse(ledger: CredentialLedger) -> None:
        for _ in range(5):
            ledger.update(
                "k", lambda old: replace(old or CredentialState("k"), refusals=old.refusals + 1 if old else 1)
            )

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(refuse, ledgers))
    found = ledgers[0].load("k")
    assert found is not None
    assert found.refusals == 15
    for ledger in ledgers:
        ledger.close()


@pytest.mark.parametrize(
    ("part", "instead", "said"),
    [
        (":s3cret", ":wrong", "user and password"),
        ("/test", "/absent", "CREATE DATABASE"),
        ("127.0.0.1:", "127.0.0.1:1/x?", "PostgreSQL runs there"),
    ],
)
def test_a_server_that_refuses_is_told_without_the_password(
    url: str, tmp_path: Path, part: str, instead: str, said: str
) -> None:
    wrong = url.replace(part, instead).partition("?")[0]
    with pytest.raises(StoreError) as caught:
        open_store(tmp_path / "exp", "exp", play="P", clock_now=1.0, url=wrong)
    assert said in caught.value.hint
    for secret in ("s3cret", "wrong", "p%2Fw"):
        assert secret not in str(caught.value)


def test_a_role_that_owns_nothing_is_told_what_to_do(postgres_server: Any, tmp_path: Path) -> None:
    url = postgres_server.database()
    name = url.rpartition("/")[2]
    postgres_server.sql(f"ALTER DATABASE {name} OWNER TO boss")
    with pytest.raises(StoreError, match="permission denied") as caught:
        open_store(tmp_path / "exp", "exp", play="P", clock_now=1.0, url=url)
    assert "owner of the database" in caught.value.hint
    postgres_server.drop(url)


def test_a_schema_of_its_own_can_be_named_in_the_url(postgres_server: Any, url: str, tmp_path: Path) -> None:
    name = url.rpartition("/")[2]
    postgres_server.sql(f'CREATE SCHEMA site AUTHORIZATION "{postgres_server.USER}"', database=name)
    inside = url + "?options=-csearch_path%3Dsite"
    engine = open_engine(database_url(Path(), inside))
    upgrade(engine, "x")
    engine.dispose()
    one = open_store(tmp_path / "a" / "exp", "exp", play="P", clock_now=1.0, url=url)
    two = open_store(tmp_path / "b" / "exp", "exp", play="P", clock_now=2.0, url=inside)
    assert (one.began_at, two.began_at) == (1.0, 2.0)
    one.close()
    two.close()


def test_patience_has_an_end() -> None:
    assert 10 <= PATIENCE_S <= 60
