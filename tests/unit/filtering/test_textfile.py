"""`textfile`: what Prometheus' own parser reads of it, and which hosts are in it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families
from pydantic import ValidationError

from ddcplay.errors import DdcplayError
from ddcplay.filtering.base import Record
from ddcplay.filtering.trouble import DataError
from ddcplay.model.result import Outcome, Reason

METRICS = {
    "metrics": {
        "lab_users": "length(users)",
        "lab_free_bytes": {
            "each": "data.disks",
            "value": "free",
            "labels": {"device": "dev"},
            "help": "a\nb\\c",
        },
        "lab_net_total": {"value": "{{ data.net }}", "type": "counter"},
    }
}
DATA = {"users": ["ana"], "net": 2**40, "disks": [{"dev": "C:", "free": 1.5}, {"dev": "D:", "free": None}]}


def run(made: Any, host: str, data: object, at: float, iteration: int = 1000, **fields: Any) -> None:
    record = Record(host, "usage", iteration, at, data=data, **fields)
    made.filter.process(record, made.context(host, iteration))


def end(made: Any, iteration: int = 1000) -> dict[str, dict[tuple[tuple[str, str], ...], float]]:
    """End an iteration and read the file: metric → labels without experiment and probe → value."""
    context = made.context("", iteration)
    made.filter.iteration_end(context)
    made.state = dict(context.state)
    return read(next(made.directory.glob("*.prom")))


def read(path: Path) -> dict[str, dict[tuple[tuple[str, str], ...], float]]:
    found: dict[str, dict[tuple[tuple[str, str], ...], float]] = {}
    for family in text_string_to_metric_families(path.read_text(encoding="utf-8")):
        for sample in family.samples:
            own = {"experiment", "probe"}
            labels = tuple(sorted((name, value) for name, value in sample.labels.items() if name not in own))
            assert labels not in found.setdefault(sample.name, {}), "a series is there twice"
            found[sample.name][labels] = sample.value
    return found


def test_the_file_holds_metrics_last_seen_and_coverage(bench: Any) -> None:
    made = bench("textfile", METRICS)
    run(made, "pc1", DATA, 1001.5)
    run(made, "pc2", None, 1002.0, outcome=Outcome.FAILED, reason=Reason.TIMEOUT)
    run(made, "pc3", None, 1003.0, outcome=Outcome.UNAVAILABLE, reason=Reason.NO_ANSWER)
    run(made, "pc4", None, 1003.0, outcome=Outcome.SKIPPED, reason=Reason.BUSY)
    found = end(made)
    assert found["lab_users"] == {(("host", "pc1"),): 1}
    assert found["lab_free_bytes"] == {(("device", "C:"), ("host", "pc1")): 1.5}
    assert found["lab_net_total"] == {(("host", "pc1"),): 2**40}
    assert found["ddcplay_last_seen_timestamp_seconds"] == {
        (("host", "pc1"),): 1001.5,
        (("host", "pc2"),): 1002.0,
    }
    assert found["ddcplay_attempts"] == {((("outcome", outcome)),): 1 for outcome in Outcome}
    assert found["ddcplay_coverage_ratio"] == {(): pytest.approx(1 / 3)}
    assert found["ddcplay_iteration_timestamp_seconds"] == {(): 1000}
    assert [path.name for path in made.directory.iterdir()] == ["ddcplay_exp_usage.prom"]


def test_no_share_is_told_while_only_good_records_enter(bench: Any) -> None:
    made = bench("textfile")
    run(made, "pc1", 1, 1001.0)
    assert "ddcplay_coverage_ratio" not in end(made)


def test_a_pool_that_is_all_well_is_covered_to_the_full(bench: Any) -> None:
    made = bench("textfile")
    made.filter.on = made.filter.default_on  # the chain says so where an entry has no `on`
    run(made, "pc1", 1, 1001.0)
    assert end(made)["ddcplay_coverage_ratio"] == {(): 1.0}


def test_a_host_that_is_off_keeps_its_values_until_it_is_stale(bench: Any) -> None:
    made = bench("textfile", {**METRICS, "stale_after": "1h"})
    run(made, "pc1", DATA, 1000.0)
    for iteration, hosts in [(1900, {"pc1", "pc2"}), (4500, {"pc1", "pc2"}), (4700, {"pc2"})]:
        run(made, "pc2", DATA, float(iteration), iteration)
        found = end(made, iteration)
        assert {dict(labels)["host"] for labels in found["ddcplay_last_seen_timestamp_seconds"]} == hosts
        assert {dict(labels)["host"] for labels in found["lab_users"]} == hosts


def test_without_stale_after_a_host_stays_an_hour_and_three_iterations(bench: Any) -> None:
    made = bench("textfile")
    run(made, "pc1", 1, 1000.0, 1000)
    end(made, 1000)
    ends = [end(made, iteration) for iteration in (87_400, 173_800, 260_200)]
    seen = [len(found.get("ddcplay_last_seen_timestamp_seconds", {})) for found in ends]
    assert seen == [1, 1, 0]


def test_a_restart_takes_up_what_was_gathered(bench: Any) -> None:
    made = bench("textfile", METRICS)
    run(made, "pc1", DATA, 1001.0)
    before = end(made)
    again = bench("textfile", METRICS)
    again.state = made.state
    again.filter.open(again.context(""))
    run(again, "pc2", DATA, 2001.0, 2000)
    found = end(again, 2000)
    assert found["lab_users"] == {**before["lab_users"], (("host", "pc2"),): 1}
    assert found["ddcplay_last_seen_timestamp_seconds"][("host", "pc1"),] == 1001.0


def test_records_of_the_next_iteration_are_not_counted_in_this_one(bench: Any) -> None:
    made = bench("textfile")
    run(made, "pc1", 1, 1001.0, 1000)
    run(made, "pc1", 1, 2001.0, 2000)
    for iteration in (1000, 2000):
        assert end(made, iteration)["ddcplay_attempts"][("outcome", "ok"),] == 1


@given(evil=st.text(max_size=300), host=st.text(min_size=1, max_size=20))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_text_of_a_target_can_break_the_file(bench: Any, evil: str, host: str) -> None:
    made = bench("textfile", METRICS)
    run(
        made,
        host,
        {"users": [], "net": 0, "disks": [{"dev": evil, "free": 1}, {"dev": evil, "free": 2}]},
        1.0,
    )
    found = end(made)
    assert list(found["lab_free_bytes"].values()) == [2]
    assert set(found) <= {
        "lab_users",
        "lab_free_bytes",
        "lab_net_total",
        "ddcplay_attempts",
        "ddcplay_iteration_timestamp_seconds",
        "ddcplay_last_seen_timestamp_seconds",
    }


def test_backslash_quote_and_line_end_come_through_as_they_are(bench: Any) -> None:
    made = bench("textfile", METRICS)
    run(made, "pc1", {**DATA, "disks": [{"dev": 'C:\\"x"\nend', "free": 1}]}, 1.0)
    assert [dict(labels)["device"] for labels in end(made)["lab_free_bytes"]] == ['C:\\"x"\nend']


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({**DATA, "disks": [{"dev": "C:", "free": "full"}]}, "lab_free_bytes is text"),
        ({**DATA, "disks": {"dev": "C:"}}, "finds a mapping, not rows"),
        ({**DATA, "net": 10**400}, "larger than any metric"),
        ({**DATA, "disks": [{"dev": str(n), "free": n} for n in range(3000)]}, "more than 2000 series"),
    ],
)
def test_a_value_that_is_no_number_costs_its_own_attempt(bench: Any, data: object, message: str) -> None:
    made = bench("textfile", METRICS)
    with pytest.raises(DataError, match=message):
        run(made, "pc1", data, 1.0)
    assert "lab_users" not in end(made)


@pytest.mark.parametrize(
    "written",
    [
        {"metrics": {"a-b": "x"}},
        {"metrics": {"ddcplay_x": "x"}},
        {"metrics": {"ab": {"value": "x", "labels": {"host": "y"}}}},
        {"metrics": {"ab": {"value": "x", "labels": {"__x": "y"}}}},
        {"metrics": {"ab": {}}},
        {"metrics": {"ab": "b[?"}},
        {"metrics": {"ab": {"value": "x", "type": "histogram"}}},
        {"file": "../x.prom"},
        {"file": "x.txt"},
        {"stale_after": "3x"},
    ],
)
def test_wrong_options_are_refused(bench: Any, written: object) -> None:
    with pytest.raises(ValidationError):
        bench("textfile", written)


def test_the_file_goes_where_the_playbook_says_and_others_may_read_it(bench: Any, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    made = bench("textfile", {"path": str(tmp_path / "out"), "file": "labs.prom"})
    made.filter.iteration_end(made.context(""))
    assert (tmp_path / "out" / "labs.prom").stat().st_mode & 0o444 == 0o444
    missing = bench("textfile", {"path": str(tmp_path / "nowhere")})
    with pytest.raises(DdcplayError, match=r"cannot be written") as caught:
        missing.filter.iteration_end(missing.context(""))
    assert caught.value.hint


def test_five_thousand_hosts_are_written_in_well_under_a_second(bench: Any) -> None:
    made = bench("textfile", METRICS)
    for number in range(5000):
        run(made, f"pc{number:04}", DATA, 1000.0)
    context = made.context("")
    started = time.perf_counter()
    made.filter.iteration_end(context)
    assert time.perf_counter() - started < 1.0
    assert all(isinstance(value, str | list | bool) for value in context.state.values())
