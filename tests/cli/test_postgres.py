"""Every command with its rows in PostgreSQL; the password is a reference and appears nowhere."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ddcplay.store.experiment_store import open_store

pytestmark = [pytest.mark.real, pytest.mark.xdist_group("postgres")]
SECRETS = ("s3cret", "p%2Fw", "p/w")


def test_an_experiment_lives_in_the_database_and_every_command_finds_it(
    project: Path, ddcplay: Callable[..., Any], postgres_url: Callable[[], str]
) -> None:
    url = postgres_url()
    given = {"SITE_DATABASE": url, "DDCPLAY_TEST_PASSWORD": "hunter2hunter2"}
    (project / "ddcplay.yml").write_text(
        "data_dir: data\ndatabase: env:SITE_DATABASE\n"
        "smtp: {host: 127.0.0.1, port: 9, from: a@b.org, tls: none}\n"
    )
    said = []

    def done(*words: str) -> Any:
        found = ddcplay(*words, **given)
        said.append(found.stdout + found.stderr)
        return found

    ran = done("run", "quick", "--once", "-v")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert not list((project / "data").rglob("*.db"))
    for words in (
        ("status",),
        ("trace", "quick-look"),
        ("alerts", "list"),
        ("report", "quick-look"),
        ("clean", "quick-look"),
        ("mail", "flush"),
        ("alerts", "silence", "host=pc1", "--for", "1h"),
    ):
        shown = done(*words)
        assert shown.returncode == 0, (words, shown.stdout, shown.stderr)
    assert '"attempts": 3' in done("status", "--json").stdout
    holder = open_store(project / "elsewhere" / "quick-look", "quick-look", play="P", clock_now=1.0, url=url)
    try:
        refused = done("run", "quick", "--once")
        assert refused.returncode == 2
        assert "is already run by process" in refused.stderr
        assert "pid" in done("status").stdout
    finally:
        holder.close()
    assert done("run", "quick", "--once").returncode == 0
    assert '"attempts": 6' in done("status", "--json").stdout
    for text in said:
        for secret in SECRETS:
            assert secret not in text
    for file in (project / "data").rglob("*"):
        assert not file.is_file() or not any(s.encode() in file.read_bytes() for s in SECRETS)


def test_a_database_that_cannot_be_reached_is_told(
    project: Path, ddcplay: Callable[..., Any], postgres_url: Callable[[], str]
) -> None:
    (project / "ddcplay.yml").write_text("data_dir: data\ndatabase: env:SITE_DATABASE\n")
    given = {"SITE_DATABASE": postgres_url().replace(":s3cret", ":s3krit"), "DDCPLAY_TEST_PASSWORD": "x"}
    done = ddcplay("run", "quick", "--once", **given)
    assert done.returncode == 1
    assert "check user and password of setting database" in done.stderr
    assert "s3krit" not in done.stdout + done.stderr
    unset = ddcplay("run", "quick", "--once", DDCPLAY_TEST_PASSWORD="x")
    assert unset.returncode != 0
    assert "SITE_DATABASE" in unset.stderr
