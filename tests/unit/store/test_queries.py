from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from ddcplay.errors import StoreError
from ddcplay.model.result import Outcome, Reason
from ddcplay.store.queries import ExperimentInfo, list_experiments, open_reader


def _fill(bench: Any) -> None:
    for iteration in (1000, 2000):
        bench.begin(iteration)
        bench.through(
            bench.result(iteration),
            bench.result(iteration, "pc2", reason=Reason.NO_ANSWER),
            bench.result(iteration, probe="q", reason=Reason.TIMEOUT, detail=f"late in {iteration}"),
        )
    bench.end(1000)


def test_a_reader_works_while_the_coordinator_writes(bench: Any) -> None:
    _fill(bench)
    with open_reader(bench.directory) as reader:
        info = reader.info()
        assert (info.name, info.play, info.iterations, info.attempts, info.pending) == (
            "exp",
            "Play",
            2,
            6,
            0,
        )
        assert info.last is not None
        assert info.last.id == 2000
        assert info.owner is not None
        assert info.owner.alive()
        bench.begin(3000)
        assert reader.info().iterations == 3
        assert [each.id for each in reader.iterations(newest=2)] == [2000, 3000]
        assert reader.tally(1000) == bench.store.tally(1000)
        assert reader.directory_of("pc1") == bench.directory / "pc1"
        assert reader.directory_of("nobody") is None


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ({}, 6),
        ({"host": "pc1"}, 4),
        ({"probe": "q"}, 2),
        ({"iteration": 1000}, 3),
        ({"outcome": Outcome.UNAVAILABLE}, 2),
        ({"host": "pc1", "probe": "p", "iteration": 2000, "outcome": Outcome.OK}, 1),
        ({"newest": 4}, 4),
        ({"host": "nobody"}, 0),
    ],
)
def test_attempts_are_found_by_what_is_asked(bench: Any, wanted: dict[str, object], found: int) -> None:
    _fill(bench)
    with open_reader(bench.directory) as reader:
        rows = list(reader.attempts(**wanted))  # type: ignore[arg-type]
    assert len(rows) == found
    assert [row.attempt_id for row in rows] == sorted(row.attempt_id for row in rows)


def test_the_last_error_is_the_newest_failed_attempt(bench: Any) -> None:
    with open_reader(bench.directory) as reader:
        assert reader.last_error() is None
        _fill(bench)
        error = reader.last_error()
    assert error is not None
    assert error.result.detail == "late in 2000"


def test_a_reader_cannot_write(bench: Any) -> None:
    with (
        open_reader(bench.directory) as reader,
        reader._engine.begin() as connection,
        pytest.raises(sa.exc.OperationalError, match="readonly"),
    ):
        connection.execute(sa.text("DELETE FROM experiment"))


def test_a_data_directory_is_listed_with_what_cannot_be_read(bench: Any) -> None:
    data = bench.directory.parent
    (data / "broken").mkdir()
    (data / "broken" / "experiment.db").write_bytes(b"no database at all" * 100)
    (data / "notes").mkdir()
    broken, good = list_experiments(data)
    assert isinstance(good, ExperimentInfo)
    assert good.name == "exp"
    assert isinstance(broken, StoreError)
    assert "move it away" in broken.hint


def test_a_directory_without_an_experiment_is_refused_and_stays_empty(tmp_path: Path) -> None:
    for url in (None, f"sqlite:///{tmp_path / 'x.db'}"):
        with pytest.raises(StoreError, match="there is no experiment"):
            open_reader(tmp_path, url)
    assert list(tmp_path.iterdir()) == []


def test_an_owner_that_was_killed_is_not_shown(bench: Any) -> None:
    bench.store.close()
    note = {"pid": 2**22 + 1, "host": __import__("socket").gethostname(), "since": 1.0}
    (bench.directory / ".owner").write_text(json.dumps(note))
    with open_reader(bench.directory) as reader:
        assert reader.info().owner is None
