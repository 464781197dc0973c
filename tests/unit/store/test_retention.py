"""Old blocks and rows leave; nothing else does, whenever the power goes."""

from __future__ import annotations

import shutil
import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from ddcplay.engine.retention import Housekeeping, Kept, prospect, prune
from ddcplay.model.effects import MailItem, Sample, StaticFact
from ddcplay.model.result import Reason
from ddcplay.store import archive_cut
from ddcplay.store.archive import Archive
from ddcplay.store.base import ChainDone, PendingAttempt
from ddcplay.store.blocks import read_block_at, read_blocks
from ddcplay.store.space import give_back

DAY = 86400
NEVER = 10**9


class StillClock:
    """Time goes on only when it is told to."""

    def __init__(self, at: float) -> None:
        self.at = at

    def now(self) -> float:
        return self.at

    def monotonic(self) -> float:
        return self.at

    def wait(self, event: threading.Event, timeout_s: float | None) -> bool:
        return event.is_set()

    def sleep(self, seconds: float) -> None:
        self.at += seconds


def fill(bench: Any, iterations: range, keep: str = "always", **changes: object) -> Archive:
    archive = Archive(bench.directory, bench.store)
    for number in iterations:
        bench.begin(number)
        result = bench.result(number, **{"stderr": b"e%d" % number, **changes})
        ids = bench.store.commit_attempts([result], {"p": keep})
        bench.store.commit_chains(
            [
                ChainDone(
                    ids[0], of=result, samples=(Sample({"n": number}),), statics=(StaticFact("f", number),)
                )
            ]
        )
        archive.append([PendingAttempt(ids[0], result, keep)])
        bench.end(number)
    return archive


def iterations_in(path: Path) -> list[int | None]:
    return [block.iteration for block in read_blocks(path)] if path.exists() else []


def rows(bench: Any, query: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(bench.directory / "experiment.db")) as connection:
        return connection.execute(query).fetchall()


def run(bench: Any, archive: Archive, now: float, **ages: float) -> None:
    kept = Kept(**{"archive_s": NEVER, "attempts_s": NEVER, "samples_s": NEVER, **ages})
    list(prune(bench.store, archive, kept, now))


def test_old_blocks_leave_and_the_others_stay_where_rows_say(bench: Any) -> None:
    archive = fill(bench, range(1000, 2000, 100))
    run(bench, archive, 2000.0, archive_s=500)
    for stream in ("stdout", "stderr"):
        assert iterations_in(bench.directory / "pc1" / f"p.{stream}") == [1500, 1600, 1700, 1800, 1900]
    found = rows(bench, "SELECT iteration, stdout_end, stdout_bytes FROM attempt ORDER BY id")
    assert [end for iteration, end, _size in found if iteration < 1500] == [None] * 5
    with (bench.directory / "pc1" / "p.stdout").open("rb") as file:
        for iteration, end, size in found[5:]:
            content = read_block_at(file, end, size, bench.result(iteration))
            assert content == b"out of %d\r\n" % iteration
    bench.begin(2100)
    archive.append(bench.through(bench.result(2100)))
    assert iterations_in(bench.directory / "pc1" / "p.stdout")[-2:] == [1900, 2100]
    assert Archive(bench.directory, bench.reopen()).repair() == ()


def test_a_file_with_nothing_newer_is_removed_and_begun_again(bench: Any) -> None:
    archive = fill(bench, range(1000, 1200, 100))
    for number in (5000, 5100, 5200, 5300):
        bench.begin(number)
        bench.end(number)
    run(bench, archive, 6000.0, archive_s=2000)
    assert not (bench.directory / "pc1" / "p.stdout").exists()
    bench.begin(6000)
    archive.append(bench.through(bench.result(6000)))
    assert iterations_in(bench.directory / "pc1" / "p.stdout") == [6000]


def test_the_newest_block_of_on_change_stays_while_it_holds(bench: Any) -> None:
    archive = fill(bench, range(1000, 2000, 100), "on_change", stdout=b"same", stderr=b"")
    run(bench, archive, 2000.0, archive_s=500)
    assert iterations_in(bench.directory / "pc1" / "p.stdout") == [1000]


def test_what_another_program_left_in_front_is_never_dropped(bench: Any) -> None:
    (bench.directory / "pc1").mkdir()
    (bench.directory / "pc1" / "p.stdout").write_bytes(b"of DDC\n")
    archive = fill(bench, range(1000, 2000, 100))
    before = (bench.directory / "pc1" / "p.stdout").read_bytes()
    run(bench, archive, 2000.0, archive_s=500)
    assert (bench.directory / "pc1" / "p.stdout").read_bytes() == before


