"""The file of an exe or script probe: found beside the playbook first, hashed once, refused early."""

from __future__ import annotations

import hashlib

import pytest

from ddcplay.config import probe_file
from ddcplay.config.playbook_file import build_probe
from ddcplay.config.probe_file import ProbeFiles, check_remote_dir, slow_files
from ddcplay.config.words import WrongValueError
from ddcplay.errors import ConfigError, Place
from ddcplay.model.plan import HostPlan, Plan, ProbeSpec, Target
from ddcplay.model.playbook import ProbeEntry
from ddcplay.model.probe_file import OPTION, ProbeFile


@pytest.fixture
def folders(tmp_path):
    for name in ("playbooks", "root"):
        (tmp_path / name / "tools").mkdir(parents=True)
    return tmp_path / "playbooks", tmp_path / "root"


def test_beside_the_playbook_comes_before_the_project_root(folders):
    (folders[1] / "tools" / "a.exe").write_bytes(b"MZ root")
    files = ProbeFiles(folders, "usage")
    assert files.find("exe", "tools/a.exe", "bench").path == str(folders[1] / "tools" / "a.exe")
    (folders[0] / "tools" / "a.exe").write_bytes(b"MZ beside")
    found = ProbeFiles(folders, "usage").find("exe", "tools/a.exe", "bench")
    assert (found.path, found.size) == (str(folders[0] / "tools" / "a.exe"), 9)
    assert found.sha256 == hashlib.sha256(b"MZ beside").hexdigest()


def test_each_probe_of_each_experiment_has_a_directory_of_its_own(folders):
    (folders[0] / "a.cmd").write_text("ver")
    homes = {
        ProbeFiles(folders, experiment).find("script", "a.cmd", probe).home
        for experiment in ("usage", "other")
        for probe in ("one", "two")
    }
    assert len(homes) == 4
    assert ProbeFiles(folders, "usage").find("script", "a.cmd", "one").home in homes


def test_a_file_is_read_once_for_all_hosts(folders):
    path = folders[0] / "a.exe"
    path.write_bytes(b"MZ first")
    files = ProbeFiles(folders, "usage")
    first = files.find("exe", "a.exe", "one")
    path.write_bytes(b"MZ second")
    assert files.find("exe", "a.exe", "two").sha256 == first.sha256


@pytest.mark.parametrize(
    ("kind", "name", "content", "message", "hint"),
    [
        ("exe", "gone.exe", None, "there is no file 'gone.exe'", "root/gone.exe"),
        ("exe", "empty.exe", b"", "is empty", ""),
        ("exe", "linux.exe", b"\x7fELF", "is no Windows program", "built for Windows"),
        ("exe", "a.ps1", b"MZ", "is nothing `exe` can run", "write `script:` instead"),
        ("exe", "a.dll", b"MZ", "is nothing `exe` can run", ".exe or .com"),
        ("script", "a.vbs", b"x", "is nothing `script` can run", ".ps1 or .cmd or .bat"),
        ("script", "a.exe", b"MZ", "is nothing `script` can run", "write `exe:` instead"),
    ],
)
def test_what_cannot_run_is_refused_when_the_plan_is_made(folders, kind, name, content, message, hint):
    if content is not None:
        (folders[0] / name).write_bytes(content)
    with pytest.raises(WrongValueError) as caught:
        ProbeFiles(folders, "usage").find(kind, name, "bench")
    assert message in str(caught.value)
    assert hint in caught.value.hint


def test_a_file_beyond_the_limit_is_refused_unread(folders):
    with (folders[0] / "huge.exe").open("wb") as huge:
        huge.truncate(probe_file.MAX_FILE_BYTES + 1)
    with pytest.raises(WrongValueError, match="has 67,108,865 bytes, more than 67,108,864"):
        ProbeFiles(folders, "usage").find("exe", "huge.exe", "bench")


@pytest.mark.parametrize(
    "value", ["temp", "..", r"\\srv\share", "//srv/x", r"C:\a\..\b", 'C:\\"', "C:\\a\nb", "C:", ""]
)
def test_a_remote_dir_that_is_none_is_refused(value):
    with pytest.raises(WrongValueError):
        check_remote_dir(value)


@pytest.mark.parametrize(
    "value", ["%TEMP%", r"C:\probes", "D:/x/y z", r"%ProgramData%\ddc", r"C:\Program Files (x86)\a&b"]
)
def test_directories_of_the_targets_own_disks_are_taken(value):
    assert check_remote_dir(value) == value.replace("/", "\\")


def test_a_probe_carries_the_file_but_not_its_bytes(folders):
    (folders[0] / "a.exe").write_bytes(b"MZ" + bytes(100_000))
    options = {"args": ["--n", 3], "cleanup": "never", "remote_dir": r"C:\probes"}
    entry = ProbeEntry("bench", "exe", "a.exe", options)
    spec = build_probe(entry, {"exe": "a.exe", **options}, "pc1", ProbeFiles(folders, "usage"))
    file = spec.options[OPTION]
    assert spec.options["args"] == ("--n", "3")
    assert (file.cleanup, file.copy, file.remote_dir, file.size) == ("never", "auto", r"C:\probes", 100_002)
    assert set(spec.options) == {OPTION, "args"}


def test_a_missing_file_is_told_with_its_place_and_host(folders):
    place = Place("labs.yml", 7, 12)
    entry = ProbeEntry("bench", "exe", "a.exe", places={"exe": place})
    with pytest.raises(ConfigError, match=r"labs.yml:7:12: probe 'bench' on host 'pc1': there is no file"):
        build_probe(entry, {"exe": "a.exe"}, "pc1", ProbeFiles(folders, "usage"))


def test_big_files_over_winrm_alone_are_warned_of_once():
    def host(name: str, copy: str) -> HostPlan:
        file = ProbeFile("big.exe", "0" * 64, 6 * 1024 * 1024, "ddcplay-0123456789ab", copy)
        spec = ProbeSpec("bench", "exe", "big.exe", options={OPTION: file})
        return HostPlan(name, (), "", Target(name, name), (spec,))

    warnings = slow_files(Plan("x", ("bench",), (host("a", "winrm"), host("b", "winrm"))))
    assert len(warnings) == 1
    assert "slow over WinRM" in warnings[0]
    assert slow_files(Plan("x", ("bench",), (host("a", "auto"),))) == ()
