"""`plan` shows what `w32probe` will ask."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def test_plan_shows_every_query(tmp_path: Path) -> None:
    (tmp_path / "p.yml").write_text(
        "- name: P\n  hosts: all\n  probes:\n    - name: usage\n      w32probe: {sections: [boot, disks]}\n"
    )
    line = [sys.executable, "-m", "ddcplay", "plan", "p.yml", "-i", "pc1,"]
    done = subprocess.run(line, cwd=tmp_path, capture_output=True, timeout=60, check=False, text=True)
    assert done.returncode == 0, done.stderr
    shown = " ".join(done.stdout.split())
    assert "volumes: SELECT DeviceID,VolumeName,FileSystem,Size,FreeSpace FROM Win32_LogicalDisk" in shown
    assert "LastBootUpTime" in shown
    assert "Win32_Processor" not in shown
