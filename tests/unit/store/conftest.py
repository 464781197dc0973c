"""What the store's tests share: an experiment on a local disk, and attempts to put into it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from ddcplay.model.result import AttemptResult, Outcome, Reason, outcome_of
from ddcplay.store.base import ChainDone, IterationRecord, PendingAttempt, Provenance
from ddcplay.store.experiment_store import ExperimentStore, open_store


class Bench:
    """An experiment that can be closed and opened again, as after a crash."""

    def __init__(self, directory: Path, url: str | None = None) -> None:
        self.directory = directory
        self.url = url
        self.store = self._open()

    def _open(self) -> ExperimentStore:
        return open_store(self.directory, "exp", play="Play", clock_now=500.0, url=self.url)

    def reopen(self) -> ExperimentStore:
        self.store.close()
        self.store = self._open()
        return self.store

    def begin(
        self, iteration: int, hosts: Sequence[str] = ("pc2", "pc1"), probes: Sequence[str] = ("p", "q")
    ) -> None:
        record = IterationRecord(iteration, float(iteration), pairs=len(hosts) * len(probes))
        self.store.open_iteration(record, Provenance("play.yml", "- name: Play"), hosts, probes)

    def result(
        self,
        iteration: int,
        host: str = "pc1",
        probe: str = "p",
        reason: Reason | None = None,
        **changes: object,
    ) -> AttemptResult:
        fields: dict[str, object] = {
            "outcome": Outcome.OK if reason is None else None,
            "started_at": iteration + 1.0,
            "elapsed_s": 0.412,
            "exit_code": 0 if reason is None else None,
            "stdout": b"out of %d\r\n" % iteration,
        }
        if reason is not None:
            fields["outcome"] = outcome_of(reason)
            if fields["outcome"] is not Outcome.FAILED:
                fields["stdout"] = b""
        fields.update(changes)
        return AttemptResult("exp", iteration, host, probe, reason=reason, **fields)  # type: ignore[arg-type]

    def through(
        self, *results: AttemptResult, keep: dict[str, str] | None = None
    ) -> tuple[PendingAttempt, ...]:
        """Take attempts through both commits."""
        ids = self.store.commit_attempts(results, keep)
        self.store.commit_chains([ChainDone(each) for each in ids])
        return tuple(PendingAttempt(each, result) for each, result in zip(ids, results, strict=True))

    def end(self, iteration: int) -> None:
        self.store.close_iteration(iteration, iteration + 10.0, 5.0, "closed")


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path / "data" / "exp")
    yield made
    made.store.close()


@pytest.fixture
def make_bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Bench]]:
    """Build as many experiments as a property needs."""
    made: list[Bench] = []

    def build(url: str | None = None) -> Bench:
        made.append(Bench(tmp_path_factory.mktemp("exp") / "exp", url))
        return made[-1]

    yield build
    for each in made:
        each.store.close()
