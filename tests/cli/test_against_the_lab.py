"""The real program against a simulated fleet: exit codes, signals, what goes where."""

from __future__ import annotations

import csv
import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ddcplay.lab.fleet import Fault, LabConfig, LabHost, RunningLab, start_lab

pytestmark = [pytest.mark.lab, pytest.mark.xdist_group("cli-lab")]
Ddcplay = Callable[..., "subprocess.CompletedProcess[str]"]

QUICK = "- name: Quick\n  hosts: {hosts}\n  probes: [{{name: hostname, command: hostname, timeout: 20s}}]\n"
PERIODIC = """\
- {name: Usage, hosts: good, experiment: usage, schedule: {every: 60s}, probes: [{name: a, command: ver}]}
"""
STUCK = "- {name: Stuck, hosts: stuck, probes: [{name: a, command: hostname, timeout: 60s}]}\n"


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningLab]:
    hosts = (
        LabHost("pc1", ("good",)),
        LabHost("pc2", ("good",)),
        LabHost("pc3", ("bad",), faults=(Fault("quota_shells"),)),
        LabHost("pc4", ("stuck",), faults=(Fault("hang"),)),
        LabHost("pc5", ("off",), power="off", off_mode="refused"),
    )
    with start_lab(LabConfig(hosts), tmp_path_factory.mktemp("lab")) as running:
        yield running


@pytest.fixture
def fleet(lab: RunningLab, project: Path) -> Path:
    """Return a project whose inventory is the lab."""
    (project / "inventories" / "labs.yml").write_text(lab.inventory_yaml())
    for hosts in ("good", "bad", "off"):
        (project / "playbooks" / f"{hosts}.yml").write_text(QUICK.format(hosts=hosts))
    (project / "playbooks" / "mixed.yml").write_text(QUICK.format(hosts="good:bad:off"))
    (project / "playbooks" / "periodic.yml").write_text(PERIODIC)
    (project / "playbooks" / "stuck.yml").write_text(STUCK)
    return project


@pytest.mark.parametrize(
    ("playbook", "fail_on", "code"),
    [
        ("good", None, 0),
        ("mixed", None, 3),
        ("mixed", "failed>25%", 0),
        ("mixed", "quota", 3),
        ("mixed", "auth", 0),
        ("off", None, 0),
        ("off", "unavailable>0", 4),
    ],
)
def test_exit_code_of_a_run(
    playbook: str, fail_on: str | None, code: int, inside: Ddcplay, fleet: Path
) -> None:
    done = inside("run", playbook, *(["--fail-on", fail_on] if fail_on else []))

    assert done.returncode == code, done.stdout + done.stderr


def test_summary_tells_what_failed_on_which_host_and_where_files_are(inside: Ddcplay, fleet: Path) -> None:
    done = inside("run", "mixed")

    assert "hostname   2       1            1        0  50.0" in done.stdout
    assert "failed quota  1 attempt\n    hostname: pc3\n    → " in done.stdout
    assert f"files: {fleet / 'data' / 'quick'}" in done.stdout
    assert "\x1b" not in done.stdout


def test_json_lines_are_one_per_attempt_and_alone_on_standard_output(ddcplay: Ddcplay, fleet: Path) -> None:
    done = ddcplay("run", "mixed", "--json")

    assert done.returncode == 3
    rows = {row["host"]: row for row in map(json.loads, done.stdout.splitlines())}
    assert set(rows) == {"pc1", "pc2", "pc3", "pc5"}
    assert (rows["pc1"]["stdout"], rows["pc1"]["exit_code"]) == ("PC1\r\n", 0)
    assert (rows["pc3"]["outcome"], rows["pc3"]["reason"]) == ("failed", "quota")
    assert rows["pc1"]["started_at"].endswith("Z")
    assert "iteration" in done.stderr


