from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console, RenderableType

from ddcplay.app import PingRow
from ddcplay.engine.events import IterationClosed, ProbeSummary
from ddcplay.model.inventory import SecretRef
from ddcplay.model.plan import HostPlan, Plan, ProbeSpec, Skip, Target
from ddcplay.model.result import AttemptResult, Reason
from ddcplay.transport.evidence import HostState, SweepAnswer
from ddcplay.ui.answers import equal_answers, print_answers, write_csv
from ddcplay.ui.experiment_view import ExperimentStatus, print_status
from ddcplay.ui.plan_view import equal_plans, plan_fields, print_plan
from ddcplay.ui.sweep_view import print_ping
from ddcplay.ui.tables import run_summary

Attempt = Callable[..., AttemptResult]
PCS = [f"lab01-pc{number:02d}" for number in range(1, 13)]


@pytest.fixture
def shown() -> Callable[[Callable[[Console], None]], str]:
    def draw(paint: Callable[[Console], None]) -> str:
        stream = io.StringIO()
        paint(Console(file=stream, width=120, no_color=True, highlight=False, markup=False))
        return "\n".join(line.rstrip() for line in stream.getvalue().splitlines())

    return draw


Shown = Callable[[Callable[[Console], None]], str]


def painted(what: RenderableType) -> Callable[[Console], None]:
    return lambda console: console.print(what)


def test_summary_groups_failures_by_reason_with_hosts_and_the_fix(shown: Shown) -> None:
    closed = IterationClosed(
        "usage",
        1081948390,
        381.94,
        [
            ProbeSummary(
                "disks",
                100,
                12,
                49,
                1,
                380.0,
                {Reason.AUTH: PCS, Reason.NO_ANSWER: ["x", "y"], Reason.WHEN: []},
                {Reason.AUTH: "check the account \x1b[5m"},
            ),
            ProbeSummary("bench", 0, 0, 0, 0, 0.0),
        ],
        unreached_on=["lab02-pc1"],
    )

    text = shown(painted(run_summary("usage", closed, Path("data/usage"))))

    assert "disks  100      12           49        1  62.1    380.0" in text
    assert "bench    0       0            0        0     -      0.0" in text
    assert "failed auth  12 attempts\n    disks: lab01-pc[01:12]\n    → check the account \\x1b[5m" in text
    assert "unavailable no_answer  2 attempts\n    disks: x, y" in text
    assert "skipped when" not in text
    assert "on but not collected: 1 machine\n    lab02-pc1" in text
    assert "files: data/usage" in text
    assert text.index("failed auth") < text.index("unavailable no_answer")


def test_summary_of_a_run_that_closed_nothing(shown: Shown) -> None:
    assert "no iteration was closed" in shown(painted(run_summary("usage", None, None)))


def test_probes_with_the_same_hosts_share_a_line_in_the_summary(shown: Shown) -> None:
    probes = [ProbeSummary(name, 0, 2, 0, 0, 1.0, {Reason.QUOTA: ["a", "b"]}) for name in ("one", "two")]

    text = shown(painted(run_summary("usage", IterationClosed("usage", 1, 1.0, probes), None)))

    assert "failed quota  4 attempts\n    one, two: a, b" in text


def test_equal_answers_share_a_block_and_the_largest_comes_first(attempt: Attempt, shown: Shown) -> None:
    results = [
        attempt("odd", stdout=b"Windows 11 \x1b[31m\r\n"),
        *(attempt(pc, stdout=b"Windows 10\r\n") for pc in PCS),
        attempt("off1", Reason.NO_ANSWER, detail="nothing within 0.612 s"),
        attempt("off2", Reason.NO_ANSWER, detail="nothing within 0.601 s"),
        attempt("bad", Reason.EXIT_CODE, exit_code=3, stderr=b"[red]no[/red]"),
    ]

    text = shown(lambda console: print_answers(console, results))

    assert text.startswith("lab01-pc[01:12]  12 hosts  ok\nWindows 10\n")
    assert "odd  ok\nWindows 11 \\x1b[31m" in text
    assert "off[1:2]  2 hosts  unavailable no_answer" in text
    assert "bad  failed exit_code  exit code 3\n[red]no[/red]" in text
    assert "16 hosts  13 ok  1 failed  2 unavailable" in text
    assert len(equal_answers(results)) == 4


@pytest.mark.parametrize(
    ("output", "cell"),
    [
        (b"=cmd|'/c calc'!A1", "'=cmd|'/c calc'!A1"),
        (b"@SUM(1)", "'@SUM(1)"),
        (b"-5", "-5"),
        (b"+1-2", "'+1-2"),
        (b"two\r\nlines\r\n", "two\nlines"),
        (b"\x1b[2Jx", "\\x1b[2Jx"),
    ],
)
def test_csv_cells_cannot_become_formulas(output: bytes, cell: str, attempt: Attempt) -> None:
    stream = io.StringIO()
    write_csv(stream, [attempt("a", stdout=output)])

    (row,) = csv.DictReader(io.StringIO(stream.getvalue()))
    assert row["stdout"] == cell


