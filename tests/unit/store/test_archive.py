from __future__ import annotations

import os
import sqlite3
import stat
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ddcplay.model.result import Reason
from ddcplay.store.archive import Archive
from ddcplay.store.base import ChainDone
from ddcplay.store.blocks import read_blocks


def _contents(path: Path) -> list[bytes]:
    return [block.content for block in read_blocks(path)]


def test_stdout_and_stderr_go_to_the_files_ddc_had(bench: Any) -> None:
    bench.begin(1000)
    pending = bench.through(bench.result(1000, stdout=b"out\r\n", stderr=b"oops"), bench.result(1000, "pc2"))
    assert Archive(bench.directory, bench.store).append(pending) == ()
    assert (bench.directory / "pc1" / "p.stdout").read_bytes() == (
        b"#ddcplay iteration=1000 outcome=ok exit=0 elapsed=0.412 bytes=5\nout\r\n\n"
    )
    assert _contents(bench.directory / "pc1" / "p.stderr") == [b"oops"]
    assert not (bench.directory / "pc2" / "p.stderr").exists()
    assert bench.store.unarchived() == ()


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX modes")
def test_what_is_written_is_for_this_account_alone(bench: Any) -> None:
    bench.begin(1000)
    Archive(bench.directory, bench.store).append(bench.through(bench.result(1000)))
    for path in (bench.directory, *bench.directory.rglob("*")):
        wanted = 0o700 if path.is_dir() else 0o600
        assert stat.S_IMODE(path.stat().st_mode) == wanted, path


def test_attempts_that_ran_nothing_leave_no_block(bench: Any) -> None:
    bench.begin(1000)
    pending = bench.through(
        bench.result(1000, reason=Reason.NO_ANSWER), bench.result(1000, "pc2", reason=Reason.WHEN)
    )
    Archive(bench.directory, bench.store).append(pending)
    assert not (bench.directory / "pc1").exists()
    assert not (bench.directory / "pc2").exists()
    assert bench.store.unarchived() == ()


@pytest.mark.parametrize(
    ("rule", "kept"),
    [
        ("always", [b"a", b"a", b"b", b"x"]),
        ("never", []),
        ("on_failure", [b"x"]),
        ("on_change", [b"a", b"b", b"x"]),
    ],
)
def test_keep_decides_what_is_archived(bench: Any, rule: str, kept: list[bytes]) -> None:
    archive = Archive(bench.directory, bench.store)
    for iteration, out, reason in (
        (1, b"a", None),
        (2, b"a", None),
        (3, b"b", None),
        (4, b"x", Reason.EXIT_CODE),
    ):
        bench.begin(iteration)
        pending = bench.through(bench.result(iteration, reason=reason, stdout=out), keep={"p": rule})
        if iteration < 3:
            archive.append(pending, {"p": rule})
        else:  # the rule given at commit 1 is what a restart goes by
            archive = Archive(bench.directory, bench.reopen())
            archive.repair()
    path = bench.directory / "pc1" / "p.stdout"
    assert (_contents(path) if path.exists() else []) == kept
    assert bench.store.unarchived() == ()


def test_a_failed_chain_shows_in_the_block(bench: Any) -> None:
    bench.begin(1000)
    result = bench.result(1000)
    (number,) = bench.store.commit_attempts([result])
    bench.store.commit_chains([ChainDone(number, Reason.FILTER, "boom")])
    Archive(bench.directory, bench.store).repair()
    (block,) = read_blocks(bench.directory / "pc1" / "p.stdout")
    assert block.outcome == "failed"


def test_repair_cuts_a_torn_tail_and_appends_what_is_missing_in_order(bench: Any) -> None:
    bench.begin(1000)
    archive = Archive(bench.directory, bench.store)
    archive.append(bench.through(bench.result(1000)))
    path = bench.directory / "pc1" / "p.stdout"
    one = path.read_bytes()
    for iteration in (2000, 3000):
        bench.begin(iteration)
        bench.through(bench.result(iteration))
    path.write_bytes(one + b"#ddcplay iteration=2000 outcome=ok exit=0 ela")
    assert Archive(bench.directory, bench.reopen()).repair() == ()
    assert [block.iteration for block in read_blocks(path)] == [1000, 2000, 3000]
    assert bench.store.unarchived() == ()
    ends = bench.store.archive_ends()[("pc1", "p")]
    assert ends.stdout_end == path.stat().st_size


def test_repair_cuts_what_was_never_recorded_even_with_nothing_to_append(bench: Any) -> None:
    bench.begin(1000)
    Archive(bench.directory, bench.store).append(bench.through(bench.result(1000, stderr=b"e")))
    files = {path: path.read_bytes() for path in (bench.directory / "pc1").iterdir()}
    for path, content in files.items():
        path.write_bytes(content + b"#ddcplay iter")
    assert Archive(bench.directory, bench.reopen()).repair() == ()
    assert {path: path.read_bytes() for path in files} == files


def test_outputs_leave_the_database_once_their_files_are_synced(bench: Any) -> None:
    def stored() -> int:
        with sqlite3.connect(bench.directory / "experiment.db") as connection:
            count = connection.execute("SELECT count(*) FROM output").fetchone()[0]
        connection.close()
        return int(count)

    bench.begin(1000)
    pending = bench.through(bench.result(1000), bench.result(1000, "pc2"))
    assert stored() == 2
    Archive(bench.directory, bench.store).append(pending)
    assert stored() == 0


