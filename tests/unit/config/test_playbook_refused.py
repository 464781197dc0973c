"""One bad file per rule, its exact message beside it (tests/data/invalid/playbook)."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

import pytest

from ddcplay.config.playbook_file import read_playbook
from ddcplay.config.words import ANSIBLE, LATER
from ddcplay.errors import ConfigError, Place, TemplateError

BAD = Path(__file__).parents[2] / "data" / "invalid" / "playbook"


def render(text: str, variables: Mapping[str, object], place: Place) -> object:
    name = text.strip("{} ")
    if name not in variables:
        raise TemplateError(f"{name!r} is undefined", "define it under vars:", place)
    return variables[name]


@pytest.mark.parametrize("path", sorted(BAD.glob("*.yml")), ids=lambda path: path.stem)
def test_a_bad_playbook_is_refused_with_exactly_this_message(path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        read_playbook(path, render=render)
    shown = str(caught.value).replace(f"{path.parent}/", "").replace(f"{path.parent}\\", "")
    assert shown == path.with_suffix(".txt").read_text(encoding="utf-8").rstrip("\n")


def test_every_bad_file_has_its_message_and_every_message_its_file() -> None:
    assert {path.stem for path in BAD.glob("*.yml")} == {path.stem for path in BAD.glob("*.txt")}


def refusals(tmp_path: Path, text: str) -> list[str]:
    path = tmp_path / "p.yml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        read_playbook(path, render=None)
    return [problem.message for problem in caught.value.problems]


@pytest.mark.parametrize("level", sorted(LATER))
def test_every_key_of_later_work_says_not_yet(tmp_path: Path, level: str) -> None:
    for key in LATER[level]:
        plain = "- name: x\n  hosts: a\n  probes: [{name: p, command: ver}]\n"
        where = {
            "play": f"{plain}  {key}: 1\n",
            "schedule": f"{plain}  schedule: {{{key}: 1}}\n",
            "probe": f"- name: x\n  hosts: a\n  probes: [{{name: p, command: ver, {key}: 1}}]\n",
            "kind": f"- name: x\n  hosts: a\n  probes: [{{name: p, {key}: x}}]\n",
        }[level]
        messages = refusals(tmp_path, where)
        assert any(repr(key) in message and "not yet" in message for message in messages), key


def test_every_word_of_ansible_is_answered_and_none_of_them_is_a_key_of_ours(tmp_path: Path) -> None:
    for word in ANSIBLE:
        path = tmp_path / "p.yml"
        path.write_text(
            f"- name: x\n  hosts: a\n  probes: [{{name: p, command: ver, {word}: 1}}]\n", encoding="utf-8"
        )
        with pytest.raises(ConfigError) as caught:
            read_playbook(path, render=None)
        assert caught.value.problems[0].hint, word


def test_places_are_those_of_the_key_and_of_the_value(tmp_path: Path) -> None:
    path = tmp_path / "p.yml"
    path.write_text("- name: x\n  hosts: a\n  forks: 1\n  concurrency: no\n  probes: []\n", encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        read_playbook(path, render=None)
    places = [(problem.place.line, problem.place.column) for problem in caught.value.problems]
    assert places == [(3, 3), (4, 16), (5, 11)]


def test_at_most_fifty_problems_are_told_and_the_rest_counted(tmp_path: Path) -> None:
    keys = "".join(f"  wrong{number}: 1\n" for number in range(70))
    messages = refusals(tmp_path, f"- name: x\n  hosts: a\n  probes: [{{name: p, command: ver}}]\n{keys}")
    assert len(messages) == 51
    assert messages[-1] == "and 20 more"


def test_a_playbook_that_cannot_be_read_is_a_config_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        read_playbook(tmp_path / "missing.yml", render=None)
    with pytest.raises(ConfigError, match="cannot be read"):
        read_playbook(tmp_path, render=None)
    latin = tmp_path / "latin.yml"
    latin.write_bytes("- name: x\n  hosts: ação\n".encode("latin-1"))
    with pytest.raises(ConfigError, match=r"latin\.yml:2:11: the file is not UTF-8"):
        read_playbook(latin, render=None)
    big = tmp_path / "big.yml"
    big.write_bytes(b"#" * (4 * 1024 * 1024 + 1))
    with pytest.raises(ConfigError, match="larger than 4 MiB"):
        read_playbook(big, render=None)


def test_problems_of_a_vars_file_carry_its_own_places(tmp_path: Path) -> None:
    (tmp_path / "v.yml").write_text("a: 1\nb-c: 2\na: 3\n", encoding="utf-8")
    (tmp_path / "vault.yml").write_text("$ANSIBLE_VAULT;1.1;AES256\n3030\n", encoding="utf-8")
    (tmp_path / "p.yml").write_text(
        "- name: x\n  hosts: a\n  vars_files: [v.yml, vault.yml]\n  probes: [{name: p, command: ver}]\n",
        encoding="utf-8",
    )
    with pytest.raises(ConfigError) as caught:
        read_playbook(tmp_path / "p.yml", render=None)
    found = [(Path(problem.place.file).name, problem.place.line) for problem in caught.value.problems]
    assert found == [("v.yml", 2), ("v.yml", 3), ("vault.yml", 1)]


def test_a_playbook_without_a_renderer_refuses_templates_of_the_play_only(tmp_path: Path) -> None:
    messages = refusals(
        tmp_path, '- name: x\n  hosts: "{{ labs }}"\n  probes: [{name: p, command: "{{ x }}"}]\n'
    )
    assert messages == ["'{{ labs }}' is a template, and nothing renders it here"]


def test_files_of_a_bad_playbook_may_stand_anywhere(tmp_path: Path) -> None:
    copied = tmp_path / "sub" / "forks.yml"
    copied.parent.mkdir()
    shutil.copy(BAD / "play-ansible-words.yml", copied)
    with pytest.raises(ConfigError, match="concurrency"):
        read_playbook(copied, render=None)