def plan_of(*hosts: HostPlan) -> Plan:
    return Plan("usage", ("disks",), hosts)


def host_plan(host: str, port: int = 5985, **more: object) -> HostPlan:
    target = Target(host, f"{host}.x", port=port, user="u", password=SecretRef("plain", "Sup3rS3cret!"))
    spec = ProbeSpec("disks", "command", "ver", stdin=b"\xff", env=(("A", "b"),), **more)  # type: ignore[arg-type]
    return HostPlan(host, ("labs",), "lab01", target, (spec,), (Skip("bench", Reason.WHEN, "laptops only"),))


def test_equal_plans_share_a_block_with_the_exact_command_line(shown: Shown) -> None:
    plan = plan_of(host_plan("pc1"), host_plan("pc2", port=5986), host_plan("pc3", timeout_s=5.0))

    text = shown(lambda console: print_plan(console, "Usage", plan, lambda spec: f"cmd /c {spec.body}"))

    assert len(equal_plans(plan)) == 2
    assert "pc[1:2]\n  at pc1=pc1.x:5985 pc2=pc2.x:5986 · winrm · user u · password ********" in text
    assert "  disks  (command, timeout 1m00s)\n    cmd /c ver\n" in text
    assert "  bench  skipped, when: laptops only" in text
    assert "Sup3rS3cret" not in text


def test_plan_as_json_holds_no_secret(shown: Shown) -> None:
    fields = plan_fields("Usage", plan_of(host_plan("pc1")), lambda spec: str(spec.body))

    text = json.dumps(fields)

    assert "Sup3rS3cret" not in text
    assert '"password": "********"' in text
    assert '"command_line": "ver"' in text


def test_a_long_script_is_cut_unless_asked_for(shown: Shown) -> None:
    script = "\n".join(f"line {number}" for number in range(50))
    plan = plan_of(host_plan("pc1"))

    assert "… 30 more lines (-v)" in shown(lambda console: print_plan(console, "U", plan, lambda _: script))
    assert "line 49" in shown(lambda console: print_plan(console, "U", plan, lambda _: script, full=True))


def test_a_command_line_is_never_broken_by_the_screen(shown: Shown) -> None:
    line = "powershell.exe " + "x" * 300
    assert line in shown(lambda console: print_plan(console, "U", plan_of(host_plan("pc1")), lambda _: line))


def ping_row(host: str, state: HostState, port: int, detail: str = "", login: str = "") -> PingRow:
    up = state is HostState.UP
    answer = SweepAnswer(host, state, up, "10.0.0.1", (port,) if up else (), detail, 0.01)
    return PingRow(host, answer, login)


def test_ping_groups_equal_answers_with_those_that_need_work_before_the_silent(shown: Shown) -> None:
    rows = [
        ping_row("off1", HostState.NO_ANSWER, 0, "nothing within 0.61 s"),
        ping_row("deaf1", HostState.PORT_CLOSED, 0, "answers ping, not port 5985"),
        ping_row("deaf2", HostState.PORT_CLOSED, 0, "answers ping, not port 5986"),
        *(ping_row(pc, HostState.UP, 5985) for pc in PCS),
    ]

    lines = shown(lambda console: print_ping(console, rows, login=False)).splitlines()

    assert lines[1].split()[:4] == ["up", "5985", "12", "lab01-pc[01:12]"]
    assert lines[2].split()[:4] == ["port_closed", "-", "2", "deaf[1:2]"]
    assert lines[3].split() == ["no_answer", "-", "1", "off1"]
    assert lines[4] == "15 hosts  12 up  2 port_closed  1 no_answer"
    assert len(shown(lambda console: print_ping(console, rows, login=True, full=True)).splitlines()) == 17


def test_status_tells_running_experiments_errors_and_what_cannot_be_read(
    attempt: Attempt, shown: Shown
) -> None:
    found = [
        ExperimentStatus(
            "usage", Path("data/usage"), running="admin, pid 7", iterations=2867, last_id=1081948390
        ),
        ExperimentStatus(
            "bench", Path("data/bench"), last_error=attempt("a", Reason.AUTH, detail="no \x1b[31m")
        ),
        ExperimentStatus("old", Path("data/old"), problem="its schema is newer"),
    ]

    text = shown(lambda console: print_status(console, found, Path("data")))

    assert "admin, pid 7" in text
    assert "2,867" in text
    assert "bench: last error in" in text
    assert "a disks failed auth: no \\x1b[31m" in text
    assert "old: its schema is newer" in text
