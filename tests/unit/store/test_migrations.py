from __future__ import annotations

import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

import ddcplay
from ddcplay.errors import StoreError
from ddcplay.model.effects import Sample
from ddcplay.store import migrations
from ddcplay.store.base import ChainDone
from ddcplay.store.dialect import database_url, open_engine
from ddcplay.store.experiment_store import open_store
from ddcplay.store.migrations import require_head, upgrade
from ddcplay.store.schema import HEAD, metadata


def _engine(path: Path) -> sa.Engine:
    return open_engine(database_url(path, None))


def _schema_of(engine: sa.Engine) -> dict[str, str]:
    with engine.connect() as connection:
        query = "SELECT name, sql FROM sqlite_master WHERE sql > '' AND name NOT LIKE 'alembic%'"
        rows = connection.execute(sa.text(query))
        return {row.name: " ".join(sorted(row.sql.replace(",", " ").split())) for row in rows}


def test_the_migrations_build_exactly_the_schema(tmp_path: Path) -> None:
    engine, plain = _engine(tmp_path / "a.db"), _engine(tmp_path / "b.db")
    upgrade(engine, "a.db")
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    with plain.begin() as connection:
        metadata.create_all(connection)
    assert _schema_of(engine) == _schema_of(plain)
    engine.dispose()
    plain.dispose()


def test_the_head_that_is_compared_quickly_is_alembics(tmp_path: Path) -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    assert ScriptDirectory.from_config(config).get_current_head() == HEAD


def test_an_installation_in_a_directory_of_any_name_migrates(tmp_path: Path) -> None:
    site = tmp_path / "50% of site packages"
    shutil.copytree(
        Path(ddcplay.__file__).parent, site / "ddcplay", ignore=shutil.ignore_patterns("__pycache__")
    )
    code = (
        "import sys; from pathlib import Path; from ddcplay.store.experiment_store import open_store;"
        "open_store(Path(sys.argv[1]), 'exp', play='P', clock_now=1.0).close()"
    )
    environment = {**os.environ, "PYTHONPATH": str(site)}
    arguments = [sys.executable, "-c", code, str(tmp_path / "exp")]
    subprocess.run(arguments, check=True, env=environment, cwd=tmp_path)
    engine = _engine(tmp_path / "exp" / "experiment.db")
    with engine.connect() as connection:
        require_head(connection, "exp")
    engine.dispose()


def test_two_that_open_at_once_migrate_once(tmp_path: Path) -> None:
    engines = [_engine(tmp_path / "a.db") for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda engine: upgrade(engine, "a.db"), engines))
    with engines[0].connect() as connection:
        require_head(connection, "a.db")
    for engine in engines:
        engine.dispose()


def test_a_database_of_a_newer_program_is_left_alone(tmp_path: Path) -> None:
    engine = _engine(tmp_path / "a.db")
    upgrade(engine, "a.db")
    with engine.begin() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(StoreError, match="newer ddcplay") as caught:
        upgrade(engine, "a.db")
    assert caught.value.hint == "upgrade ddcplay on this machine"
    engine.dispose()


def test_a_migrated_database_opens_without_importing_alembic(tmp_path: Path) -> None:
    engine = _engine(tmp_path / "a.db")
    upgrade(engine, "a.db")
    engine.dispose()
    code = (
        "import sys; from pathlib import Path; from ddcplay.store.dialect import database_url, open_engine;"
        "from ddcplay.store.migrations import upgrade;"
        "e = open_engine(database_url(Path(sys.argv[1]), None));"
        "upgrade(e, 'x'); sys.exit('alembic' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code, str(tmp_path / "a.db")], check=False).returncode == 0


def _at_0002(path: Path) -> None:
    """Build a database as the ddcplay before filters left it."""
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    engine = _engine(path)
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0002")
        for statement in (
            "INSERT INTO experiment VALUES (1, 'exp', 'Play', 500.0)",
            "INSERT INTO host VALUES (1, 'pc1', 'pc1'), (1, 'pc2', 'pc2'), (1, 'silent', 'silent')",
            "INSERT INTO roster VALUES ('d', '[\"pc1\", \"pc2\"]', '[\"p\"]')",
            "INSERT INTO playbook VALUES ('d', 'text')",
            _ITERATION_OF_0002.format(1000),
            _ITERATION_OF_0002.format(2000),
            _ATTEMPT_OF_0002.format(1, 1000, "pc1", "'ok', NULL", "NULL", "done"),
            _ATTEMPT_OF_0002.format(2, 1000, "pc2", "'unavailable', 'no_answer'", "0", "done"),
            _ATTEMPT_OF_0002.format(3, 2000, "pc1", "'unavailable', 'no_answer'", "0", "pending"),
        ):
            connection.execute(sa.text(statement))
    engine.dispose()


_ITERATION_OF_0002 = (
    "INSERT INTO iteration VALUES"
    " (1, {0}, {0}, NULL, 'open', 2, NULL, 0, 0, 'd', 'd', 'a.yml', '', NULL, '{{}}')"
)
_ATTEMPT_OF_0002 = (
    "INSERT INTO attempt VALUES (1, {}, {}, '{}', 'p', {}, '', '', {}, 1001.0, 0.5, 60.0, 1, NULL, NULL,"
    " 0, 0, 0, 'always', '{}', 0, NULL, NULL)"
)


def test_a_database_from_before_filters_goes_on(tmp_path: Path) -> None:
    directory = tmp_path / "exp"
    directory.mkdir()
    _at_0002(directory / "experiment.db")
    store = open_store(directory, "exp", play="Play", clock_now=3000.0)
    try:
        assert store.seen() == {"pc1": (1001.0, 1001.0), "pc2": (None, 1001.0), "silent": (None, 500.0)}
        assert [each.attempt_id for each in store.pending(0, 9)] == [3]
        of = store.pending(0, 9)[0].result
        store.commit_chains([ChainDone(3, of=of, samples=(Sample(1),), states={"s": {}})])
        assert (store.pending_count(), store.states()) == (0, {("pc1", "p", "s"): {}})
        assert (store.statics(), store.alerts.snapshots(), store.last_report()) == ({}, (), None)
        assert len(store.unarchived()) == 3
    finally:
        store.close()
