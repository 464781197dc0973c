"""From a probe as written to a probe as run: what rendering may bring, and what is refused then."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from ddcplay.config.playbook_file import build_probe, read_playbook
from ddcplay.errors import ConfigError
from ddcplay.model.inventory import SecretRef
from ddcplay.model.plan import ProbeSpec
from ddcplay.model.playbook import ProbeEntry
from ddcplay.model.result import Reason

GOOD = Path(__file__).parents[2] / "data" / "valid" / "playbook"


def entry_of(tmp_path: Path, probe: str, kind: str = "command: ver") -> ProbeEntry:
    path = tmp_path / "p.yml"
    path.write_text(
        f"- name: x\n  hosts: a\n  probes:\n    - name: p\n      {kind}\n      {probe}\n", encoding="utf-8"
    )
    return read_playbook(path, render=None).plays[0].probes[0]


def built(entry: ProbeEntry, rendered: Mapping[str, object] | None = None) -> ProbeSpec:
    values = {entry.kind: entry.body, **entry.options, **(rendered or {})}
    return build_probe(entry, values, "pc1")


def test_every_option_arrives_in_the_spec() -> None:
    play = read_playbook(GOOD / "every-key.yml", render=lambda text, variables, place: "north").plays[0]
    assert built(play.probes[0], {"command": "dir C:"}) == ProbeSpec(
        "listing",
        "command",
        "dir C:",
        timeout_s=60.0,
        max_output_bytes=65536,
        ok_codes=(0, 4294967295),
        retries=2,
        retry_delay_s=1.0,
        retry_on=(Reason.TRANSPORT, Reason.EXIT_CODE),
        env=(("LANG", "C"), ("LEVEL", "2")),
        chdir="C:\\Windows",
        stdin="ação\n".encode("cp850"),
        codepage=850,
        keep="on_change",
    )


def test_what_is_not_written_keeps_the_defaults_of_the_spec(tmp_path: Path) -> None:
    assert built(entry_of(tmp_path, "tags: a")) == ProbeSpec("p", "command", "ver")


def test_the_line_end_of_a_block_is_not_part_of_the_command(tmp_path: Path) -> None:
    assert built(entry_of(tmp_path, "tags: a", "command: |\n        ver")).body == "ver"


def test_a_number_that_a_template_made_of_text_counts(tmp_path: Path) -> None:
    entry = entry_of(tmp_path, 'retries: "{{ n }}"\n      ok_codes: ["{{ n }}", 1]\n      timeout: "{{ t }}"')
    spec = built(entry, {"retries": "3", "ok_codes": ["5", 1], "timeout": "45"})
    assert (spec.retries, spec.ok_codes, spec.timeout_s) == (3, (5, 1), 45.0)


@pytest.mark.parametrize(
    ("written", "rendered", "message"),
    [
        ('timeout: "{{ t }}"', {"timeout": "soon"}, "'timeout': 'soon' is not a duration"),
        ('retries: "{{ n }}"', {"retries": "many"}, "'retries' must be a whole number, not the text 'many'"),
        (
            'keep: "{{ k }}"',
            {"keep": "sometimes"},
            "'keep' must be one of always, on_failure, on_change, never",
        ),
        ('env: {A: "{{ x }}"}', {"env": {"A": ["x"]}}, "'env': 'A' must be text, not a list"),
        ('stdin: "{{ x }}"\n      codepage: 437', {"stdin": "€"}, "'stdin' holds '€', which code page 437"),
    ],
)
def test_a_bad_value_after_rendering_names_place_probe_and_host(
    tmp_path: Path, written: str, rendered: Mapping[str, object], message: str
) -> None:
    entry = entry_of(tmp_path, written)
    with pytest.raises(ConfigError) as caught:
        built(entry, rendered)
    problem = caught.value.problems[0]
    assert (problem.place.line, problem.place.column) == (6, written.index(":") + 9)
    assert problem.message.startswith("probe 'p' on host 'pc1': ")
    assert message in problem.message


def test_a_secret_in_env_or_stdin_stays_a_reference(tmp_path: Path) -> None:
    entry = entry_of(tmp_path, 'env: {A: "{{ x }}"}\n      stdin: "{{ y }}"')
    spec = built(entry, {"env": {"A": SecretRef("env", "X")}, "stdin": SecretRef("file", "y")})
    assert spec.env == (("A", SecretRef("env", "X")),)
    assert spec.stdin == SecretRef("file", "y")


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("", "'command' is empty"),
        ("a\nb", "'command' must be one line"),
        (5, "'command' must be text, not the number 5"),
        (SecretRef("plain", "hunter22"), "'command' must be text, not a secret"),
        ("a\0", "holds a NUL character"),
        ("x" * 8192, "has 8192 characters"),
    ],
)
def test_a_bad_command_after_rendering_is_refused(tmp_path: Path, body: object, message: str) -> None:
    entry = entry_of(tmp_path, "tags: a", 'command: "{{ c }}"')
    with pytest.raises(ConfigError, match=message) as caught:
        built(entry, {"command": body})
    assert "hunter22" not in str(caught.value)


def test_all_bad_values_are_told_at_once_and_no_value_leaks_through_the_cause(tmp_path: Path) -> None:
    entry = entry_of(tmp_path, 'timeout: "{{ a }}"\n      retries: "{{ b }}"', 'command: "{{ c }}"')
    with pytest.raises(ConfigError) as caught:
        built(entry, {"command": "", "timeout": "x", "retries": "y"})
    assert len(caught.value.problems) == 3
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


def test_a_default_that_is_wrong_for_a_host_points_at_the_defaults(tmp_path: Path) -> None:
    path = tmp_path / "p.yml"
    path.write_text(
        '- name: x\n  hosts: a\n  defaults:\n    timeout: "{{ t }}"\n  probes: [{name: p, command: ver}]\n',
        encoding="utf-8",
    )
    entry = read_playbook(path, render=None).plays[0].probes[0]
    with pytest.raises(ConfigError) as caught:
        built(entry, {"timeout": "x"})
    assert caught.value.problems[0].place.line == 4
