"""A coordinator killed with SIGKILL at any moment loses nothing that it had acknowledged (design §9.6)."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ddcplay.store.archive import Archive
from ddcplay.store.base import ChainDone
from ddcplay.store.blocks import read_blocks
from ddcplay.store.experiment_store import open_store
from ddcplay.store.queries import open_reader
from ddcplay.store.trace import TraceFiles, parse_line

POSTGRES = pytest.param("postgres", marks=[pytest.mark.real, pytest.mark.xdist_group("postgres")])


@pytest.fixture(params=["sqlite", POSTGRES])
def url(request: pytest.FixtureRequest) -> str | None:
    """Return where rows go: None for the experiment's own file."""
    if request.param == "sqlite":
        return None
    made: str = request.getfixturevalue("postgres_url")()
    return made


HOSTS = tuple(f"pc{number}" for number in range(6))

# The child does what the engine does, as fast as it can, and says on its stdout what was acknowledged.
CHILD = """
import sys, time
from pathlib import Path
from ddcplay.model.result import AttemptResult, Outcome
from ddcplay.store.archive import Archive
from ddcplay.store.base import ChainDone, IterationRecord, PendingAttempt, Provenance
from ddcplay.store.experiment_store import open_store
from ddcplay.store.trace import TraceFiles

directory, hosts = Path(sys.argv[1]), sys.argv[2].split(",")
store = open_store(directory, "exp", play="Play", clock_now=1.0, url=sys.argv[3] or None)
archive, traces = Archive(directory, store), TraceFiles(directory)
last = store.last_iteration()
iteration = last.id if last else 0
print("ready", flush=True)
while True:
    iteration += 1
    store.open_iteration(IterationRecord(iteration, float(iteration)), Provenance(), hosts, ["p"])
    results = [
        AttemptResult("exp", iteration, host, "p", Outcome.OK, exit_code=0, started_at=float(iteration),
                      stdout=f"{host} in {iteration}".encode() * 40, stderr=b"e")
        for host in hosts
    ]
    for part in (results[:3], results[3:]):
        ids = store.commit_attempts(part)
        sys.stdout.write("".join(f"{r.iteration} {r.host}\\n" for r in part))
        sys.stdout.flush()
        store.commit_chains([ChainDone(each) for each in ids])
        archive.append([PendingAttempt(each, r) for each, r in zip(ids, part)])
    store.close_iteration(iteration, iteration + 0.5, 0.5, "closed")
    traces.write(iteration, store.tally(iteration))
    store.note_trace_written(iteration)
"""


def _run_and_kill(
    directory: Path, url: str | None, acknowledged: int, after_s: float
) -> set[tuple[int, str]]:
    """Kill the child a moment after some acknowledgements; return all it had given."""
    command = [sys.executable, "-c", CHILD, str(directory), ",".join(HOSTS), url or ""]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"ready\n"
        told = b"".join(child.stdout.readline() for _ in range(acknowledged))
        time.sleep(after_s)
        child.kill()
        told += child.stdout.read()
    whole = told[: told.rfind(b"\n") + 1]
    return {(int(line.split()[0]), line.split()[1].decode()) for line in whole.splitlines()}


def _recover(directory: Path, url: str | None) -> None:
    store = open_store(directory, "exp", play="Play", clock_now=2.0, url=url)
    try:
        store.commit_chains([ChainDone(each.attempt_id) for each in store.pending(0, 10_000)])
        assert Archive(directory, store).repair() == ()
        TraceFiles(directory).repair(store)
        assert store.unarchived() == ()
    finally:
        store.close()


@pytest.mark.parametrize("seed", range(4))
def test_nothing_acknowledged_is_lost_by_sigkill(tmp_path: Path, url: str | None, seed: int) -> None:
    moments = random.Random(seed)
    directory = tmp_path / "exp"
    acknowledged: set[tuple[int, str]] = set()
    for _ in range(2):
        acknowledged |= _run_and_kill(directory, url, moments.randint(1, 30), moments.uniform(0.0, 0.01))
        _recover(directory, url)
        with open_reader(directory, url) as reader:
            attempts = [row.result for row in reader.attempts()]
            closed = [each.id for each in reader.iterations() if each.state == "closed"]
        rows = {(each.iteration, each.host) for each in attempts}
        assert acknowledged
        assert acknowledged <= rows
        for host in HOSTS:
            wanted = [each.iteration for each in attempts if each.host == host]
            for stream in ("stdout", "stderr"):
                path = directory / host / f"p.{stream}"
                blocks = list(read_blocks(path)) if path.exists() else []
                assert [block.iteration for block in blocks] == wanted
                assert all(block.complete for block in blocks)
        trace = directory / "p.trace"
        lines = trace.read_text().splitlines(keepends=True) if trace.exists() else []
        assert [parse_line(line).iteration for line in lines] == closed
        assert all(line.endswith("\n") for line in lines)
