"""How many attempts the filter chains bring through, with and without user code."""

from __future__ import annotations

import time
from pathlib import Path

from ddcplay.config.playbook_file import build_probe, read_playbook
from ddcplay.engine.chains import Chains
from ddcplay.engine.events import Observers
from ddcplay.engine.filters import FilterMeans
from ddcplay.engine.reporting import Reporting
from ddcplay.engine.telling import Telling
from ddcplay.model.inventory import Host
from ddcplay.model.result import AttemptResult, Outcome
from ddcplay.planning.planner import plan_play
from ddcplay.store.base import IterationRecord, PendingAttempt, Provenance
from ddcplay.store.experiment_store import open_store
from ddcplay.units import SystemClock

PLAY = """\
- name: Bench
  hosts: all
  experiment: {name}
  schedule: {{every: 15m}}
  probes:
    - name: disks
      wmi: SELECT DeviceID,Size,FreeSpace FROM Win32_LogicalDisk
      filters:
        {user}- store: DeviceID
        - alert:
            name: low
            each: data
            key: DeviceID
            when: "item.FreeSpace < 0.1 * item.Size"
            after: 3
            message: "{{{{ host.name }}}} {{{{ item.DeviceID }}}}"
"""
USER = "from ddcplay import Filter\nclass Same(Filter):\n    pass\n"
BATCH = 500
DISKS = [{"DeviceID": "C:", "Size": 256 * 10**9, "FreeSpace": 90 * 10**9}]


def attempts_per_s(folder: Path, count: int, *, user: bool) -> float:
    """Return attempts per second through chain and commit 2, wall time; every tenth disk is low.

    Args:
        folder: for the database.
        count: attempts.
        user: a filter of the user's, which does nothing, stands first.
    """
    name = "user" if user else "plain"
    folder.mkdir(exist_ok=True)
    (folder / "same.py").write_text(USER)
    playbook = folder / f"{name}.yml"
    playbook.write_text(PLAY.format(name=name, user="- same.py:Same\n        " if user else ""))
    play = read_playbook(playbook, render=None).plays[0]
    hosts = [Host(f"pc{number:04}", ("labs",)) for number in range(BATCH)]
    plan = plan_play(play, hosts, room_of=lambda _name: "labs", build_probe=build_probe, extra_vars={})
    clock = SystemClock()
    store = open_store(folder / name, name, play="Bench", clock_now=clock.now())
    reporting = Reporting(play, {}, store, folder / name, None)
    observers = Observers()
    telling = Telling(play, plan, store, None, reporting, observers=observers, clock=clock)
    maker = FilterMeans((folder,), directory=folder).begin()
    chains = Chains(
        play,
        plan,
        folder / name,
        store,
        telling,
        observers=observers,
        make=maker.make,
        end=maker.close,
    )
    chains.open()
    taken = 0.0
    for iteration in range(1, count // BATCH + 1):
        names = [host.name for host in hosts]
        store.open_iteration(IterationRecord(iteration, clock.now()), Provenance(), names, ["disks"])
        results = [_result(name, iteration, host, low=not number % 10) for number, host in enumerate(names)]
        ids = store.commit_attempts(results)
        before = time.perf_counter()
        done = [chains.run(PendingAttempt(each, result)) for each, result in zip(ids, results, strict=True)]
        store.commit_chains(done)
        taken += time.perf_counter() - before
        if any(chain.outcome_override for chain in done):
            raise RuntimeError(done[0].detail)
    chains.close()
    store.close()
    return count / taken


def _result(experiment: str, iteration: int, host: str, *, low: bool) -> AttemptResult:
    disks = [{**DISKS[0], "FreeSpace": 10**9}] if low else DISKS
    return AttemptResult(
        experiment, iteration, host, "disks", Outcome.OK, started_at=time.time(), exit_code=0, data=disks
    )
