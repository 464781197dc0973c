"""Virtual time: the same engine, another clock. What comes out is plausible, repeatable, and true."""

from __future__ import annotations

import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import orjson
import pytest

from ddcplay import app
from ddcplay.engine.events import Event, IterationClosed
from ddcplay.engine.stop import StopRequest
from ddcplay.errors import UsageError
from ddcplay.model.options import Options
from ddcplay.model.simulation import SimulationRequest
from ddcplay.store.trace import parse_line

MONDAY_8H = 1_772_438_400.0  # 2026-03-02 08:00 UTC
PAPER = Path(__file__).parents[2] / "playbooks" / "paper.yml"
HOUR = 3600.0


class Heard:
    """Everything the engine told; asks for a stop at an iteration."""

    def __init__(self, stop: StopRequest | None = None, after: int = 0) -> None:
        self.closed: list[IterationClosed] = []
        self._stop, self._after = stop, after

    def handle(self, event: Event) -> None:
        if isinstance(event, IterationClosed):
            self.closed.append(event)
            if self._stop is not None and len(self.closed) == self._after:
                self._stop.request()


def simulate(data: Path, hours: float, hosts: int = 20, playbook: Path | None = None, **how: object) -> Heard:
    playbook = playbook or paper(data)
    request = SimulationRequest(hosts, 2, hours * HOUR, int(str(how.get("seed", 1))), MONDAY_8H)
    stop = StopRequest()
    heard = Heard(stop, int(str(how["stop_after"])) if "stop_after" in how else -1)
    options = Options(directory=data, overrides={"data_dir": str(data)})
    app.simulate(str(playbook), options, request, [heard], stop)
    return heard


def paper(data: Path) -> Path:
    """Copy the playbook out of the repository, whose commit would be recorded with each iteration."""
    copy = data.parent / f"paper-{os.getpid()}.yml"
    copy.write_bytes(PAPER.read_bytes())
    return copy


def contents(data: Path, experiment: str = "paper") -> dict[str, object]:
    """Everything in the experiment's directory that is data, in an order that does not depend on pages."""
    place = data / "simulated" / experiment
    found: dict[str, object] = {path.name: path.read_bytes() for path in place.glob("*.trace")}
    found["truth"] = (place / "truth.jsonl").read_bytes()
    with contextlib.closing(sqlite3.connect(place / "experiment.db")) as database:
        names = [row[0] for row in database.execute("select name from sqlite_master where type = 'table'")]
        for name in names:
            found[name] = sorted(map(repr, database.execute(f"select * from {name}")))
    return found


def truth(data: Path) -> list[Mapping[str, object]]:
    lines = (data / "simulated" / "paper" / "truth.jsonl").read_bytes().splitlines()
    return [orjson.loads(line) for line in lines]


def rows(data: Path, query: str) -> list[tuple[object, ...]]:
    with contextlib.closing(sqlite3.connect(data / "simulated" / "paper" / "experiment.db")) as database:
        return database.execute(query).fetchall()


