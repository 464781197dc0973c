"""A program on its whole way: sent to five hosts, run there by their real cmd.exe, judged, removed.

`test_programs.py` holds the launch lines against Wine; here a playbook is run, so planning, templates, the
transfer, the visit and the removal stand between what is written and what the program receives.

What it proves of the transfer: SMB goes to a real Samba. Over WinRM the bytes go through WS-Man's standard
input, cmd.exe and a pipe into a real Win32 process, and come back as a digest. Wine has no tar.exe and its
certutil does nothing, so `tools/` holds stand-ins of both: that Windows' own read the archive and print the
digest like this is not shown here. Wine takes no notice of priority classes either.
"""

from __future__ import annotations

import json
import random
import shutil
import subprocess
import sys
import uuid
from dataclasses import dataclass
from pathlib import Path

import pytest
from filelock import FileLock

from ddcplay import app
from ddcplay.engine.events import AttemptRecorded
from ddcplay.engine.stop import StopRequest
from ddcplay.lab.fleet import LabConfig, LabHost
from ddcplay.lab.wine import Wine, compile_program
from ddcplay.model.options import Options
from ddcplay.model.result import AttemptResult

pytestmark = [
    pytest.mark.real,
    pytest.mark.lab,
    pytest.mark.slow,
    pytest.mark.xdist_group("wine"),
    pytest.mark.timeout(300),
]

HOSTS = tuple(f"wine{number}" for number in range(1, 6))
CODES = (*range(256), 0xC0000005, 300, 0xFFFFFFFF, 0x80070005)
"""260, 52 for each host: two of three go over SMB, which costs Wine fewer processes."""
WAYS = {"smb": "file: smb", "winrm": "file: winrm, tar"}
# Not `%PATH%`: Wine 8 fills in a defined variable in spite of the caret; the tests of the lines have it.
LISTS = [
    [], [""], ["", ""], [" "], ['"'], ['""'], ["\\"], ["\\\\"], ['\\"'], ['"\\'], ["a b\\"], ["%none%x"],
    ['"^&"'], ["^"], ["&"], ["&&", "||"], ["%"], ["%%"], ["!x!"], ["(", ")"], ["<", ">", "2>&1"], ["|more"],
    ["ä€漢😀"], ["e\u0301", "\u202e"], ["-", "/?", "--"], ["C:\\x y\\", "z"], ['say "hi there"', "b c"],
]  # fmt: skip
PIECES = (
    *'"%^&|<>()!\\ :=,;@~*?\t', "%%", "%none%", "100%", "\\\\", '\\"', '"" ', "^^", "&&", "||", "2>&1",
    ">nul", "a b", "C:\\x y\\", "ä€漢😀", "é", "--opt=", "", "x", "'", "`", "$(x)", "rem ", "007", "null",
)  # fmt: skip


def argument_lists(count: int) -> list[list[str]]:
    """Return lists that somebody thought of, then drawn ones; the same at every run."""
    draw = random.Random(2611)
    drawn = [
        ["".join(draw.choices(PIECES, k=draw.randint(0, 5))) for _ in range(draw.randint(1, 5))]
        for _ in range(count - len(LISTS))
    ]
    return [*LISTS, *drawn]


ALL = tuple(zip(CODES, argument_lists(len(CODES)), strict=True))


def mix(first: int) -> bytes:
    every = bytes((at + first) & 0xFF for at in range(256))
    return (every + b"\r\n\n\r\0\0\x1a\xff\xfe\r") * 200


class Recorder:
    """Keeps what an experiment recorded, by host and probe."""

    def __init__(self) -> None:
        self.results: dict[tuple[str, str], AttemptResult] = {}

    def handle(self, event: object) -> None:
        if isinstance(event, AttemptRecorded):
            self.results[event.result.host, event.result.probe] = event.result


