from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ddcplay.cli.program import build_program

PLAYBOOK = """\
- name: Quick look
  hosts: labs
  probes:
    - name: hostname
      command: hostname
      timeout: 5s
"""
INVENTORY = """\
labs:
  hosts:
    pc[1:3]:
  vars:
    ansible_host: 127.0.0.1
    ansible_port: 9
    ansible_user: lab
    ansible_password: env:DDCPLAY_TEST_PASSWORD
    ansible_winrm_scheme: http
"""

Ddcplay = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Return a project whose hosts have no WinRM: nothing listens on the discard port of loopback."""
    (tmp_path / "inventories").mkdir()
    (tmp_path / "playbooks").mkdir()
    (tmp_path / "inventories" / "labs.yml").write_text(INVENTORY)
    (tmp_path / "playbooks" / "quick.yml").write_text(PLAYBOOK)
    (tmp_path / "ddcplay.yml").write_text("data_dir: data\n")
    return tmp_path


@pytest.fixture
def environment() -> dict[str, str]:
    """Return the environment without anything that would colour, size or set ddcplay."""
    unwanted = ("DDCPLAY_", "NO_COLOR", "FORCE_COLOR", "TTY_", "COLUMNS", "LINES")
    return {key: value for key, value in os.environ.items() if not key.startswith(unwanted)}


@pytest.fixture
def ddcplay(project: Path, environment: dict[str, str]) -> Ddcplay:
    """Run the real program in the project's directory."""

    def run(*words: str, cwd: Path | None = None, **more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "ddcplay", *words],
            cwd=cwd or project,
            env={**environment, **more},
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=60,
            check=False,
        )

    return run


@pytest.fixture
def inside(project: Path, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Ddcplay:
    """Run the program in this process: as `ddcplay`, without the time a process takes to start."""
    monkeypatch.chdir(project)
    for name in set(os.environ) - set(environment):
        monkeypatch.delenv(name)

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        done = CliRunner().invoke(build_program(), list(words), prog_name="ddcplay")
        return subprocess.CompletedProcess(words, done.exit_code, done.stdout, done.stderr)

    return run
