"""People silence and acknowledge from another process, while a coordinator writes."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import pytest

from ddcplay.errors import StoreError, UsageError
from ddcplay.model.alert import AlertIdentity, Silence
from ddcplay.model.result import AttemptResult
from ddcplay.store import notes
from ddcplay.store.base import ChainDone
from ddcplay.store.experiment_store import ExperimentStore
from ddcplay.store.queries import open_reader


class Bench(Protocol):
    directory: Path
    store: ExperimentStore

    def begin(self, iteration: int) -> None: ...
    def result(self, iteration: int, host: str = ...) -> AttemptResult: ...


SILENCE = Silence(0, (("name", "low_*"), ("host", "pc1")), 100.0, 200.0, "new disks\0 come", "ada")
IDENTITY = AlertIdentity("exp", "low_disk", "pc1", "C:")

OTHER = """
import sys
from pathlib import Path
from ddcplay.model.alert import AlertIdentity, Silence
from ddcplay.store import notes
directory = Path(sys.argv[1])
for number in range(1, 21):
    silence = Silence(0, (("host", f"pc{number}"),), 0.0, 1e12)
    assert notes.add_silence(directory, None, silence) == number
    notes.acknowledge(directory, None, AlertIdentity("exp", "r", f"pc{number}"), float(number), "eve")
print("done", flush=True)
"""


def test_a_silence_is_heard_until_it_is_over(bench: Bench) -> None:
    number = notes.add_silence(bench.directory, None, SILENCE)
    stored = replace(SILENCE, id=number, comment="new disks\ufffd come")
    second = notes.add_silence(bench.directory, None, replace(SILENCE, starts_at=500.0, ends_at=600.0))
    assert bench.store.alerts.silences(150.0)[0] == stored
    assert [each.id for each in bench.store.alerts.silences(150.0)] == [number, second]
    assert [each.id for each in bench.store.alerts.silences(200.0)] == [second]
    with open_reader(bench.directory) as reader:
        assert reader.silences(150.0) == bench.store.alerts.silences(150.0)


def test_a_silence_is_ended_early_but_never_made_longer(bench: Bench) -> None:
    number = notes.add_silence(bench.directory, None, SILENCE)
    assert notes.end_silence(bench.directory, None, number, 150.0).ends_at == 150.0
    assert notes.end_silence(bench.directory, None, number, 190.0).ends_at == 150.0
    assert bench.store.alerts.silences(150.0) == ()
    with pytest.raises(UsageError, match="no silence 77"):
        notes.end_silence(bench.directory, None, 77, 1.0)


def test_the_last_acknowledgement_counts(bench: Bench) -> None:
    for at in (10.0, 20.0):
        notes.acknowledge(bench.directory, None, IDENTITY, at, "ada")
    assert bench.store.alerts.acknowledged() == {IDENTITY: 20.0}
    with open_reader(bench.directory) as reader:
        assert reader.acknowledged() == {IDENTITY: 20.0}


def test_nothing_is_made_where_there_is_no_experiment(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="there is no experiment"):
        notes.add_silence(tmp_path / "none", None, SILENCE)
    assert list(tmp_path.iterdir()) == []


def test_another_process_writes_while_the_coordinator_does(bench: Bench) -> None:
    command = [sys.executable, "-c", OTHER, str(bench.directory)]
    iteration = 1000
    with subprocess.Popen(command, stdout=subprocess.PIPE) as other:
        while other.poll() is None:
            iteration += 1
            bench.begin(iteration)
            results = [bench.result(iteration, f"pc{number}") for number in range(20)]
            ids = bench.store.commit_attempts(results)
            done = [
                ChainDone(each, of=r, states={"s": {"n": iteration}})
                for each, r in zip(ids, results, strict=True)
            ]
            bench.store.commit_chains(done)
        assert other.stdout is not None
        assert other.stdout.read() == b"done\n"
    assert iteration > 1001
    assert [each.id for each in bench.store.alerts.silences(1.0)] == list(range(1, 21))
    assert len(bench.store.alerts.acknowledged()) == 20
    assert all(state == {"n": iteration} for state in bench.store.states().values())