@dataclass
class Fleet:
    """Five hosts on one drive C:, each with a directory of its own below %TEMP%, and the way into them."""

    lab: object
    smb_port: int
    drive: Path
    lanes: dict[str, Path]
    project: Path

    def run(self, experiment: str, defaults: dict, probes: list[dict], mine: dict) -> dict:
        """Run a play of these probes; `mine` is a host's own share of what they are templates of."""
        hosts = {
            name: {
                "ansible_host": self.lab.endpoint(name)[0],
                "ansible_port": self.lab.endpoint(name)[1],
                "ansible_user": self.lab.host(name).user,
                "ansible_password": self.lab.host(name).password,
                "ansible_connection": "winrm",
                "ansible_winrm_scheme": "http",
                "ansible_winrm_transport": "ntlm",
                "ddcplay_smb_port": self.smb_port,
                "lane": self.lanes[name].name,
                "mine": mine.get(name, []),
            }
            for name in HOSTS
        }
        defaults = {"timeout": "60s", "priority": "low", "remote_dir": "%TEMP%\\{{ lane }}", **defaults}
        play = {"name": experiment, "hosts": "all", "ping": "tcp", "defaults": defaults, "probes": probes}
        self._write("hosts.yml", {"all": {"hosts": hosts}})
        self._write("sent.yml", [play])
        options = Options(directory=self.project, inventory=(str(self.project / "hosts.yml"),))
        recorder = Recorder()
        app.run(app.prepare([str(self.project / "sent.yml")], options), options, [recorder], StopRequest())
        return recorder.results

    def clean(self, experiment: str) -> None:
        """Remove what stayed, as `ddcplay clean` does."""
        line = [sys.executable, "-m", "ddcplay", "clean", experiment, "-i", "hosts.yml"]
        done = subprocess.run(
            line, cwd=self.project, capture_output=True, text=True, timeout=120, check=False
        )
        assert done.returncode == 0, done.stderr

    def _write(self, name: str, document: object) -> None:
        (self.project / name).write_text(json.dumps(document, ensure_ascii=False), encoding="utf-8")

    def new_lanes(self) -> None:
        """Give each host a directory of its own below %TEMP%, which no earlier try of a test has seen."""
        temp = next(path for path in self.drive.glob("users/*/Temp") if path.parent.name != "Public")
        self.lanes = {name: temp / f"lane-{uuid.uuid4().hex[:8]}-{name}" for name in HOSTS}
        for lane in self.lanes.values():
            lane.mkdir()

    def sent(self) -> set[str]:
        """List what lies in the lanes, as `host's lane/probe's directory[/file]`."""
        return {
            str(path.relative_to(lane.parent)) for lane in self.lanes.values() for path in lane.rglob("*")
        }

    def elsewhere(self) -> set[str]:
        """List the rest of drive C:; the lab's own scratch files come and go."""
        return {
            str(path.relative_to(self.drive))
            for path in self.drive.rglob("*")
            if not path.is_relative_to(self.drive / "ddclab") and "lane-" not in str(path)
        }


@pytest.fixture(scope="module")
def windows_tools(wine: Wine) -> None:
    """Put stand-ins of tar.exe and certutil.exe where Windows has them."""
    sources = Path(__file__).with_name("tools")
    system = wine.drive / "windows" / "system32"
    with FileLock(f"{wine.prefix}.tools.lock"):
        for name, options in {"tar": (), "certutil": ("-municode", "-lbcrypt")}.items():
            compile_program(sources / f"{name}.c", system / f"{name}.exe", *options)
        # Wine takes its own certutil whatever lies there, unless it is told not to.
        override = ("add", "HKCU\\Software\\Wine\\DllOverrides", "/v", "certutil.exe", "/d", "native", "/f")
        wine.call("C:\\windows\\system32\\reg.exe", *override, timeout_s=60)


