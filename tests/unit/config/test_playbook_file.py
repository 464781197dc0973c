"""What a good playbook becomes."""

from __future__ import annotations

import pickle
import re
from collections.abc import Mapping
from pathlib import Path

import pytest

from ddcplay.config.playbook_file import find_playbook, read_playbook
from ddcplay.errors import ConfigError, Place, UsageError
from ddcplay.model.playbook import Blackout, PingMethod, PingPolicy, Play, Playbook, Schedule, Unsafe

ROOT = Path(__file__).parents[3]
GOOD = ROOT / "tests" / "data" / "valid" / "playbook"


class Renderer:
    """Fills in names and remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, Place]] = []

    def __call__(self, text: str, variables: Mapping[str, object], place: Place) -> object:
        self.asked.append((text, place))
        lone = re.fullmatch(r"\{\{ (\w+) \}\}", text)
        if lone:
            return variables[lone[1]]
        return re.sub(r"\{\{ (\w+) \}\}", lambda match: str(variables[match[1]]), text)


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "p.yml"
    path.write_text(text, encoding="utf-8")
    return path


def play_of(tmp_path: Path, extra: str = "", probe: str = "", **extra_vars: object) -> Play:
    who = "    - name: who\n      command: hostname\n"
    text = f"- name: Some play\n  hosts: labs\n{extra}  probes:\n{who}{probe}"
    return read_playbook(written(tmp_path, text), extra_vars=extra_vars, render=Renderer()).plays[0]


@pytest.fixture(scope="module")
def every_key() -> Playbook:
    return read_playbook(GOOD / "every-key.yml", render=Renderer())


def test_every_key_of_a_play_arrives_in_the_model(every_key: Playbook) -> None:
    play = every_key.plays[0]
    assert (play.name, play.hosts, play.experiment) == ("Usage of north", "labs:!maintenance", "usage-north")
    assert play.schedule == Schedule(
        every_s=900.0,
        min_gap_s=30.0,
        align=True,
        iterations=3,
        until_s=30 * 86400.0,
        blackout=(
            Blackout(1320, 360),
            Blackout(0, 0, frozenset({5, 6})),
            Blackout(480, 570, frozenset({0, 4})),
        ),
    )
    assert play.ping == PingPolicy(PingMethod.TCP, 0.5, 3)
    assert (play.concurrency, play.connect_timeout_s, play.visit_timeout_s) == (40, 5.0, 240.0)
    assert (play.timezone, play.rooms, play.late_sweep) == ("Europe/Lisbon", ("room1", "room2"), False)


def test_probes_take_the_defaults_and_their_own_keys_win(every_key: Playbook) -> None:
    listing, who = every_key.plays[0].probes
    assert (listing.kind, listing.body, listing.template) == ("command", "dir {{ drive }}", False)
    assert listing.when == ("drive != ''", "true")
    assert listing.tags == ("slow", "disk")
    assert listing.vars == {"depth": 2, "width": 1}
    assert listing.options["env"] == {"LANG": "C", "LEVEL": 2}
    assert listing.options["timeout"] == "1m"
    assert (who.kind, who.when, who.tags) == ("powershell", ("drive == 'C:'",), ("quick",))
    assert who.options == {"timeout": "20s", "env": {"LANG": "C", "LEVEL": 1}}
    assert (listing.every_s, who.every_s) == (None, 86400.0)


def test_each_option_remembers_where_it_stands(every_key: Playbook) -> None:
    lines = every_key.text.splitlines()
    for probe in every_key.plays[0].probes:
        for key in probe.options:
            place = probe.places[key]
            assert lines[place.line - 1].strip().startswith(f"{key}:"), key
            assert lines[place.line - 1][place.column - 2] == " "


def test_variables_of_files_win_over_the_play_and_are_listed(every_key: Playbook) -> None:
    play = every_key.plays[0]
    assert play.vars["owner"] == "it"
    assert play.vars_files == {"common.yml": ("owner",)}


def test_text_marked_unsafe_can_be_told_apart(every_key: Playbook) -> None:
    assert type(every_key.plays[0].vars["text"]) is Unsafe
    assert type(pickle.loads(pickle.dumps(every_key)).plays[0].vars["text"]) is Unsafe


def test_a_playbook_keeps_its_text_for_provenance(every_key: Playbook) -> None:
    assert every_key.text == (GOOD / "every-key.yml").read_text(encoding="utf-8")


def test_the_shortest_play_makes_one_pass_with_the_defaults_of_the_model() -> None:
    play = read_playbook(GOOD / "shortest.yml", render=None).plays[0]
    assert play.experiment == "shortest"
    assert play.schedule == Schedule()
    assert play.schedule.one_pass
    assert (play.ping, play.concurrency, play.late_sweep) == (PingPolicy(), 100, True)


def test_anchors_and_merge_keys_work_as_in_ansible() -> None:
    one, two = read_playbook(GOOD / "anchors.yml", render=None).plays[0].probes
    assert (one.name, two.name) == ("one", "two")
    assert two.options == one.options == {"timeout": "5s"}


@pytest.mark.parametrize("name", ["labs.yml", "inventory-once.yml"])
def test_the_examples_can_be_read(name: str) -> None:
    play = read_playbook(ROOT / "playbooks" / name, render=None).plays[0]
    assert play.hosts == "labs"
    assert {probe.kind for probe in play.probes} == {"command", "powershell"}


def test_names_hosts_and_schedule_are_rendered_once_with_play_vars_and_extra_vars(tmp_path: Path) -> None:
    renderer = Renderer()
    text = (
        '- name: "{{ who }} play"\n  hosts: "{{ pool }}"\n  experiment: x\n'
        '  vars: {who: my, pool: [a, b], n: 3}\n  concurrency: "{{ n }}"\n'
        '  schedule: {every: "{{ pace }}", iterations: "{{ count }}"}\n'
        '  probes: [{name: "p-{{ n }}", command: "{{ later }}", timeout: "{{ later }}"}]\n'
    )
    read = read_playbook(
        written(tmp_path, text), extra_vars={"pace": "5m", "count": "4", "n": 7}, render=renderer
    )
    play = read.plays[0]
    assert (play.name, play.hosts, play.concurrency) == ("my play", "a:b", 7)
    assert (play.schedule.every_s, play.schedule.iterations) == (300.0, 4)
    assert (play.probes[0].name, play.probes[0].body) == ("p-7", "{{ later }}")
    assert sorted(text for text, _ in renderer.asked) == sorted(
        ["{{ who }} play", "{{ pool }}", "{{ n }}", "{{ pace }}", "{{ count }}", "p-{{ n }}"]
    )
    assert {place.line for _, place in renderer.asked} == {1, 2, 5, 6, 7}


def test_a_number_in_text_counts_only_when_a_template_made_it(tmp_path: Path) -> None:
    assert play_of(tmp_path, '  concurrency: "{{ n }}"\n', n="5").concurrency == 5
    with pytest.raises(ConfigError, match="must be a whole number, not the text '5'"):
        play_of(tmp_path, '  concurrency: "5"\n')


def test_unsafe_text_is_never_rendered(tmp_path: Path) -> None:
    play = play_of(tmp_path, "  rooms: !unsafe ['{{ x }}']\n")
    assert play.rooms == ("{{ x }}",)


@pytest.mark.parametrize(
    ("window", "expected"),
    [
        ('"22:00-06:00"', Blackout(1320, 360)),
        ('"fri-mon 0:00-23:59"', Blackout(0, 1439, frozenset({4, 5, 6, 0}))),
        ('"monday,wed 08:00-09:00"', Blackout(480, 540, frozenset({0, 2}))),
        ('{from: "08:00", to: "24:00", days: sat-sun}', Blackout(480, 0, frozenset({5, 6}))),
    ],
)
def test_windows_are_read_in_their_three_forms(tmp_path: Path, window: str, expected: Blackout) -> None:
    play = play_of(tmp_path, f"  experiment: x\n  schedule: {{every: 1h, blackout: [{window}]}}\n")
    assert play.schedule.blackout == (expected,)


def test_ping_may_be_a_bare_word(tmp_path: Path) -> None:
    assert play_of(tmp_path, "  ping: none\n").ping == PingPolicy(PingMethod.NONE)


def test_vars_files_are_looked_for_beside_the_playbook_then_in_the_project(tmp_path: Path) -> None:
    (tmp_path / "playbooks").mkdir()
    (tmp_path / "a.yml").write_text("a: project\n", encoding="utf-8")
    (tmp_path / "b.yml").write_text("b: project\n", encoding="utf-8")
    (tmp_path / "playbooks" / "b.yml").write_text("b: beside\n", encoding="utf-8")
    path = written(
        tmp_path / "playbooks",
        "- name: x\n  hosts: a\n  vars: {a: play}\n  vars_files: [a.yml, b.yml]\n"
        "  probes: [{name: p, command: ver}]\n",
    )
    play = read_playbook(path, render=None, project_root=tmp_path).plays[0]
    assert play.vars == {"a": "project", "b": "beside"}


def test_a_byte_order_mark_is_no_trouble(tmp_path: Path) -> None:
    path = tmp_path / "bom.yml"
    path.write_bytes(b"\xef\xbb\xbf" + (GOOD / "shortest.yml").read_bytes())
    assert read_playbook(path, render=None).plays[0].name == "Shortest"


def test_a_playbook_is_found_by_name_beside_the_user_then_in_the_project(tmp_path: Path) -> None:
    here = tmp_path / "here"
    (tmp_path / "playbooks").mkdir()
    here.mkdir()
    (tmp_path / "playbooks" / "labs.yml").touch()
    assert find_playbook("labs", tmp_path, here) == tmp_path / "playbooks" / "labs.yml"
    assert find_playbook("playbooks/labs.yml", tmp_path, here) == tmp_path / "playbooks" / "labs.yml"
    (here / "labs.yaml").touch()
    assert find_playbook("labs", tmp_path, here) == here / "labs.yaml"
    named = find_playbook("labs", tmp_path, here, project_first=True)
    assert named == tmp_path / "playbooks" / "labs.yml"


@pytest.mark.parametrize("name", ["lab", "LABS.yml", "lasb.yml"])
def test_a_playbook_that_is_not_found_names_what_was_looked_at_and_the_nearest(
    tmp_path: Path, name: str
) -> None:
    (tmp_path / "playbooks").mkdir()
    (tmp_path / "playbooks" / "labs.yml").touch()
    with pytest.raises(UsageError) as caught:
        find_playbook(name, tmp_path, tmp_path)
    assert "did you mean 'labs'?" in caught.value.hint
    assert str(tmp_path / "playbooks") in caught.value.hint


@pytest.mark.parametrize("name", ["", "\0", "x" * 5000])
def test_a_name_that_no_file_can_have_is_not_found(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match="there is no playbook"):
        find_playbook(name, tmp_path, tmp_path)


def test_a_playbook_below_the_current_directory_is_named_as_one_types_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "playbooks").mkdir()
    (tmp_path / "playbooks" / "labs.yml").touch()
    monkeypatch.chdir(tmp_path)
    assert find_playbook("labs", tmp_path, tmp_path) == Path("playbooks/labs.yml")


@pytest.mark.parametrize(
    ("written_as", "wanted"),
    [
        ('{cron: "*/15 8-20  * * 1-5"}', Schedule(cron="*/15 8-20 * * 1-5")),
        ("{single_shot: {}}", Schedule(single_shot=(120.0, None))),
        ("{single_shot: }", Schedule(single_shot=(120.0, None))),
        (
            "{single_shot: {retry_every: 5m, give_up_after: 14d}, blackout: ['08:00-09:00']}",
            Schedule(single_shot=(300.0, 14 * 86400.0), blackout=(Blackout(480, 540),)),
        ),
        (
            '{cron: "0 3 * * *", until: 7d, iterations: 2}',
            Schedule(cron="0 3 * * *", until_s=604800.0, iterations=2),
        ),
    ],
)
def test_every_kind_of_schedule_arrives_in_the_model(
    tmp_path: Path, written_as: str, wanted: Schedule
) -> None:
    play = play_of(tmp_path, f"  experiment: e\n  schedule: {written_as}\n")
    assert play.schedule == wanted
    assert not play.schedule.one_pass


def test_a_probe_has_its_own_pace_or_that_of_the_defaults(tmp_path: Path) -> None:
    extra = "  experiment: e\n  schedule: {every: 15m}\n  vars: {pace: 2d}\n  defaults: {every: 1h}\n"
    probe = '    - name: bench\n      command: ver\n      every: "{{ pace }}"\n'
    who, bench = play_of(tmp_path, extra, probe).probes
    assert (who.every_s, bench.every_s) == (3600.0, 2 * 86400.0)