def test_the_same_values_give_the_same_data(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        simulate(tmp_path / name, 3)
    one, two = contents(tmp_path / "one"), contents(tmp_path / "two")
    assert one["sample"]
    assert one == two


def test_another_seed_gives_other_data(tmp_path: Path) -> None:
    for seed in (1, 2):
        (tmp_path / str(seed)).mkdir()
        simulate(tmp_path / str(seed), 1, seed=seed)
    assert contents(tmp_path / "1")["sample"] != contents(tmp_path / "2")["sample"]


def test_a_simulation_stopped_and_continued_gives_what_one_run_gives(tmp_path: Path) -> None:
    for name in ("whole", "parts"):
        (tmp_path / name).mkdir()
    simulate(tmp_path / "whole", 3)
    first = simulate(tmp_path / "parts", 3, stop_after=4)
    assert len(first.closed) == 4
    rest = simulate(tmp_path / "parts", 3)
    assert len(rest.closed) == 8
    assert contents(tmp_path / "parts") == contents(tmp_path / "whole")


def test_a_killed_simulation_goes_on_and_ends_with_the_same_tables(tmp_path: Path) -> None:
    for name in ("whole", "killed"):
        (tmp_path / name).mkdir()
    simulate(tmp_path / "whole", 12)
    killed = tmp_path / "killed"
    trace = killed / "simulated" / "paper" / "w32probe.trace"
    lengths = []
    for lines in (3, 17):
        with running(killed, hours=12) as process:
            until = time.monotonic() + 60
            while not (trace.exists() and trace.read_bytes().count(b"\n") >= lines):
                assert process.poll() is None
                assert time.monotonic() < until
                time.sleep(0.002)
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
        lengths.append(trace.read_bytes().count(b"\n"))
    assert lengths[-1] < 48, "it was killed on the way"
    simulate(killed, 12)
    assert contents(killed) == contents(tmp_path / "whole")


@contextlib.contextmanager
def running(data: Path, hours: float) -> Iterator[subprocess.Popen[bytes]]:
    """Run the command as a user does."""
    words = ["simulate", str(paper(data)), "--hosts", "20", "--rooms", "2", "--days", str(hours / 24)]
    words += ["--start", "2026-03-02T08:00", "--data-dir", str(data), "-C", str(data)]
    program = [sys.executable, "-c", "from ddcplay.cli.main import main; main()", *words]
    process = subprocess.Popen(program, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def test_every_sample_says_what_was_true_when_its_visit_connected(tmp_path: Path) -> None:
    simulate(tmp_path, 6)
    told = {(line["host"], line["t"]): line for line in truth(tmp_path) if line["event"] == "visit"}
    found = rows(tmp_path, "select host, at, data from sample")
    assert len(found) == sum(1 for line in told.values() if line["on"] and not line["fault"]) > 100
    for host, at, text in found:
        true, data = told[host, at], orjson.loads(str(text))
        assert data["occupied"] == (true["user"] is not None)
        assert data["n_sessions"] == true["sessions"]
        assert data["ram_free_bytes"] == int(str(true["ram_free_bytes"])) // 1024 * 1024
        assert data["disk_free_bytes"] == true["disk_free_bytes"]
        assert (data["bytes_received"], data["bytes_sent"]) == (true["bytes_received"], true["bytes_sent"])
        assert data["uptime_s"] == pytest.approx(float(str(at)) - float(str(true["boot"])), abs=0.002)
        idle = 100 * float(str(true["idle_s"])) / data["uptime_s"]
        assert data["cpu_idle_boot_pct"] == pytest.approx(min(100, idle), abs=0.01)


def test_unavailable_hosts_are_those_that_were_off_in_the_last_sweep(tmp_path: Path) -> None:
    simulate(tmp_path, 4)
    sweeps = [line for line in truth(tmp_path) if line["event"] == "sweep"]
    for (iteration,) in rows(tmp_path, "select id from iteration"):
        start = float(str(iteration))
        last = [line for line in sweeps if start <= float(str(line["t"])) < start + 900][-1]
        query = f"select host from attempt where iteration = {iteration} and reason = 'no_answer'"
        assert {row[0] for row in rows(tmp_path, query)} == set(last["off"])  # type: ignore[call-overload]


def test_the_trace_has_one_line_per_iteration_and_its_elapsed_depends_on_the_lanes(tmp_path: Path) -> None:
    elapsed: dict[int, list[float]] = {}
    for lanes in (1, 100):
        (tmp_path / str(lanes)).mkdir()
        playbook = tmp_path / f"{lanes}.yml"
        text = PAPER.read_text(encoding="utf-8").replace("concurrency: 100", f"concurrency: {lanes}")
        playbook.write_text(text, encoding="utf-8")
        simulate(tmp_path / str(lanes), 4, playbook=playbook)
        path = tmp_path / str(lanes) / "simulated" / "paper" / "w32probe.trace"
        lines = [parse_line(line) for line in path.read_text(encoding="utf-8").splitlines()]
        assert [line.iteration for line in lines] == [int(MONDAY_8H) + 900 * n for n in range(16)]
        query = "select sum(elapsed_s), max(elapsed_s) from attempt group by iteration order by iteration"
        for line, (total, longest) in zip(lines, rows(tmp_path / str(lanes), query), strict=True):
            least, most = (
                (float(str(total)), float(str(total)) + 3) if lanes == 1 else (float(str(longest)), 5)
            )
            assert least - 0.06 <= line.elapsed_s <= most
        elapsed[lanes] = [line.elapsed_s for line in lines if line.ok > 5]
    assert min(elapsed[1]) > 1.5 * max(elapsed[100])


def test_nothing_is_mixed_with_another_simulation(tmp_path: Path) -> None:
    simulate(tmp_path, 0.25)
    with pytest.raises(UsageError, match="other values"):
        simulate(tmp_path, 0.25, seed=2)


def test_real_data_is_never_touched(tmp_path: Path) -> None:
    simulate(tmp_path, 0.25)
    (tmp_path / "simulated" / "paper" / "simulation.json").unlink()
    with pytest.raises(UsageError, match="not simulated"):
        simulate(tmp_path, 0.25)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_pool_of_the_papers_size(tmp_path: Path) -> None:
    """One day here; `DDCPLAY_SIMULATED_DAYS=30` makes it the paper's month."""
    days = int(os.environ.get("DDCPLAY_SIMULATED_DAYS", "1"))
    simulate(tmp_path, days * 24, hosts=169)
    ((iterations, attempts),) = rows(
        tmp_path, "select count(distinct iteration), count(*) from attempt where chain = 'done'"
    )
    assert (iterations, attempts) == (days * 96, days * 96 * 169)
    ((share,),) = rows(tmp_path, "select avg(outcome = 'ok') from attempt")
    assert 0.4 < float(str(share)) < 0.8  # workdays are fuller than a month with its weekends
