"""The report of an experiment in a real database: each figure equals one counted slowly, apart."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from collections import defaultdict
from statistics import fmean

import lxml.html
import pytest

from ddcplay.reporting import ReportScope, read_counts, read_study, rooms_by_name, write_report

START = 1_699_833_600
CELLS = {
    "cpu_idle_pct": 1, "ram_load_pct": 1, "swap_load_pct": 1, "disk_free_pct": 1,
    "disk_free_bytes": 1024**3, "bytes_sent_per_s": 1, "bytes_received_per_s": 1,
}  # fmt: skip


@pytest.fixture(scope="module")
def study(school):
    return read_study(school.directory, None, ReportScope(timezone="Europe/Lisbon", rooms=school.rooms))


def test_each_cell_of_table_1_equals_a_slow_count(school, study):
    groups = {
        "no users": [d for _h, _i, d in school.samples if not d["occupied"]],
        "with users": [d for _h, _i, d in school.samples if d["occupied"]],
        "both": [d for _h, _i, d in school.samples],
    }
    assert [column.title for column in study.table1] == list(groups)
    for column in study.table1:
        rows = groups[column.title]
        assert column.samples == len(rows) > 0
        assert column.share_pct == pytest.approx(100 * len(rows) / len(school.attempts), abs=0.005)
        for field, scale in CELLS.items():
            expected = fmean(d[field] for d in rows if d[field] is not None) / scale
            assert column.means[field] == pytest.approx(expected, abs=0.005), field


def test_a_period_leaves_out_what_came_before_and_after(school):
    since, until = START + 20 * 900, START + 60 * 900
    mine = [d for _h, iteration, d in school.samples if since <= iteration <= until]
    part = read_study(school.directory, None, ReportScope(since, until))
    assert part.samples == len(mine) < len(school.samples)
    assert part.summary.iterations == 41
    assert part.table1[2].means["ram_load_pct"] == pytest.approx(fmean(d["ram_load_pct"] for d in mine))


def test_machines_over_time_equal_a_slow_count(school, study):
    on, used = defaultdict(int), defaultdict(int)
    for attempt in school.attempts:
        on[attempt.iteration] += bool(attempt.on)
    for _host, iteration, data in school.samples:
        used[iteration] += bool(data["occupied"])
    line = study.timeline
    assert line.grid.step_s == 900
    for iteration, column in line.grid.column_of.items():
        assert (line.on[column], line.occupied[column]) == (on[iteration], used[iteration])


def test_hours_of_the_week_are_those_of_the_play(school, study):
    # Lisbon has UTC's time in November: Monday 10:00 to 11:00 are iterations 40 to 43.
    looks = [START + n * 900 for n in range(40, 44)]
    expected = sum(bool(a.on) for a in school.attempts if a.iteration in looks) / 4
    assert study.week.on[10] == pytest.approx(expected)
    assert study.week.on[6 * 24] is None  # no iteration on a Sunday


def test_uptime_sessions_are_boots_told_apart(school, study):
    sessions = 0
    last: dict[str, float] = {}
    for host, _iteration, data in school.samples:
        sessions += host not in last or data["uptime_s"] < last[host]
        last[host] = data["uptime_s"]
    assert study.uptimes.total == sum(study.uptimes.numbers) == sessions


def test_what_to_do_has_broken_machines_in_order_of_urgency(study):
    tasks = [(task.title, task.hosts) for task in study.summary.tasks]
    assert tasks[0] == ("a disk says that it will fail soon (SMART)", ("lab01-pc09",))
    assert ("switched on, but WinRM does not answer", ("lab01-pc08",)) in tasks
    assert tasks[-1][0].startswith("room lab02 was not used")


def test_the_gap_of_the_coordinator_is_told(study):
    (gap,) = study.summary.gaps
    assert (gap.to_at - gap.from_at, gap.missed) == (9 * 900, 8)


def test_an_experiment_without_samples_has_a_report(school, tmp_path, make_school):
    empty = make_school(2)
    empty.fill(0)
    study = read_study(empty.directory, None, ReportScope())
    write_report(study, tmp_path / "r.html", 0.0)
    assert "no iteration in this period" in (tmp_path / "r.html").read_text()


def test_counts_alone_are_enough_for_a_mail(school, study):
    data = read_counts(school.directory, None, ReportScope(rooms=school.rooms))
    assert sum(count.count for count in data.counts) == len(school.attempts)
    assert data.presence == study.summary.presence


def test_rooms_are_guessed_from_names_where_that_makes_sense():
    assert rooms_by_name(["a-pc1", "a-pc2", "b-pc1.example.org", "b-pc2"]) == {
        "a-pc1": "a-pc", "a-pc2": "a-pc", "b-pc1.example.org": "b-pc", "b-pc2": "b-pc",
    }  # fmt: skip
    assert rooms_by_name(["alpha", "beta", "gamma"]) == {}
    assert rooms_by_name(["pc1", "pc2"]) == {}


@pytest.fixture
def program(school, tmp_path):
    (tmp_path / "ddcplay.yml").write_text("")
    clean = {key: value for key, value in os.environ.items() if not key.startswith("DDCPLAY_")}

    def run(*words):
        command = [sys.executable, "-m", "ddcplay", "report", *words]
        command += ["--data-dir", str(school.directory.parent), "-C", str(tmp_path)]
        return subprocess.run(command, capture_output=True, text=True, env=clean, check=False, timeout=60)

    return run


def test_the_terminal_shows_the_same_table(program, study):
    done = program("classroom")
    assert done.returncode == 0, done.stderr
    row = next(line for line in done.stdout.splitlines() if "CPU idle" in line)
    assert row.split()[3:] == [f"{column.means['cpu_idle_pct']:.2f}" for column in study.table1]
    assert "no playbook 'school.yml'" in done.stderr  # rooms and time zone could not be read


def test_json_has_every_figure(program, study):
    done = program("--json", "--since", "2023-11-13", "--until", "2023-11-13T23:59")
    (found,) = json.loads(done.stdout)
    assert found["iterations"] == 96
    assert {"tasks", "table1", "machines", "week", "days", "uptimes", "gaps"} <= found.keys()


@pytest.mark.parametrize("words", [("nope",), ("--since", "yesterday-ish")])
def test_wrong_words_are_refused_with_a_hint(program, words):
    done = program(*words)
    assert done.returncode == 2
    assert len(done.stderr.strip().splitlines()) >= 2


def test_the_page_holds_no_script_and_no_address(study, tmp_path):
    write_report(study, tmp_path / "r.html", 0.0)
    tree = lxml.html.parse(str(tmp_path / "r.html")).getroot()
    assert not list(tree.iter("script", "iframe", "object", "form"))
    links = [value for _node, _name, value, _at in tree.iterlinks()]
    assert all(value.startswith(("#", "data:,")) for value in links)
    assert not [name for node in tree.iter() for name in node.attrib if name.startswith("on")]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_month_of_169_machines_is_small_and_quick(make_school, tmp_path):
    school = make_school(169, keep=False)
    school.fill(2880)
    begun = time.process_time()
    study = read_study(school.directory, None, ReportScope(rooms=school.rooms))
    write_report(study, tmp_path / "r.html", 0.0)
    seconds = time.process_time() - begun
    size = (tmp_path / "r.html").stat().st_size
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    sys.stderr.write(f"{seconds:.1f} s of CPU, {size / 1e6:.2f} MB, {peak:.0f} MB of memory\n")
    assert seconds < 15
    assert size < 3_000_000
    assert peak < 500
