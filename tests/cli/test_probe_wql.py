"""`ddcplay probe -w`: a query by hand, as a table, as CSV, as JSON; wrong use contacts nobody."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ddcplay.lab.fleet import LabConfig, LabHost, RunningLab, start_lab

pytestmark = [pytest.mark.lab, pytest.mark.xdist_group("cli-wql")]
DISKS = "SELECT DeviceID,Size FROM Win32_LogicalDisk WHERE DriveType=3"


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningLab]:
    hosts = (LabHost("pc1"), LabHost("pc2"), LabHost("off", power="off", off_mode="refused"))
    with start_lab(LabConfig(hosts), tmp_path_factory.mktemp("lab")) as running:
        yield running


@pytest.fixture
def probe(lab: RunningLab, project: Path, inside) -> Callable[..., object]:
    (project / "inventories" / "labs.yml").write_text(lab.inventory_yaml())
    return lambda *words: inside("probe", *words)


def test_the_rows_of_all_hosts_are_shown_as_one_table(probe, lab: RunningLab) -> None:
    done = probe("pc1:pc2", "-w", DISKS)
    assert done.returncode == 0, done.stderr
    lines = [line.split() for line in done.stdout.splitlines()]
    assert lines[0] == ["host", "DeviceID", "Size"]
    assert ["pc1", "C:", str(lab.machine("pc1").disks(lab.now())[0].size_bytes)] in lines
    assert lab.stats()["shells_created"] == 0


def test_csv_has_a_line_per_row_and_one_for_a_host_that_is_off(probe) -> None:
    done = probe("pc1:off", "-w", DISKS, "--csv")
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    assert rows[0]["DeviceID"] == "C:"
    assert int(rows[0]["Size"]) > 10**11
    assert [row["reason"] for row in rows if row["host"] == "off"] == ["port_closed"]


def test_json_holds_typed_rows(probe) -> None:
    (line,) = probe("pc1", "-w", DISKS, "--json").stdout.splitlines()
    attempt = json.loads(line)
    assert isinstance(attempt["data"][0]["Size"], int)
    assert json.loads(attempt["stdout"]) == attempt["data"]


def test_another_namespace_is_asked(probe) -> None:
    query = "SELECT InstanceName,PredictFailure FROM MSStorageDriver_FailurePredictStatus"
    done = probe("pc1", "-w", query, "--namespace", r"root\wmi")
    assert "SCSI" in done.stdout
    assert done.returncode == 0


def test_a_query_that_wmi_refuses_exits_3_and_says_why(probe) -> None:
    done = probe("pc1", "-w", "SELECT * FROM Win32_Nothing")
    assert done.returncode == 3
    assert "WBEM_E_INVALID_CLASS" in " ".join(done.stdout.split())


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("-w", "SELECT a FROM b, c"), "no joins"),
        (("-w", "hello"), "no WQL query"),
        (("-w", DISKS, "-c", "ver"), "exactly one thing"),
        (("-c", "ver", "--namespace", "root/wmi"), "--namespace goes with -w"),
        (("-w", DISKS, "--namespace", "cimv2"), "no WMI namespace"),
    ],
)
def test_wrong_use_exits_2_and_contacts_nobody(probe, lab: RunningLab, words, told) -> None:
    before = lab.stats()["requests"]
    done = probe("all", *words)
    assert (done.returncode, told in done.stderr) == (2, True), done.stderr
    assert lab.stats()["requests"] == before
