from __future__ import annotations

from pathlib import Path

import pytest
import sqlalchemy as sa

from ddcplay.errors import StoreError, UsageError
from ddcplay.store.dialect import database_url, file_system_of, network_file_system, open_engine
from ddcplay.store.experiment_store import open_store

MOUNTS = """\
22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
30 22 0:25 / /mnt/my\\040share rw shared:2 - nfs4 server:/x rw
31 22 0:26 / /mnt/c rw - 9p drvfs rw
32 30 0:27 / /mnt/my\\040share/local rw - tmpfs tmpfs rw
33 22 0:28 / /home rw - fuse.sshfs me@host: rw
broken line
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/var/data", "ext4"),
        ("/mnt/my share/data", "nfs4"),
        ("/mnt/my share/local/data", "tmpfs"),
        ("/mnt/c/Users", "9p"),
        ("/mnt/cc", "ext4"),
        ("/home/me/data", "fuse.sshfs"),
    ],
)
def test_the_mount_a_path_lies_on_is_found(path: str, kind: str) -> None:
    assert file_system_of(Path(path), MOUNTS) == kind


def test_a_local_disk_is_taken(tmp_path: Path) -> None:
    assert network_file_system(tmp_path / "not" / "there" / "yet") is None


@pytest.mark.parametrize(
    "url", ["nonsense", "sqlite://", "sqlite:///:memory:", "mysql://user:hunter2@host/x", "://hunter2"]
)
def test_a_database_that_is_not_supported_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(UsageError) as caught:
        database_url(Path("x.db"), url)
    assert "hunter2" not in str(caught.value)
    assert caught.value.hint


@pytest.mark.parametrize(("durability", "level"), [("full", 2), ("batch", 1)])
def test_commits_are_synced_as_durability_says(tmp_path: Path, durability: str, level: int) -> None:
    engine = open_engine(database_url(tmp_path / "a.db", None), durability=durability)
    with engine.connect() as connection:
        pragma = {
            name: connection.execute(sa.text(f"PRAGMA {name}")).scalar()
            for name in ("synchronous", "journal_mode", "foreign_keys", "busy_timeout")
        }
    engine.dispose()
    assert pragma == {"synchronous": level, "journal_mode": "wal", "foreign_keys": 1, "busy_timeout": 10_000}


def test_a_path_that_cannot_be_is_our_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot open the experiment") as caught:
        open_store(tmp_path / "file" / "exp", "exp", play="P", clock_now=1.0)
    assert caught.value.hint
