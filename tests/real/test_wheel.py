"""The package as users get it: a wheel, installed into an empty environment, used outside the checkout."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

pytestmark = [pytest.mark.real, pytest.mark.slow, pytest.mark.xdist_group("wheel"), pytest.mark.timeout(600)]

CHECKOUT = Path(__file__).resolve().parents[2]
INVENTORY = "labs:\n  hosts:\n    pc[1:3]:\n"
NO_INDEX = ("No matching distribution", "Could not find a version", "Connection", "Temporary failure")


def call(*words: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run a program that knows nothing of this checkout or of the environment the tests run in."""
    environment = {
        key: value for key, value in os.environ.items() if not key.startswith(("DDCPLAY_", "PYTHON"))
    }
    return subprocess.run(
        [str(word) for word in words],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        encoding="utf-8",
        errors="replace",
        stdin=subprocess.DEVNULL,
        check=False,
    )


def pip(*words: str | Path, cwd: Path, python: Path) -> None:
    """Run pip; skip when it can reach no index, fail when it fails otherwise."""
    done = call(python, "-m", "pip", "--disable-pip-version-check", "-q", *words, cwd=cwd)
    if done.returncode and any(sign in done.stderr for sign in NO_INDEX):
        pytest.skip(f"pip reaches no package index: {done.stderr.strip().splitlines()[-1]}")
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def bin_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return where the scripts of an environment are that holds the wheel and what it needs, nothing else."""
    place = tmp_path_factory.mktemp("wheel")
    made = call(sys.executable, "-m", "venv", place / "venv", cwd=place)
    if made.returncode:
        pytest.skip(f"python -m venv does not work here: {made.stderr.strip()}")
    scripts = place / "venv" / ("Scripts" if sys.platform == "win32" else "bin")
    python = scripts / ("python.exe" if sys.platform == "win32" else "python")
    pip("wheel", "--no-deps", "-w", place, CHECKOUT, cwd=place, python=python)
    (wheel,) = place.glob("ddcplay-*.whl")
    pip("install", wheel, cwd=place, python=python)
    return scripts


def test_the_wheel_holds_what_is_no_python_file(bin_directory: Path) -> None:
    (wheel,) = bin_directory.parents[1].glob("ddcplay-*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    shared = {path.name for path in (CHECKOUT / "playbooks").glob("*.yml")}
    assert {f"ddcplay/_share/playbooks/{name}" for name in shared} <= names
    assert {"ddcplay/py.typed", "ddcplay/store/migrations/script.py.mako"} <= names
    assert any(name.startswith("ddcplay/store/migrations/versions/r0001") for name in names)
    assert not any(name.startswith(("tests/", "docs/")) for name in names)


def test_the_installed_program_tells_its_version(bin_directory: Path, tmp_path: Path) -> None:
    done = call(bin_directory / "ddcplay", "--version", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("ddcplay ")


def test_the_installed_program_checks_the_playbook_it_brought(bin_directory: Path, tmp_path: Path) -> None:
    (tmp_path / "inventory.yml").write_text(INVENTORY)
    found = call(
        bin_directory / "python",
        "-c",
        "from ddcplay.cli.lab import demo_playbook; print(demo_playbook())",
        cwd=tmp_path,
    )
    playbook = Path(found.stdout.strip())
    assert "_share" in playbook.parts, found.stderr
    done = call(bin_directory / "ddcplay", "check", playbook, "-i", "inventory.yml", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("fine: 1 play, 3 hosts, ")