@pytest.mark.parametrize("moment", ["copies", "database", "file"])
def test_no_block_that_stays_is_lost_by_a_crash(
    bench: Any, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    """The power goes right before a step of the cut; the next start mends what it left."""
    archive = fill(bench, range(1000, 2000, 100))

    def power_cut(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    if moment == "copies":
        monkeypatch.setattr(archive_cut, "sync_directory", power_cut)
    elif moment == "database":
        monkeypatch.setattr(type(bench.store.retained), "move_ends", power_cut)
    else:
        real = archive_cut.finish_cut
        calls: list[object] = []

        def last(path: Path, recorded: int) -> None:
            calls.append(path)
            real(path, recorded) if len(calls) <= 2 else power_cut()

        monkeypatch.setattr(archive_cut, "finish_cut", last)
    with pytest.raises(KeyboardInterrupt):
        run(bench, archive, 2000.0, archive_s=500)
    monkeypatch.undo()
    again = Archive(bench.directory, bench.reopen())
    assert again.repair() == ()
    bench.begin(2100)
    again.append(bench.through(bench.result(2100, stderr=b"x")))
    for stream in ("stdout", "stderr"):
        found = iterations_in(bench.directory / "pc1" / f"p.{stream}")
        assert found[-6:] == [1500, 1600, 1700, 1800, 1900, 2100]
        assert not list((bench.directory / "pc1").glob("*.cut"))
    run(bench, again, 2000.0, archive_s=500)
    assert iterations_in(bench.directory / "pc1" / "p.stdout") == [1500, 1600, 1700, 1800, 1900, 2100]


def test_old_rows_leave_but_the_newest_that_reached_its_host_stays(bench: Any) -> None:
    archive = fill(bench, range(1000, 2000, 100))
    for number in (9000, 9100, 9200, 9300):
        bench.begin(number)
        archive.append(bench.through(bench.result(number, reason=Reason.NO_ANSWER)))
        bench.end(number)
    run(bench, archive, 10_000.0, attempts_s=5000, samples_s=8500)
    assert [row[0] for row in rows(bench, "SELECT iteration FROM attempt ORDER BY id")] == [
        1900, 9000, 9100, 9200, 9300,
    ]  # fmt: skip
    assert [row[0] for row in rows(bench, "SELECT iteration FROM sample ORDER BY attempt")] == [
        1500, 1600, 1700, 1800, 1900,
    ]  # fmt: skip
    assert rows(bench, "SELECT count(*) FROM static WHERE valid_to < 1500") == [(0,)]
    assert rows(bench, "SELECT count(*) FROM static WHERE valid_to IS NULL") == [(1,)]
    assert rows(bench, "SELECT min(id) FROM iteration") == [(1500,)]
    assert bench.reopen().last_reached({"p": 0.0}, 20_000)[("pc1", "p")] == 1901.0


def test_numbers_are_never_used_twice(bench: Any) -> None:
    archive = fill(bench, range(1000, 2000, 100))
    for number in (9000, 9100, 9200, 9300):
        bench.begin(number)
        bench.end(number)
    run(bench, archive, 10_000.0, attempts_s=10, samples_s=NEVER)
    bench.reopen()
    bench.begin(9400)
    assert bench.store.commit_attempts([bench.result(9400)]) == (11,)


def test_what_is_pending_untold_or_owed_stays(bench: Any) -> None:
    archive = Archive(bench.directory, bench.store)
    bench.begin(1000)
    first = bench.store.commit_attempts([bench.result(1000)])
    bench.end(1000)
    for number in range(5000, 5500, 100):
        bench.begin(number)
        archive.append(bench.through(bench.result(number)))
        bench.end(number)
    kept = Kept(1, 1, 1)
    assert not any(part.anything for part in prune(bench.store, archive, kept, 9e9))  # a chain is pending
    result = bench.result(1000)
    bench.store.commit_chains([ChainDone(first[0], of=result, items=(MailItem("tell them"),))])
    archive.append([PendingAttempt(first[0], result)])
    assert not any(part.anything for part in prune(bench.store, archive, kept, 9e9))  # an item is untold


def test_a_dry_run_counts_what_goes_and_changes_nothing(bench: Any) -> None:
    archive = fill(bench, range(1000, 2000, 100))
    kept = Kept(500, 500, 500)
    would = prospect(bench.store, archive, kept, 2000.0)
    assert prospect(bench.store, archive, kept, 2000.0) == would
    done = sum((part for part in prune(bench.store, archive, kept, 2000.0)), start=type(would)())
    assert (would.cut, would.rows.attempts, would.rows.samples) == (
        done.cut, done.rows.attempts, done.rows.samples,
    )  # fmt: skip
    assert would.cut.blocks == 10
    assert would.rows.samples == 5


def test_a_run_prunes_once_a_day_and_in_small_steps(bench: Any) -> None:
    archive = fill(bench, range(1000, 2000, 100))
    clock = StillClock(2000.0)
    house = Housekeeping(bench.store, archive, Kept(500, 500, 500), clock)
    first = house.step(budget_s=0.0)
    assert first.cut.blocks == 10
    assert not first.rows.total  # its moment was over
    assert house.step().rows.samples == 5
    for number in (2100, 2200, 2300, 2400):
        bench.begin(number)
        bench.end(number)
    clock.at = 2500.0
    assert not house.step().anything  # the next pass begins a day later
    clock.at = 2000.0 + DAY
    assert house.step().anything


def test_a_cut_that_frees_little_waits(bench: Any) -> None:
    archive = fill(bench, range(1000, 2000, 100))
    assert archive.cut_front(("pc1", "p"), 1200, 0.25).blocks == 0
    assert archive.cut_front(("pc1", "p"), 1300, 0.25).blocks == 6


def test_freed_pages_go_back_to_the_disk(make_bench: Callable[[], Any]) -> None:
    bench = make_bench()
    archive = fill(bench, range(1000, 1040), stdout=b"x")
    bench.store.close()
    file = bench.directory / "experiment.db"
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("CREATE TABLE waste AS SELECT randomblob(400000) AS x")
        connection.execute("DROP TABLE waste")
        connection.commit()
    del archive
    before = file.stat().st_size
    assert give_back(file) == ()
    assert file.stat().st_size < before
    shutil.rmtree(bench.directory)
