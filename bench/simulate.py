"""`python -m bench.simulate [DAYS [PCS]]`: how fast virtual time is, and what it takes."""

from __future__ import annotations

import resource
import sys
import tempfile
import time
from pathlib import Path

from ddcplay import app
from ddcplay.engine.events import Event, IterationClosed
from ddcplay.engine.stop import StopRequest
from ddcplay.model.options import Options
from ddcplay.model.simulation import SimulationRequest

PAPER = Path(__file__).parent.parent / "playbooks" / "paper.yml"
MONDAY = 1_772_409_600.0
DAY_S = 86400.0


class Count:
    """Counts attempts."""

    def __init__(self) -> None:
        self.iterations = self.attempts = self.ok = 0

    def handle(self, event: Event) -> None:
        """Take note of an iteration's end."""
        if isinstance(event, IterationClosed):
            self.iterations += 1
            for each in event.probes:
                self.attempts += each.ok + each.failed + each.unavailable + each.skipped
                self.ok += each.ok


def main() -> None:
    """Simulate some of the paper's month and print figures."""
    days = float(sys.argv[1]) if len(sys.argv) > 1 else 1.0
    pcs = int(sys.argv[2]) if len(sys.argv) > 2 else 169
    count = Count()
    with tempfile.TemporaryDirectory() as scratch:
        options = Options(overrides={"data_dir": scratch})
        request = SimulationRequest(pcs, min(11, pcs), days * DAY_S, 1, MONDAY)
        begun, cpu = time.monotonic(), time.process_time()
        app.simulate(str(PAPER), options, request, [count], StopRequest())
        wall_s, cpu_s = time.monotonic() - begun, time.process_time() - cpu
        place = Path(scratch) / "simulated" / "paper"
        size = sum(path.stat().st_size for path in place.rglob("*") if path.is_file())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    share = 100 * count.ok / count.attempts
    print(f"{count.iterations} iterations, {count.attempts} attempts, {share:.1f} % ok")
    print(f"  wall {wall_s:.1f} s, CPU {cpu_s:.1f} s, {1e6 * cpu_s / count.attempts:.0f} us CPU per attempt")
    print(f"  peak memory {peak:.0f} MiB, {size / 2**20:.0f} MiB written")


main()
