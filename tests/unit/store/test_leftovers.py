"""Removals that are owed: written and paid with the attempts that left or removed something."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ddcplay.model.result import AttemptResult, Outcome, Reason
from ddcplay.store.base import IterationRecord, Provenance
from ddcplay.store.experiment_store import open_store

DIRECTORY = r"C:\Temp\ddcplay-0123456789ab"


@pytest.fixture
def store(tmp_path):
    opened = open_store(tmp_path / "road", "road", play="Road", clock_now=1000.0, durability="batch")
    for number in (1000, 2000):
        opened.open_iteration(IterationRecord(number, float(number)), Provenance(), ["pc1", "pc2"], ["bench"])
    yield opened
    opened.close()


def attempt(iteration=1000, host="pc1", **more):
    return AttemptResult("road", iteration, host, "bench", Outcome.OK, started_at=float(iteration), **more)


def test_what_an_attempt_left_is_owed_and_survives_a_restart(store, tmp_path):
    store.commit_attempts([attempt(left=(DIRECTORY,), elapsed_s=2.0), attempt(host="pc2")])
    store.close()
    again = open_store(tmp_path / "road", "road", play="Road", clock_now=1100.0)
    try:
        (owed,) = again.leftovers.owed()
    finally:
        again.close()
    assert (owed.host, owed.probe, owed.directories, owed.since) == ("pc1", "bench", (DIRECTORY,), 1002.0)


def test_the_attempt_that_removed_it_pays(store):
    store.commit_attempts([attempt(left=(DIRECTORY,)), attempt(host="pc2", left=(DIRECTORY,))])
    store.commit_attempts([attempt(2000, cleaned=(DIRECTORY,))])
    assert [item.host for item in store.leftovers.owed()] == ["pc2"]


def test_an_attempt_that_never_reached_the_host_pays_nothing(store):
    store.commit_attempts([attempt(left=(DIRECTORY,))])
    silent = replace(attempt(2000), outcome=Outcome.UNAVAILABLE, reason=Reason.NO_ANSWER)
    store.commit_attempts([silent])
    assert len(store.leftovers.owed()) == 1


def test_a_debt_keeps_its_age_until_it_is_paid_and_begins_anew_afterwards(store):
    store.commit_attempts([attempt(left=(DIRECTORY,))])
    store.leftovers.note(("pc1", "bench"), "no_answer")
    store.commit_attempts([attempt(2000, left=(DIRECTORY,))])
    (owed,) = store.leftovers.owed()
    assert (owed.since, owed.tries) == (1000.0, 1)
    store.leftovers.pay([("pc1", "bench")], 2100.0, "clean")
    assert store.leftovers.owed() == ()
    store.open_iteration(IterationRecord(3000, 3000.0), Provenance(), ["pc1"], ["bench"])
    store.commit_attempts([attempt(3000, left=(DIRECTORY,))])
    (owed,) = store.leftovers.owed()
    assert (owed.since, owed.tries, owed.last_reason) == (3000.0, 0, None)