def test_a_file_rewritten_by_an_editor_is_noticed_though_it_grew(bench: Any) -> None:
    archive = Archive(bench.directory, bench.store)
    bench.begin(1000)
    archive.append(bench.through(bench.result(1000)))
    path = bench.directory / "pc1" / "p.stdout"
    path.write_bytes(b"note: " + path.read_bytes())
    bench.begin(2000)
    (warning,) = archive.append(bench.through(bench.result(2000)))
    assert "was changed by another program" in warning
    assert path.read_bytes().startswith(b"note: #ddcplay iteration=1000")


def test_what_an_interrupted_write_left_is_overwritten(bench: Any) -> None:
    archive = Archive(bench.directory, bench.store)
    bench.begin(1000)
    archive.append(bench.through(bench.result(1000)))
    path = bench.directory / "pc1" / "p.stdout"
    one = path.read_bytes()
    path.write_bytes(one + b"x" * 1000)
    bench.begin(2000)
    archive.append(bench.through(bench.result(2000)))
    assert path.read_bytes() == one + one.replace(b"1000", b"2000")


def test_a_file_that_cannot_be_opened_is_written_when_it_can(bench: Any) -> None:
    archive = Archive(bench.directory, bench.store)
    path = bench.directory / "pc1" / "p.stdout"
    path.mkdir(parents=True)
    bench.begin(1000)
    (warning,) = archive.append(bench.through(bench.result(1000)))
    assert str(path) in warning
    assert "wait in the database" in warning
    path.rmdir()
    assert archive.repair() == ()
    assert _contents(path) == [b"out of 1000\r\n"]


def test_a_torn_first_block_is_written_again(bench: Any) -> None:
    bench.begin(1000)
    bench.through(bench.result(1000))
    path = bench.directory / "pc1" / "p.stdout"
    path.parent.mkdir()
    path.write_bytes(b"#ddcplay iteration=1000 outcome=ok exit=0 elapsed=0.412 bytes=13\nout")
    Archive(bench.directory, bench.store).repair()
    assert _contents(path) == [b"out of 1000\r\n"]


@pytest.mark.parametrize(
    "old", [b"CPU 12 %\r\n", b"#ddcplay iteration=77 outcome=ok exit=0 elapsed=1.000 bytes=1\nx\n"]
)
def test_a_file_of_ddc_or_of_a_lost_database_is_continued_not_cut(bench: Any, old: bytes) -> None:
    path = bench.directory / "pc1" / "p.stdout"
    path.parent.mkdir()
    path.write_bytes(old)
    bench.begin(1000)
    archive = Archive(bench.directory, bench.store)
    archive.append(bench.through(bench.result(1000)))
    bench.begin(2000)
    archive.append(bench.through(bench.result(2000)))
    raw = path.read_bytes()
    assert raw.startswith(old + b"#ddcplay iteration=1000")
    assert raw.count(b"#ddcplay iteration=2000") == 1


def test_an_edited_file_is_left_alone_and_its_outputs_wait(bench: Any) -> None:
    archive = Archive(bench.directory, bench.store)
    bench.begin(1000)
    archive.append(bench.through(bench.result(1000)))
    path = bench.directory / "pc1" / "p.stdout"
    path.write_bytes(b"short\n")
    bench.begin(2000)
    (warning,) = archive.append(bench.through(bench.result(2000), bench.result(2000, "pc2")))
    assert str(path) in warning
    assert "move it away" in warning
    assert path.read_bytes() == b"short\n"
    assert [each.result.host for each in bench.store.unarchived()] == ["pc1"]
    assert _contents(bench.directory / "pc2" / "p.stdout") == [b"out of 2000\r\n"]
    bench.begin(3000)
    assert archive.append(bench.through(bench.result(3000))) == ()  # told once
    path.unlink()  # the fix that the warning names
    bench.begin(4000)
    assert archive.append(bench.through(bench.result(4000))) == ()
    assert [block.iteration for block in read_blocks(path)] == [2000, 3000, 4000]
    assert bench.store.unarchived() == ()


@pytest.mark.skipif(not hasattr(os, "O_NOFOLLOW"), reason="needs O_NOFOLLOW")
def test_a_link_in_the_archive_is_never_written_through(bench: Any, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_bytes(b"precious")
    path = bench.directory / "pc1" / "p.stdout"
    path.parent.mkdir()
    path.symlink_to(victim)
    bench.begin(1000)
    (warning,) = Archive(bench.directory, bench.store).append(bench.through(bench.result(1000)))
    assert victim.read_bytes() == b"precious"
    assert str(path) in warning


# The fixture is a factory: every example gets an experiment of its own.
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_after_any_cut_the_files_are_what_the_rows_say(make_bench: Any, data: st.DataObject) -> None:
    bench = make_bench()
    archive = Archive(bench.directory, bench.store)
    outputs = data.draw(st.lists(st.binary(max_size=30), min_size=2, max_size=5))
    synced = data.draw(st.integers(0, len(outputs) - 1))
    pending = []
    for number, out in enumerate(outputs):
        bench.begin(1000 + number)
        pending += bench.through(bench.result(1000 + number, stdout=out))
    archive.append(pending[:synced])
    path = bench.directory / "pc1" / "p.stdout"
    end = path.stat().st_size if path.exists() else 0
    path.parent.mkdir(exist_ok=True)
    junk = b"".join(
        b"#ddcplay iteration=%d outcome=ok exit=0 elapsed=0.412 bytes=%d\n%s\n" % (1000 + n, len(o), o)
        for n, o in list(enumerate(outputs))[synced:]
    )
    with path.open("ab") as file:
        file.write(junk[: data.draw(st.integers(0, len(junk)))])
    Archive(bench.directory, bench.reopen()).repair()
    assert _contents(path) == outputs
    assert path.read_bytes()[:end].count(b"#ddcplay") >= min(synced, 1)
    bench.store.close()