@pytest.fixture(scope="module")
def shared_fleet(wine, windows_tools, probe_exe, start_samba, lab_factory, tmp_path_factory):
    share = start_samba(tmp_path_factory.mktemp("samba"), disk=wine.drive)
    hosts = tuple(LabHost(name, backend="wine", user=share.user, password=share.password) for name in HOSTS)
    lab = lab_factory(LabConfig(hosts, wine_prefix=str(wine.prefix)))
    project = tmp_path_factory.mktemp("project")
    (project / "ddcplay.yml").write_text("{}")
    (project / "probe.exe").write_bytes(probe_exe.read_bytes())
    yield Fleet(lab, share.port, wine.drive, {}, project)
    lab.stop()
    share.stop()


@pytest.fixture
def fleet(shared_fleet):
    shared_fleet.new_lanes()
    yield shared_fleet
    for lane in shared_fleet.lanes.values():
        shutil.rmtree(lane)


def told(result: AttemptResult) -> tuple[object, ...]:
    """Return what a run recorded, as `expected` writes it."""
    return result.outcome.value, result.detail, result.exit_code, result.stdout, result.stderr, result.left


def folder_of(directory: str) -> str:
    """Return the host's and the probe's part of a directory on a target."""
    return "/".join(directory.split("\\")[-2:])


@pytest.mark.parametrize("copy", ["smb", "winrm"])
def test_nasty_arguments_and_every_exit_code_by_either_way(fleet, copy):
    mine = {
        name: [
            case
            for number, case in enumerate(ALL[at :: len(HOSTS)])
            if (number % 3 == 2) == (copy == "winrm")
        ]
        for at, name in enumerate(HOSTS)
    }
    probes = [
        {
            "name": f"p{at:02d}",
            "exe": "probe.exe",
            "args": f"{{{{ ['argv', mine[{at}][0] | string] + mine[{at}][1] }}}}",
            "ok_codes": f"{{{{ [mine[{at}][0]] }}}}",
        }
        for at in range(len(mine[HOSTS[0]]))
    ]
    before = fleet.elsewhere()
    experiment = f"sent-{uuid.uuid4().hex[:8]}"
    results = fleet.run(experiment, {"copy": copy}, probes, mine)
    # What could not be removed within its budget (a slow machine) is a debt of that attempt, and no less.
    owed = {folder_of(directory) for result in results.values() for directory in result.left}
    assert {"/".join(path.split("/")[:2]) for path in fleet.sent()} == owed
    fleet.clean(experiment)
    assert (fleet.sent(), fleet.elsewhere() ^ before) == (set(), set())
    wrong = []
    for (name, probe), result in results.items():
        code, args = mine[name][int(probe[1:])]
        outcome, way, exit_code, stdout, stderr, _left = told(result)
        if (outcome, way, exit_code, stderr) != ("ok", WAYS[copy], code, b"") or json.loads(stdout) != args:
            wrong.append((name, probe, args, told(result)))
    assert (len(results), wrong) == (sum(map(len, mine.values())), [])


def test_both_streams_arrive_byte_for_byte_and_a_file_that_stays_is_sent_once(fleet):
    """Twice the same play: the second time the target says by its hash that it holds the one file."""
    args = ["mix", str(0xC0000005)]
    probes = [
        {"name": "goes", "exe": "probe.exe", "args": args, "copy": "smb"},
        {"name": "stays", "exe": "probe.exe", "args": args, "copy": "winrm", "cleanup": "experiment"},
    ]
    before, experiment = fleet.elsewhere(), f"streams-{uuid.uuid4().hex[:8]}"
    for way in (WAYS["winrm"], "file: there"):
        ways = {"goes": WAYS["smb"], "stays": way}
        results = fleet.run(experiment, {"ok_codes": [0xC0000005]}, probes, {})
        assert {key: told(result)[:-1] for key, result in results.items()} == {
            (name, probe): ("ok", way, 0xC0000005, mix(0), mix(10))
            for name in HOSTS
            for probe, way in ways.items()
        }
    stayed = {path.split("/")[0] for path in fleet.sent() if path.endswith("probe.exe")}
    assert stayed == {lane.name for lane in fleet.lanes.values()}
    fleet.clean(experiment)
    assert (fleet.sent(), fleet.elsewhere() ^ before) == (set(), set())
