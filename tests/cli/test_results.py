"""results, export, prune, trace --summary, check and `load`, over an experiment made by the store itself."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest

from ddcplay import load
from ddcplay.errors import StoreError, UsageError
from ddcplay.model.effects import Sample, StaticFact
from ddcplay.model.result import AttemptResult, Outcome, Reason
from ddcplay.store.archive import Archive
from ddcplay.store.base import ChainDone, IterationRecord, PendingAttempt, Provenance
from ddcplay.store.experiment_store import open_store
from ddcplay.store.trace import TraceFiles

START = 1_700_000_000
EVIL = "=cmd|' /C calc'!A1\x1b[31m"
HOSTS = ("lab-pc1", "lab-pc2", "other")


def data(number: int, host: str) -> dict[str, object]:
    return {
        "computer_name": host.upper(),
        "note": EVIL,
        "occupied": bool(number % 2),
        "uptime_s": 1.5 * number,
        "disk_free_pct": None if number == 0 else 10.0 * number,
        "bytes_sent": 2**64 - 1 - number,
        "boot_time": "2026-01-01T00:00:00.000000+00:00",
        "disks": [{"device": "C:", "free_bytes": 5 + number}, {"device": "D:", "free_bytes": None}],
    }


@pytest.fixture
def experiment(project: Path) -> Path:
    """Four iterations with a gap; `other` is never on, `lab-pc2` fails once."""
    directory = project / "data" / "classroom"
    store = open_store(directory, "classroom", play="Classroom", clock_now=START - 1.0)
    archive, trace = Archive(directory, store), TraceFiles(directory)
    for number, offset in enumerate((0, 900, 1800, 9000)):
        iteration = START + offset
        record = IterationRecord(iteration, float(iteration), pairs=len(HOSTS))
        store.open_iteration(record, Provenance("none.yml", "- name: Classroom"), HOSTS, ("usage",))
        results = [_result(iteration, number, host) for host in HOSTS]
        ids = store.commit_attempts(results)
        store.commit_chains(
            [
                ChainDone(
                    each,
                    of=result,
                    samples=(Sample(data(number, result.host), {"disks": "device"}),),
                    statics=(StaticFact("os_build", 19045 + number // 2),),
                )
                if result.outcome is Outcome.OK
                else ChainDone(each)
                for each, result in zip(ids, results, strict=True)
            ]
        )
        archive.append([PendingAttempt(*pair) for pair in zip(ids, results, strict=True)])
        store.close_iteration(iteration, iteration + 9.0, 7.0, "closed")
        trace.write(iteration, store.tally(iteration))
    store.close()
    return directory


def _result(iteration: int, number: int, host: str) -> AttemptResult:
    reason = None
    if host == "other":
        reason = Reason.NO_ANSWER
    elif host == "lab-pc2" and number == 1:
        reason = Reason.TIMEOUT
    outcome = {None: Outcome.OK, Reason.TIMEOUT: Outcome.FAILED, Reason.NO_ANSWER: Outcome.UNAVAILABLE}[
        reason
    ]
    return AttemptResult(
        "classroom", iteration, host, "usage", outcome, reason,
        detail=f"{EVIL} on {host}" if reason else "", started_at=iteration + 1.0, elapsed_s=2.0,
        stdout=b"out" if outcome is not Outcome.UNAVAILABLE else b"",
    )  # fmt: skip


def read(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline="")))


def test_results_are_the_newest_attempts_harmless_on_a_terminal(inside: Any, experiment: Path) -> None:
    shown = inside("results", "-n", "3")
    assert shown.returncode == 0, shown.stderr
    assert "\x1b" not in shown.stdout
    assert "no_answer" in shown.stdout
    assert "3 rows, the newest last" in shown.stdout


@pytest.mark.parametrize(
    ("words", "count"),
    [
        ((), 12),
        (("--outcome", "failed"), 1),
        (("--reason", "no_answer,timeout"), 5),
        (("--host", "lab-*:!lab-pc2"), 4),
        (("--since", "2023-11-15T00:00"), 3),
        (("--until", "2023-11-14T22:20"), 3),
        (("--where", "record.outcome == 'ok'"), 7),
        (("-n", "2"), 2),
    ],
)
def test_filters_narrow_what_is_shown(
    inside: Any, experiment: Path, words: tuple[str, ...], count: int
) -> None:
    shown = inside("results", "classroom", "--json", *words)
    assert shown.returncode == 0, shown.stderr
    assert len(shown.stdout.splitlines()) == count


def test_samples_by_their_fields(inside: Any, experiment: Path) -> None:
    shown = inside("results", "--samples", "usage", "--json", "--where", "data.disk_free_pct > 15")
    rows = [json.loads(line) for line in shown.stdout.splitlines()]
    assert [row["disk_free_pct"] for row in rows] == [20.0, 20.0, 30.0, 30.0]
    assert rows[0]["bytes_sent"] == 2**64 - 3
    assert "could not judge 2 rows" in shown.stderr


def test_a_list_of_rows_as_csv_without_formulas(inside: Any, experiment: Path) -> None:
    disks = read(inside("results", "--samples", "usage_disks", "--csv", "-n", "2").stdout)
    assert sorted(row["device"] for row in disks) == ["C:", "D:"]
    usage = read(inside("results", "--samples", "usage", "--csv").stdout)
    assert len(usage) == 7
    assert usage[0]["note"].startswith("'=cmd")
    assert "\x1b" not in usage[0]["note"]
    assert usage[0]["disk_free_pct"] == ""


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--samples", "usaeg"), "there are: usage, usage_disks"),
        (("--outcome", "bad"), "known: ok, failed"),
        (("--host", "nobody"), "nobody"),
        (("--where", "{{ x }}"), "without braces"),
        (("--csv", "--json"), "exclude each other"),
        (("--since", "soon"), "is no time"),
    ],
)
def test_a_wrong_filter_is_told(inside: Any, experiment: Path, words: tuple[str, ...], told: str) -> None:
    shown = inside("results", *words)
    assert shown.returncode in (1, 2)
    assert told in shown.stderr


def test_export_writes_every_table_and_a_codebook(inside: Any, experiment: Path, project: Path) -> None:
    shown = inside("export", "classroom", "--to", "csv", "out")
    assert shown.returncode == 0, shown.stderr
    out = project / "out"
    assert {file.stem for file in out.iterdir()} == {
        "iterations", "attempts", "hosts", "static", "usage", "usage_disks", "codebook",
    }  # fmt: skip
    tables = {file.stem: read(file.read_text(encoding="utf-8")) for file in out.iterdir()}
    assert [len(tables[name]) for name in ("iterations", "attempts", "hosts", "usage", "usage_disks")] == [
        4, 12, 3, 7, 14,
    ]  # fmt: skip
    static = [row for row in tables["static"] if row["host"] == "lab-pc1"]
    assert [(row["value"], bool(row["valid_to"])) for row in static] == [("19045", True), ("19046", False)]
    fields = {(row["table"], row["field"]): row for row in tables["codebook"]}
    assert fields["usage", "uptime_s"]["unit"] == "s"
    assert fields["usage_disks", "free_bytes"]["source"].startswith("Win32_LogicalDisk")
    assert fields["usage_disks", "device"]["notes"].startswith("names the row")
    assert fields["usage", "bytes_sent"]["type"] == "unsigned"
    again = inside("export", "classroom", "out")
    assert again.returncode == 0, again.stderr


def test_an_export_never_overwrites_other_files(inside: Any, experiment: Path, project: Path) -> None:
    shown = inside("export", "classroom", "inventories")
    assert shown.returncode == 2
    assert (project / "inventories" / "labs.yml").exists()


def test_pseudonyms_leave_no_name_of_a_host(inside: Any, experiment: Path, project: Path) -> None:
    words = ("export", "classroom", "--pseudonymise", "hosts", "--key-file", "key")
    assert inside(*words, "one").returncode == 0
    assert inside(*words, "two").returncode == 0
    for file in (project / "one").iterdir():
        text = file.read_text(encoding="utf-8")
        assert "lab-pc" not in text.casefold(), file
        assert text == (project / "two" / file.name).read_text(encoding="utf-8")
    usage = read((project / "one" / "usage.csv").read_text())
    assert {row["computer_name"] for row in usage} == {row["host"] for row in usage}
    assert inside("export", "classroom", "--pseudonymise", "hosts", "three").returncode == 0
    assert (project / "three" / "usage.csv").read_text() != (project / "one" / "usage.csv").read_text()
    inside_key = inside("export", "classroom", "--pseudonymise", "hosts", "--key-file", "four/key", "four")
    assert inside_key.returncode == 2


def test_prune_counts_then_removes(inside: Any, experiment: Path) -> None:
    would = inside("prune", "--older-than", "30d", "--dry-run")
    assert "would remove 2 blocks" in would.stdout, would.stderr
    done = inside("prune", "classroom", "--older-than", "30d")
    assert "removed 2 blocks" in done.stdout, done.stderr
    assert "nothing is old enough" in inside("prune", "--older-than", "30d").stdout
    assert len(inside("results", "--json").stdout.splitlines()) == 9


def test_trace_summary_tells_when_the_coordinator_was_off(inside: Any, experiment: Path) -> None:
    with (experiment / "usage.trace").open("a") as trace:
        trace.write(f"{START + 9900}|1|0|2|33.3|12.0|lab-pc1||lab-pc2,other\n")  # nine fields: DDC's own
    found = json.loads(inside("trace", "classroom", "--summary", "--json").stdout)
    assert (found["iterations"], found["attempts"], found["ok"]) == (5, 15, 8)
    assert found["gaps"] == [{"after": START + 1800, "until": START + 9000, "seconds": 7200, "missed": 7}]
    shown = inside("trace", "--summary").stdout
    assert "the coordinator was off: 1 gap, 7 iterations missed" in shown
    assert "53.3" in shown


def test_check_predicts_what_a_schedule_writes(inside: Any, project: Path) -> None:
    playbook = project / "playbooks" / "daily.yml"
    playbook.write_text(
        "- name: Daily\n  hosts: labs\n  experiment: daily\n  schedule: {every: 15m}\n"
        "  probes:\n    - name: usage\n      w32probe: {}\n      filters: [store]\n"
    )
    shown = inside("check", "daily")
    assert shown.returncode == 0, shown.stderr
    assert "daily: about 2.2 MB per day" in shown.stdout, shown.stdout
    assert "assumed, for want of a run" in shown.stdout
    assert "per day" not in inside("check", "quick").stdout


def test_frames_are_typed(experiment: Path) -> None:
    pd = pytest.importorskip("pandas")
    found = load("classroom", data_dir=experiment.parent)
    assert found.frames() == ("iterations", "attempts", "hosts", "static", "usage", "usage_disks")
    usage = found.frame("usage")
    assert list(usage.columns[:3]) == ["host", "iteration", "started_at"]
    assert str(usage["started_at"].dt.tz) == "UTC"
    assert usage["started_at"][0] == pd.Timestamp(START + 1, unit="s", tz="UTC")
    assert {name: str(usage[name].dtype) for name in ("iteration", "bytes_sent", "occupied", "uptime_s")} == {
        "iteration": "Int64", "bytes_sent": "UInt64", "occupied": "boolean", "uptime_s": "float64",
    }  # fmt: skip
    assert int(usage["bytes_sent"].max()) == 2**64 - 1
    assert str(usage["boot_time"].dt.tz) == "UTC"
    assert usage["disk_free_pct"].isna().sum() == 2
    disks = found.frame("usage_disks")
    assert str(disks["free_bytes"].dtype) == "Int64"
    assert list(disks["row"][:2]) == [0, 1]
    assert len(found.frame("usage", since="2023-11-15")) == 2
    assert found.frame("attempts")["reason"].isna().sum() == 7
    assert len(list(found.rows("usage_disks"))) == 14


def test_load_tells_what_there_is(experiment: Path) -> None:
    assert load(data_dir=experiment.parent).experiment == "classroom"
    assert load(experiment).experiment == "classroom"
    with pytest.raises(UsageError, match="no experiment 'clasroom'") as refused:
        load("clasroom", data_dir=experiment.parent)
    assert "did you mean 'classroom'" in refused.value.hint
    with pytest.raises(StoreError, match="no stored table 'usag'"):
        load(experiment).frame("usag")
