from __future__ import annotations

import os
import subprocess
import sys

import pytest
import typer

from ddcplay.cli.extra_vars import parse_extra_vars
from ddcplay.cli.guard import exit_code_of, guarded, refusal_text
from ddcplay.errors import ConfigError, DdcplayError, Place, Problem, StoreError, UsageError
from ddcplay.model.inventory import SecretRef


def failing(error: BaseException) -> int:
    raise error


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UsageError("wrong call"), 2),
        (ConfigError([Problem(Place("a.yml", 1, 2), "wrong")]), 2),
        (StoreError("disk full"), 1),
        (DdcplayError("broken"), 1),
        (ValueError("a bug"), 1),
        (KeyboardInterrupt(), 130),
    ],
)
def test_every_error_has_its_exit_code_and_no_traceback(
    error: BaseException, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exit_code_of(lambda: failing(error), verbose=0) == code
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.startswith("ddcplay: ")
    assert "Traceback" not in told.err


def test_a_bug_is_one_line_with_where_to_report_it_and_a_traceback_with_v(
    capsys: pytest.CaptureFixture[str],
) -> None:
    exit_code_of(lambda: failing(KeyError("x\x1b[2J")), verbose=0)
    short = capsys.readouterr().err
    assert len(short.splitlines()) == 2
    assert "issue tracker" in short
    assert "\x1b" not in short
    exit_code_of(lambda: failing(KeyError("x")), verbose=1)
    assert "Traceback" in capsys.readouterr().err


def test_each_problem_and_each_hint_has_its_own_line() -> None:
    error = ConfigError(
        [
            Problem(Place("a.yml", 3, 5), "unknown key 'probs'", "did you mean 'probes'?"),
            Problem(Place("a.yml", 9), "no hosts \x1b[31m"),
        ]
    )

    assert refusal_text(error) == (
        "ddcplay: error: a.yml:3:5: unknown key 'probs'\n"
        "    did you mean 'probes'?\n"
        "ddcplay: error: a.yml:9: no hosts \\x1b[31m\n"
    )


def test_a_commands_code_becomes_the_programs() -> None:
    assert exit_code_of(lambda: 4, verbose=0) == 4
    assert exit_code_of(lambda: None, verbose=0) == 0
    with pytest.raises(typer.Exit) as ended:
        guarded(lambda: 3)()
    assert ended.value.exit_code == 3


@pytest.mark.parametrize("lines", [1, 100_000])
def test_a_broken_pipe_ends_quietly_with_zero(lines: int) -> None:
    code = (
        "from ddcplay.cli.guard import guarded\n"
        "import sys, time\n"
        "def flood(): \n"
        "    time.sleep(0.05)\n"
        f"    for _ in range({lines}): sys.stdout.write('x' * 100 + '\\n')\n"
        "guarded(flood)()\n"
    )
    done = subprocess.run(
        ["bash", "-c", f'{sys.executable} -c "$0" | true; exit ${{PIPESTATUS[0]}}', code],
        # Buffered: what is left when the pipe breaks would make the interpreter's last flush complain.
        env={key: value for key, value in os.environ.items() if key != "PYTHONUNBUFFERED"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, done.stderr) == (0, "")


def test_variables_are_read_in_ansibles_three_forms_and_the_last_one_wins() -> None:
    assert parse_extra_vars(["a=1 b='two words'", '{"a": 2, "c": [true]}', "d="]) == {
        "a": 2,
        "b": "two words",
        "c": [True],
        "d": "",
    }


def test_backslashes_and_equals_signs_stay() -> None:
    assert parse_extra_vars([r"ansible_user=CORP\new", "q=a=b"]) == {"ansible_user": r"CORP\new", "q": "a=b"}


def test_a_password_becomes_a_reference_at_once() -> None:
    found = parse_extra_vars(["ansible_password=Sup3rS3cret!"])

    assert isinstance(found["ansible_password"], SecretRef)
    assert "Sup3r" not in repr(found)


@pytest.mark.parametrize("text", ["", "novalue", "a=1 secretword", "=x", "1a=2", "a='open", "[1, 2]"])
def test_what_cannot_be_read_is_refused_without_repeating_it(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_extra_vars([text])

    assert "secretword" not in str(caught.value)
    assert "@file.yml" in str(caught.value)
