"""`python -m bench`: how long the parts of the coordinator take that no PC is needed for.

Machines are noisy: read the figures beside each other, from one run.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from bench.chains import attempts_per_s
from ddcplay.config.inventory_files import load_inventory
from ddcplay.config.playbook_file import build_probe, read_playbook
from ddcplay.planning.pattern import select_hosts
from ddcplay.planning.planner import plan_play

PROBE = """\
    - name: p{n}
      command: systeminfo /fo csv {n}
      timeout: 30s
      tags: [a, b]
      env: {{A: b, C: d}}
      when: "drive == 'C:'"
"""


def best_of(count: int, work: Callable[[], object]) -> float:
    """Return the least CPU seconds of several runs."""
    taken = []
    for _ in range(count):
        before = time.process_time()
        work()
        taken.append(time.process_time() - before)
    return min(taken)


def main() -> None:
    """Measure and print a table."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        playbook = folder / "fifty.yml"
        playbook.write_text(
            "- name: x\n  hosts: all\n  vars: {drive: 'C:'}\n  probes:\n"
            + "".join(PROBE.format(n=number) for number in range(50))
        )
        pool = folder / "pool.yml"
        pool.write_text("all:\n  hosts:\n" + "".join(f"    pc{n:05}: {{slot: {n}}}\n" for n in range(10_000)))
        print("CPU seconds, best of 3")
        read_s = best_of(3, lambda: read_playbook(playbook, render=None))
        print(f"  a playbook of 50 probes read      {read_s:.3f}")
        print(f"  an inventory of 10,000 PCs read   {best_of(3, lambda: load_inventory([str(pool)])):.3f}")
        inventory = load_inventory([str(pool)])
        hosts = select_hosts(inventory, "all").hosts
        play = read_playbook(playbook, render=None).plays[0]

        def plan() -> object:
            return plan_play(play, hosts, room_of=inventory.room, build_probe=build_probe, extra_vars={})

        print(f"  50 probes planned for 10,000 PCs  {best_of(1, plan):.3f}")
        print("attempts per second through filters and their commit, wall time, best of 3")
        plain = max(attempts_per_s(folder / str(turn), 5000, user=False) for turn in range(3))
        user = max(attempts_per_s(folder / str(turn), 2000, user=True) for turn in range(3))
        print(f"  store and alert                   {plain:,.0f}")
        print(
            f"  with user code before them        {user:,.0f}  ({1e6 / user - 1e6 / plain:.0f} µs a record)"
        )


main()
