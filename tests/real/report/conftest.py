"""A made-up month of a school: machines with hours of their own, written through the store as a run does."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from ddcplay.model.effects import Sample
from ddcplay.model.result import AttemptResult, Outcome, Reason, outcome_of
from ddcplay.store.base import ArchivedAttempt, ChainDone, IterationRecord, Provenance
from ddcplay.store.experiment_store import ExperimentStore, open_store

START = 1_699_833_600  # Monday 2023-11-13 00:00 UTC
EVERY = 900
GIB = 1024**3


@dataclass
class School:
    """Makes an experiment and remembers what went into it.

    Args:
        directory: of the experiment.
        hosts: how many.
        keep: remember every sample, for a slow count.
    """

    directory: Path
    hosts: int
    keep: bool = True
    attempts: list[AttemptResult] = field(default_factory=list)
    samples: list[tuple[str, int, dict[str, object]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.names = [f"lab{n // 20 + 1:02}-pc{n % 20 + 1:02}" for n in range(self.hosts)]
        self.rooms = {name: name.partition("-")[0] for name in self.names}
        self._dice = {name: random.Random(name) for name in self.names}
        self._booted: dict[str, float | None] = dict.fromkeys(self.names)

    def fill(self, iterations: int, *, skip: range = range(0)) -> None:
        """Run so many iterations; those of `skip` the coordinator was off."""
        store = open_store(
            self.directory, self.directory.name, play="Classroom usage", clock_now=START, durability="batch"
        )
        try:
            missed = 0
            for number in range(iterations):
                if number in skip:
                    missed += 1
                    continue
                self._iteration(store, START + number * EVERY, missed)
                missed = 0
        finally:
            store.close()

    def _iteration(self, store: ExperimentStore, iteration: int, missed: int) -> None:
        record = IterationRecord(iteration, float(iteration), pairs=self.hosts, missed=missed)
        store.open_iteration(
            record, Provenance("school.yml", "- name: Classroom usage"), self.names, ["usage"]
        )
        found = [self._visit(name, iteration) for name in self.names]
        ids = store.commit_attempts([result for result, _data in found])
        done = [
            ChainDone(number)
            if data is None
            else ChainDone(number, of=result, samples=(Sample(data, label=""),))
            for number, (result, data) in zip(ids, found, strict=True)
        ]
        store.commit_chains(done)
        store.mark_archived([ArchivedAttempt(number) for number in ids], {})
        store.close_iteration(iteration, iteration + 30.0, 12.0, "closed")
        if self.keep:
            self.attempts += [result for result, _data in found]
            self.samples += [(r.host, iteration, data) for r, data in found if data is not None]

    def _visit(self, host: str, iteration: int) -> tuple[AttemptResult, dict[str, object] | None]:
        dice = self._dice[host]
        on = self._is_on(host, iteration, dice)
        reason = None if on else Reason.NO_ANSWER
        if on:
            number = self.names.index(host)
            if number % 20 == 7:
                reason = Reason.PORT_CLOSED
            elif number % 20 == 11 and number > 20:
                reason = Reason.AUTH
            elif dice.random() < 0.01:
                reason = dice.choice([Reason.TIMEOUT, Reason.TRANSPORT, Reason.FILTER])
        slow = 4.0 if host.endswith("pc05") else 1.0
        result = AttemptResult(
            experiment=self.directory.name,
            iteration=iteration,
            host=host,
            probe="usage",
            outcome=Outcome.OK if reason is None else outcome_of(reason),
            reason=reason,
            detail="" if reason is None else f"{host}: {reason}",
            hint="",
            on=on,
            started_at=iteration + dice.random() * 10,
            elapsed_s=0.0 if not on else dice.uniform(0.1, 0.6) * slow,
            exit_code=None,
        )
        return result, self._sample(host, result, dice) if reason is None else None

    def _is_on(self, host: str, iteration: int, dice: random.Random) -> bool:
        hour = (iteration - START) / 3600 % 168
        open_hours = hour < 120 and 8 <= hour % 24 < 20
        booted = self._booted[host]
        if host.endswith("pc13"):
            return False
        if booted is None:
            if dice.random() < (0.08 if open_hours else 0.002):
                self._booted[host] = iteration - dice.uniform(0, EVERY)
        elif dice.random() < (0.02 if open_hours else 0.10):
            self._booted[host] = None
        return self._booted[host] is not None

    def _sample(self, host: str, result: AttemptResult, dice: random.Random) -> dict[str, object]:
        booted = self._booted[host]
        assert booted is not None
        hour = (result.iteration - START) / 3600 % 24
        occupied = not host.startswith("lab02") and 9 <= hour < 19 and dice.random() < 0.6
        size = 128 * GIB
        days = (result.iteration - START) / 86400
        share = max(0.01, 0.3 - 0.012 * days) if host.endswith("pc03") else 0.4
        free = int(size * share + dice.uniform(-1, 1) * GIB)
        sent, received = (dice.uniform(200, 3000), dice.uniform(500, 9000)) if occupied else (120.5, 300.25)
        number = self.names.index(host)
        return {
            "computer_name": host.upper(), "local_time": "2023-11-13T08:00:00+00:00",
            "boot_time": "2023-11-13",            "uptime_s": result.started_at - booted, "interval_s": 900.0,
            "os_name": "Microsoft Windows 11 Education", "os_version": "10.0.22631",
            "cpu_name": "Intel(R) Core(TM) i5-10500", "cpu_mhz": 3096, "cpu_cores": 6, "cpu_threads": 12,
            "cpu_idle_pct": dice.uniform(85, 99.9) if occupied else 99.5, "cpu_idle_boot_pct": 97.0,
            "cpu_idle_ticks": 2**63 + number, "cpu_stamp_ticks": 133442424000000000,
            "ram_bytes": 16 * GIB, "ram_free_bytes": 6 * GIB, "ram_load_pct": dice.uniform(30, 80),
            "swap_bytes": 4 * GIB, "swap_free_bytes": 3 * GIB,
            "swap_load_pct": None if number % 3 == 0 else dice.uniform(5, 40),
            "disk_bytes": size, "disk_free_bytes": free, "disk_free_pct": 100 * free / size,
            "disks": [{"device": "C:", "label": "Windows", "fs": "NTFS", "size_bytes": size,
                       "free_bytes": free, "used_bytes": size - free, "free_pct": 100 * free / size}],
            "physical_disks": [{"disk": 0, "model": "SAMSUNG MZVLB256", "size_bytes": 256 * GIB}],
            "smart": [{"disk": 0, "predicted_failure": host == "lab01-pc09", "power_on_hours": 9000}],
            "bytes_received": 10**12, "bytes_sent": 10**11,
            "bytes_received_per_s": received, "bytes_sent_per_s": sent,
            "nics": [{"name": "Intel Ethernet", "mac": "00:00:5E:00:53:01", "bytes_received": 10**12,
                      "bytes_sent": 10**11, "bytes_received_per_s": received, "bytes_sent_per_s": sent}],
            "sessions": [{"user": "c0ffee" * 4, "domain": "SCHOOL"}] if occupied else [],
            "occupied": occupied, "n_sessions": int(occupied),
        }  # fmt: skip


@pytest.fixture(scope="session")
def school(tmp_path_factory: pytest.TempPathFactory) -> School:
    """Twenty-four machines over a bit more than two days, with a gap."""
    made = School(tmp_path_factory.mktemp("school") / "classroom", 24)
    made.fill(220, skip=range(100, 108))
    return made


@pytest.fixture
def make_school(tmp_path: Path) -> Callable[..., School]:
    """Build one of any size."""
    return lambda hosts, **options: School(tmp_path / "classroom", hosts, **options)
