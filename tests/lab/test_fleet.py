"""A whole fleet: many hosts in one process, switched on and off, ending with its owner."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import winrm
import yaml

from ddcplay.errors import DdcplayError
from ddcplay.lab.blueprint import from_json, to_json
from ddcplay.lab.fleet import Fault, LabConfig, LabHost, RunningLab, school, start_lab

pytestmark = pytest.mark.lab
LabFactory = Callable[[LabConfig], RunningLab]
MONDAY_NOON = 1_792_368_000.0 + 12 * 3600


def can_connect(lab: RunningLab, name: str, timeout_s: float = 0.2) -> bool:
    try:
        socket.create_connection(lab.endpoint(name), timeout=timeout_s).close()
    except OSError:
        return False
    return True


def test_169_pcs_answer_side_by_side(lab_factory: LabFactory) -> None:
    with lab_factory(school(schemes=("basic",), allow_unencrypted=True)) as lab:

        def visit(name: str) -> bytes:
            session = winrm.Session(
                lab.url(name), auth=("lab", "lab-Passw0rd"), transport="basic", ca_trust_path=None, proxy=None
            )
            return bytes(session.run_cmd("hostname").std_out)

        names = [host.name for host in lab.config.hosts]
        with ThreadPoolExecutor(16) as pool:
            answers = list(pool.map(visit, names))
        stats = lab.stats()
    assert answers == [name.upper().encode() + b"\r\n" for name in names]
    assert stats["shells_created"] == stats["shells_deleted"] == 169
    assert stats["commands"] == ["hostname"] * 169


def test_a_thousand_hosts_fit_into_one_process(lab_factory: LabFactory) -> None:
    with lab_factory(school(1000, 40, off_share=0.5)) as lab:
        hosts = lab.config.hosts
        assert len({lab.endpoint(host.name) for host in hosts}) == 1000
        assert can_connect(lab, next(host.name for host in hosts if host.power == "on"))
        assert not can_connect(lab, next(host.name for host in hosts if host.power == "off"))


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has all of 127.0.0.0/8 without setup")
def test_every_host_can_have_an_address_of_its_own(lab_factory: LabFactory) -> None:
    with lab_factory(school(20, 2, addressing="addresses")) as lab:
        endpoints = [lab.endpoint(host.name) for host in lab.config.hosts]
        assert len({address for address, _ in endpoints}) == 20
        assert len({port for _, port in endpoints}) == 1
        assert all(can_connect(lab, host.name) for host in lab.config.hosts)


@pytest.mark.parametrize("mode", ["silent", "refused"])
def test_a_host_can_be_switched_off_and_on(lab_factory: LabFactory, mode: Any) -> None:
    host = LabHost("pc", schemes=("basic",), allow_unencrypted=True, off_mode=mode)
    with lab_factory(LabConfig((host,))) as lab:
        for _ in range(3):
            lab.set_power("pc", False)
            assert not can_connect(lab, "pc")
            lab.set_power("pc", True)
            assert can_connect(lab, "pc")
        assert lab.is_on("pc")


def test_a_power_cut_ends_shells_and_silences_connections(lab_factory: LabFactory) -> None:
    with lab_factory(LabConfig((LabHost("pc"),))) as lab:
        with socket.create_connection(lab.endpoint("pc"), timeout=0.2) as client:
            client.sendall(b"POST /wsman HTTP/1.1\r\nContent-Length: 5\r\n\r\n")
            until = time.monotonic() + 5
            while not lab.stats("pc")["connections"] and time.monotonic() < until:
                time.sleep(0.01)
            lab.set_power("pc", False)
            client.sendall(b"12345")
            with pytest.raises(TimeoutError):
                client.recv(1)
        assert lab.stats("pc")["open_shells"] == 0


def test_the_timetable_switches_as_the_machine_says(lab_factory: LabFactory) -> None:
    config = school(60, 6, power="timetable", starts_at=MONDAY_NOON, off_mode="refused")
    with lab_factory(config) as lab:
        now = lab.now()
        said = {host.name: lab.machine(host.name).is_on(now) for host in config.hosts}
        assert {host.name: lab.is_on(host.name) for host in config.hosts} == said
        assert 10 < sum(said.values()) < 60


def test_the_clock_of_the_lab_can_run_fast(lab_factory: LabFactory) -> None:
    with lab_factory(LabConfig((LabHost("pc"),), starts_at=MONDAY_NOON, speed=100_000.0)) as lab:
        first = lab.now()
        time.sleep(0.02)
        assert lab.now() - first > 1000


def test_a_changed_password_refuses_the_old_one(
    lab_factory: LabFactory, session: Callable[..., winrm.Session]
) -> None:
    with lab_factory(LabConfig((LabHost("pc"),))) as lab:
        assert session(lab, "pc").run_cmd("ver").status_code == 0
        lab.set_password("pc", "neu: ein Paßwort")
        with pytest.raises(winrm.exceptions.InvalidCredentialsError):
            session(lab, "pc").run_cmd("ver")
        assert session(lab, "pc", password="neu: ein Paßwort").run_cmd("ver").status_code == 0
        lab.reset_stats()
        assert lab.stats("pc")["requests"] == 0


def test_the_inventory_is_what_ansible_reads(lab: RunningLab) -> None:
    data = yaml.safe_load(lab.inventory_yaml())["all"]
    variables = data["hosts"]["ntlm"]
    assert (variables["ansible_host"], variables["ansible_port"]) == lab.endpoint("ntlm")
    assert data["children"]["labs"]["children"]["lab01"]["hosts"] == {"ntlm": {}}
    assert data["children"]["labs"]["hosts"] == {"clear": {}}
    assert data["hosts"]["clear"]["ansible_winrm_message_encryption"] == "never"
    assert data["hosts"]["tls"]["ansible_winrm_ca_trust_path"] == str(lab.ca_path)


def test_a_stopped_lab_says_so(lab_factory: LabFactory) -> None:
    lab = lab_factory(LabConfig((LabHost("pc"),)))
    lab.stop()
    lab.stop()
    with pytest.raises(DdcplayError, match="stopped"):
        lab.stats()


def test_a_request_about_an_unknown_host_is_refused(lab: RunningLab) -> None:
    with pytest.raises(DdcplayError, match="nobody"):
        lab.stats("nobody")


def test_certificates_are_only_there_with_https(lab_factory: LabFactory) -> None:
    with lab_factory(LabConfig((LabHost("pc"),))) as lab, pytest.raises(DdcplayError, match="https=True"):
        _ = lab.ca_path


def test_the_account_files_are_for_the_owner_only(tmp_path: Path) -> None:
    with start_lab(LabConfig((LabHost("pc"),)), tmp_path):
        assert (tmp_path / "lab.json").stat().st_mode & 0o077 == 0


@pytest.mark.skipif(sys.platform == "win32", reason="reads /proc or signals a process id")
def test_a_lab_dies_with_the_program_that_started_it(tmp_path: Path) -> None:
    code = (
        "import os, pathlib, sys\n"
        "from ddcplay.lab.fleet import LabConfig, LabHost, start_lab\n"
        "lab = start_lab(LabConfig((LabHost('pc'),)), pathlib.Path(sys.argv[1]))\n"
        "print(lab.pid, flush=True)\n"
        "os._exit(0)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, timeout=60, check=True
    )
    pid = int(done.stdout)
    until = time.monotonic() + 10
    while _is_alive(pid) and time.monotonic() < until:
        time.sleep(0.05)
    assert not _is_alive(pid)


def _is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0]
    except OSError:
        if sys.platform == "linux":
            return False
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return False
        return True
    return state != "Z"


def test_the_command_line_writes_an_inventory(tmp_path: Path) -> None:
    inventory = tmp_path / "lab.yml"
    arguments = ["--pcs", "3", "--rooms", "1", "--power", "on", "--inventory", str(inventory)]
    process = subprocess.Popen(
        [sys.executable, "-m", "ddcplay.lab", *arguments], stderr=subprocess.PIPE, text=True
    )
    try:
        assert process.stderr is not None
        assert "3 PCs listen" in process.stderr.readline()
        hosts = yaml.safe_load(inventory.read_text(encoding="utf-8"))["all"]["hosts"]
        assert list(hosts) == ["lab01-pc01", "lab01-pc02", "lab01-pc03"]
        host = hosts["lab01-pc01"]
        socket.create_connection((host["ansible_host"], host["ansible_port"]), timeout=2).close()
    finally:
        process.terminate()
        process.wait(10)
        process.stderr.close()


def test_a_configuration_survives_the_way_to_the_process() -> None:
    config = LabConfig((LabHost("pc", ("a", "b"), faults=(Fault("slow", "create", 2, 0.5),)),), seed=4)
    assert from_json(json.loads(json.dumps(to_json(config)))) == config