def test_reader_that_leaves_ends_the_run_quietly(fleet: Path, environment: dict[str, str]) -> None:
    command = f"{sys.executable} -m ddcplay run periodic --json | head -1; exit ${{PIPESTATUS[0]}}"
    # The reader is gone at the second line at the latest; a run that did not notice would go on for ever.
    done = subprocess.run(
        ["bash", "-c", command],
        cwd=fleet,
        env=environment,
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 1
    assert "Traceback" not in done.stderr
    assert "BrokenPipe" not in done.stderr


def test_probe_groups_equal_answers_and_writes_csv(inside: Ddcplay, fleet: Path) -> None:
    done = inside("probe", "good", "-c", "ver", "--csv")
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    assert [row["host"] for row in rows] == ["pc1", "pc2"]
    assert "Microsoft Windows" in rows[0]["stdout"]

    grouped = inside("probe", "good", "-c", "echo same")
    assert "pc[1:2]  2 hosts  ok\nsame" in grouped.stdout
    assert json.loads(inside("status", "--json").stdout) == []  # nothing is archived without --save
    assert inside("probe", "bad", "-c", "ver").returncode == 3


def test_ping_tells_who_is_on(inside: Ddcplay, fleet: Path) -> None:
    done = inside("ping", "good:off")
    assert done.returncode == 0, done.stderr
    assert "pc[1:2]" in done.stdout
    assert "3 hosts  2 up" in done.stdout

    logged_on = [json.loads(line) for line in inside("ping", "good", "--login", "--json").stdout.splitlines()]
    assert {row["login"] for row in logged_on} == {"ok"}
    assert inside("ping", "off").returncode == 4


def test_status_after_a_run(inside: Ddcplay, fleet: Path) -> None:
    inside("run", "mixed")

    (row,) = json.loads(inside("status", "--json").stdout)

    assert (row["experiment"], row["iterations"], row["last_state"], row["attempts"]) == (
        "quick",
        1,
        "closed",
        4,
    )
    assert row["last_error"]["host"] == "pc3"
    assert "last error" in inside("status").stdout


@pytest.mark.skipif(os.name == "nt", reason="signals of Unix")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 0)])
def test_signal_while_waiting_ends_the_run_at_once(
    number: int, code: int, fleet: Path, environment: dict[str, str]
) -> None:
    with running("periodic", fleet, environment) as process:
        wait_for(process, "next iteration")
        process.send_signal(number)
        out, errors = process.communicate(timeout=30)

    assert process.returncode == code, errors
    assert "ddcplay: stopping" in errors
    assert (fleet / "data" / "usage" / "a.trace").read_text().count("\n") == 1
    assert "files: " in out


@pytest.mark.skipif(os.name == "nt", reason="signals of Unix")
def test_second_ctrl_c_leaves_at_once_although_a_host_hangs(fleet: Path, environment: dict[str, str]) -> None:
    with running("stuck", fleet, environment) as process:
        wait_for(process, "started")
        time.sleep(0.05)
        deadline = time.monotonic() + 30
        process.send_signal(signal.SIGINT)
        wait_for_error(process, "leaves at once")
        process.send_signal(signal.SIGINT)
        process.wait(timeout=max(1.0, deadline - time.monotonic()))

    assert process.returncode == 130


def test_one_experiment_cannot_be_run_twice_at_once(
    ddcplay: Ddcplay, fleet: Path, environment: dict[str, str]
) -> None:
    with running("periodic", fleet, environment) as process:
        wait_for(process, "next iteration")
        second = ddcplay("run", "periodic", "--once")
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=30)

    assert second.returncode == 2
    assert "usage" in second.stderr
    assert "Traceback" not in second.stderr


@pytest.mark.slow
def test_demo_collects_three_times_and_ends_its_lab(ddcplay: Ddcplay, tmp_path: Path) -> None:
    home = tmp_path / "demo"
    done = ddcplay("demo", "--directory", str(home), "--pcs", "20", "--rooms", "3")

    assert done.returncode == 0, done.stdout + done.stderr
    traces = sorted((home / "data" / "simulated").glob("*/*.trace"))
    assert traces
    assert all(trace.read_text().count("\n") == 3 for trace in traces)
    assert str(home) in done.stdout
    assert "ddcplay lab up" in done.stdout


def running(playbook: str, cwd: Path, environment: dict[str, str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "ddcplay", "run", playbook],
        cwd=cwd,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for(process: subprocess.Popen[str], words: str) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        if words in line:
            return
    raise AssertionError(f"{words!r} was never written: {process.communicate()[1]}")


def wait_for_error(process: subprocess.Popen[str], words: str) -> None:
    assert process.stderr is not None
    for line in process.stderr:
        if words in line:
            return
    raise AssertionError(f"{words!r} was never written to standard error")
