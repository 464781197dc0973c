"""What `import ddcplay` gives, and what it costs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import ddcplay


def run(*arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=False, cwd=cwd)


def test_every_public_name_is_there_and_listed():
    assert set(ddcplay.__all__) <= set(dir(ddcplay))
    for name in ddcplay.__all__:
        assert getattr(ddcplay, name) is not None
    assert issubclass(ddcplay.DropRecord, Exception)


def test_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'Fitler'"):
        _ = ddcplay.Fitler


def test_the_door_itself_imports_nothing_heavy():
    heavy = run(
        "-c", "import sys, ddcplay; print([n for n in sys.modules if n.startswith(('pydantic', 'ddcplay.'))])"
    )
    assert heavy.stdout.strip() == "[]", heavy.stderr


def test_type_checker_knows_a_users_filter(tmp_path):
    (tmp_path / "mine.py").write_text(
        "from ddcplay import DropRecord, Filter, FilterContext, HostView, Record\n\n\n"
        "class Mine(Filter):\n"
        "    def process(self, record: Record, context: FilterContext) -> Record:\n"
        "        if context.host.name == 'pc1':\n"
        "            raise DropRecord('why')\n"
        "        return record.with_data(len(record.stdout))\n"
    )
    checked = run("-m", "mypy", "--strict", "--cache-dir", "cache", "mine.py", cwd=tmp_path)
    assert checked.returncode == 0, checked.stdout
