from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable

import ddcplay as package

Ddcplay = Callable[..., "subprocess.CompletedProcess[str]"]


def test_version_is_told_without_importing_typer_or_rich() -> None:
    code = (
        "import sys; sys.argv = ['ddcplay', '--version']\n"
        "from ddcplay.cli.main import main; main()\n"
        "heavy = {'typer', 'rich', 'pydantic', 'jinja2', 'sqlalchemy'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert (done.returncode, done.stdout) == (0, f"ddcplay {package.__version__}\n"), done.stderr


def test_version_comes_within_a_quarter_of_a_second(ddcplay: Ddcplay) -> None:
    def seconds() -> float:
        before = time.perf_counter()
        assert ddcplay("--version").returncode == 0
        return time.perf_counter() - before

    # The best of five: the machine may be busy with other tests.
    assert min(seconds() for _ in range(5)) <= 0.25


def test_help_lists_every_command(ddcplay: Ddcplay) -> None:
    done = ddcplay("--help")

    assert done.returncode == 0
    for command in ("run", "plan", "check", "ping", "probe", "inventory", "trace", "status", "lab", "demo"):
        assert f"\n  {command} " in done.stdout
    assert "--install-completion" in done.stdout


def test_no_help_text_shows_typers_marks(ddcplay: Ddcplay) -> None:
    for command in ("run", "plan", "check", "ping", "probe", "trace", "status", "demo"):
        done = ddcplay(command, "--help")
        assert done.returncode == 0
        assert "\\b" not in done.stdout
        assert "\b" not in done.stdout
        assert "-C, --directory" in done.stdout or command == "demo"
        assert "-v, --verbose" in done.stdout


def test_unknown_option_is_a_usage_error(ddcplay: Ddcplay) -> None:
    done = ddcplay("run", "quick", "--junit", "x.xml")

    assert done.returncode == 2
    assert "--junit" in done.stderr
    assert "Traceback" not in done.stderr
