"""The pages say what the program has: links lead somewhere, commands and options exist and are described."""

from __future__ import annotations

import re
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path
from textwrap import indent
from typing import Any

import pytest
import typer.main
import yaml

from ddcplay.cli.program import build_program
from ddcplay.config.playbook_check import check_playbook
from ddcplay.config.playbook_file import read_playbook
from ddcplay.config.settings import load_settings
from ddcplay.config.settings_document import RETENTION, SETTINGS, SMTP

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]
EXAMPLES = sorted((ROOT / "playbooks").glob("*.yml"))
FENCE = re.compile(r"^ *```(\w*)[^\n]*\n(.*?)^ *```", re.MULTILINE | re.DOTALL)
CLI = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")


def name_of(path: Path) -> str:
    return path.name


def prose(page: Path) -> str:
    """Return a page without its code."""
    return re.sub(r"`[^`\n]+`", "`code`", FENCE.sub("", page.read_text(encoding="utf-8")))


def anchors(page: Path) -> set[str]:
    """Return where a link into a page may lead, as GitHub and GitLab name headings."""
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    titles = re.findall(r"^#{1,6} +(.+?) *$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def inside(command: Any) -> dict[str, Any]:
    """Return the commands of a group; nothing for a command."""
    return getattr(command, "commands", {})


def commands(command: Any, *words: str) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield every command below one, with the words that call it."""
    for name, inner in inside(command).items():
        yield from commands(inner, *words, name)
    if not inside(command):
        yield words, command


PROGRAM = typer.main.get_command(build_program())
COMMANDS = dict(commands(PROGRAM))
ASIDE = {"--help", "-h", "--version"}


def options(command: Any) -> set[str]:
    return {option for each in command.params for option in each.opts if option.startswith("-")}


def section(title: str) -> str:
    """Return the part of the page of commands that is about one."""
    parts = re.split(r"^## ", CLI, flags=re.MULTILINE)
    found = [part for part in parts if title in re.split(r"[ ,\n]+", part.partition("\n")[0])]
    assert found, f"docs/cli.md has no section for {title}"
    return found[0]


def calls(text: str) -> Iterator[str]:
    """Yield the calls of the program in code."""
    for language, block in FENCE.findall(text):
        if language in {"sh", "console", "powershell", ""}:
            for line in block.splitlines():
                found = re.match(r"(?:\$ )?(?:\.venv/bin/)?(ddcplay .*)", line.strip())
                if found:
                    yield found[1]


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    dead = []
    for link in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            dead.append(link)
    assert not dead


def test_every_page_is_in_the_index() -> None:
    index = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    pages = {path.name for path in (ROOT / "docs").glob("*.md")} - {"index.md"}
    assert pages == set(re.findall(r"\]\((\w[\w-]*\.md)\)", index))


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_command_and_option_is_described(words: tuple[str, ...]) -> None:
    text = section(words[0])
    assert len(words) == 1 or words[1] in text
    common = CLI.partition("\n## ")[0]
    long = {option for option in options(COMMANDS[words]) if option.startswith("--")}
    assert not {option for option in long if f"`{option}" not in common + text and f" {option}" not in text}


def test_no_section_is_about_a_command_that_is_not_there() -> None:
    titles = re.findall(r"^## (.+)$", CLI, re.MULTILINE)
    named = {words.strip() for title in titles for words in title.split(",")}
    assert named == {words[0] if words[0] != "lab" else "lab up" for words in COMMANDS}


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_calls_on_a_page_are_calls_of_the_program(page: Path) -> None:
    for line in calls(page.read_text(encoding="utf-8")):
        words = shlex.split(line.replace("…", "x"), comments=True)[1:]
        found = PROGRAM
        while words and words[0] in inside(found):
            found = inside(found)[words.pop(0)]
        if found is inside(PROGRAM)["alerts"]:
            found = inside(found)["list"]  # `alerts` alone lists
        assert not inside(found) or not words or words[0].startswith("-"), line
        known = options(found) | ASIDE
        used = {word.partition("=")[0] for word in words if re.match(r"--?[A-Za-z]", word)}
        assert used <= known | {word for word in used if re.fullmatch(r"-v+", word)}, line


@pytest.mark.parametrize("path", EXAMPLES, ids=name_of)
def test_the_example_playbooks_are_right(path: Path) -> None:
    assert check_playbook(read_playbook(path, render=None)) == ()


def test_the_example_of_the_readme_is_the_playbook_it_names() -> None:
    blocks = [block for _, block in FENCE.findall((ROOT / "README.md").read_text(encoding="utf-8"))]
    (shown,) = [block for block in blocks if block.startswith("- name: Full disks")]
    written = (ROOT / "playbooks" / "alerts.yml").read_text(encoding="utf-8")
    assert yaml.safe_load(shown) == yaml.safe_load(written)


def test_every_setting_is_described() -> None:
    text = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `(\w+)` \| (.*)$", text, re.MULTILINE))
    assert set(rows) == set(SETTINGS.known_keys())
    assert all(f"`{key}`" in rows["smtp"] for key in SMTP.known_keys())
    assert all(key in rows["retention"] for key in RETENTION.known_keys())


CHAIN = """\
- name: x
  hosts: all
  probes:
    - name: p
      powershell: Get-Disk
      output: objects
"""


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_playbooks_chains_and_settings_on_a_page_can_be_read(page: Path, tmp_path: Path) -> None:
    shutil.copytree(ROOT / "filters", tmp_path / "filters")
    for language, block in FENCE.findall(page.read_text(encoding="utf-8")):
        if language != "yaml":
            continue
        if block.startswith(("- name:", "filters:")):
            path = tmp_path / "p.yml"
            chain = CHAIN + indent(block, " " * 6)
            path.write_text(block if block.startswith("-") else chain, encoding="utf-8")
            assert read_playbook(path, render=None).plays
        elif block.startswith(("# ddcplay.yml", "heartbeat:")):
            (tmp_path / "ddcplay.yml").write_text(block, encoding="utf-8")
            assert load_settings(tmp_path, {}, {}).project_root == tmp_path
