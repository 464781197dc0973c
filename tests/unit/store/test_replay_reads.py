"""Archived attempts come back as their filters first saw them, or it is said why not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import pytest

from ddcplay.errors import StoreError
from ddcplay.model.result import AttemptResult, Reason
from ddcplay.store.archive import Archive
from ddcplay.store.base import ChainDone, PendingAttempt
from ddcplay.store.experiment_store import ExperimentStore
from ddcplay.store.queries import open_reader
from ddcplay.store.replay_reads import Missing, archived_attempts, with_json_data


class Bench(Protocol):
    directory: Path
    store: ExperimentStore

    def begin(self, iteration: int) -> None: ...
    def result(self, iteration: int, host: str = ..., probe: str = ..., **more: object) -> AttemptResult: ...
    def through(
        self, *results: AttemptResult, keep: dict[str, str] | None = None
    ) -> tuple[PendingAttempt, ...]: ...


def archive(bench: Bench, results: Sequence[AttemptResult], keep: str = "always") -> None:
    rules = {result.probe: keep for result in results}
    Archive(bench.directory, bench.store).append(bench.through(*results, keep=rules), rules)


def replayed(bench: Bench, **more: object) -> list[PendingAttempt | Missing]:
    with open_reader(bench.directory) as reader:
        return list(archived_attempts(reader, bench.directory, batch=2, **more))  # type: ignore[arg-type]


def attempts(bench: Bench) -> list[AttemptResult]:
    """Archive what files are made of: text, binary, nothing, our own header as output, both streams."""
    bench.begin(1000)
    bench.begin(2000)
    tricky = b"#ddcplay iteration=1000 outcome=ok exit=0 elapsed=0.412 bytes=3\nabc\n"
    return [
        bench.result(1000, "pc1", stdout=b"text\r\n"),
        bench.result(1000, "pc2", stdout=bytes(range(256)), stderr=tricky),
        bench.result(1000, "pc1", "q", stdout=b"", stderr=b"only here"),
        bench.result(1000, "pc2", "q", reason=Reason.NO_ANSWER),
        bench.result(2000, "pc1", stdout=tricky, stderr=b""),
        bench.result(2000, "pc2", stdout=b""),
        bench.result(2000, "pc1", "q", reason=Reason.EXIT_CODE, stdout=b"x" * 5000, stderr=b"\n"),
    ]


def test_outputs_come_back_in_attempt_order(bench: Bench) -> None:
    results = attempts(bench)
    archive(bench, results)
    assert bench.store.unarchived() == ()
    found = replayed(bench)
    assert [each.result for each in found] == results
    assert [each.attempt_id for each in found] == list(range(1, 8))
    assert all(isinstance(each, PendingAttempt) for each in found)


def test_what_has_not_left_the_database_comes_from_there(bench: Bench) -> None:
    results = attempts(bench)
    bench.through(*results[:4])
    bench.store.commit_attempts(results[4:])
    assert [each.result for each in replayed(bench)] == results


def test_what_was_not_kept_is_missing_with_its_reason(bench: Bench) -> None:
    bench.begin(1000)
    archive(bench, [bench.result(1000), bench.result(1000, "pc2", reason=Reason.NO_ANSWER)], "never")
    archive(bench, [bench.result(1000, probe="q")], "on_failure")
    never, silent, good = replayed(bench)
    assert isinstance(never, Missing)
    assert (never.reason, never.result.stdout) == ("its outputs were not kept (keep: never)", b"")
    assert isinstance(silent, PendingAttempt)
    assert isinstance(good, Missing)
    assert good.reason == "its outputs were not kept (keep: on_failure)"


def test_what_had_not_changed_follows_the_last_equal_block(bench: Bench) -> None:
    results = []
    for number, text in enumerate([b"a", b"a", b"b", b"b", b"a"], 1):
        bench.begin(number)
        results += [bench.result(number, host, stdout=text + host.encode()) for host in ("pc1", "pc2")]
    archive(bench, results, "on_change")
    assert [each.result for each in replayed(bench)] == results


def test_a_filter_failure_is_undone(bench: Bench) -> None:
    bench.begin(1000)
    results = [bench.result(1000), bench.result(1000, "pc2", reason=Reason.TIMEOUT, stdout=b"part")]
    ids = bench.store.commit_attempts(results)
    done = [ChainDone(each, Reason.FILTER, "boom", "mend it") for each in ids]
    bench.store.commit_chains(done)
    pending = [
        each.applied_to(PendingAttempt(each.attempt_id, r)) for each, r in zip(done, results, strict=True)
    ]
    Archive(bench.directory, bench.store).append(pending)
    assert [each.result for each in replayed(bench)] == results


def test_data_is_made_of_the_outputs_again(bench: Bench) -> None:
    bench.begin(1000)
    rows = [{"Size": 2**64 - 1, "Name": "C:"}]
    first = bench.result(1000, stdout=b'[{"Size":18446744073709551615,"Name":"C:"}]', data=rows)
    bad = bench.result(1000, "pc2", stdout=b"no json")
    archive(bench, [first, bad])
    assert [each.result for each in replayed(bench, restore={"p": with_json_data})] == [first, bad]
    assert [each.result for each in replayed(bench)] == [replace(first, data=None), bad]


@pytest.mark.parametrize("damage", ["cut", "grown", "overwritten"])
def test_a_changed_file_is_told(bench: Bench, damage: str) -> None:
    archive(bench, attempts(bench))
    path = bench.directory / "pc1" / "p.stdout"
    content = path.read_bytes()
    changed = {"cut": content[:-3], "grown": b"x" + content, "overwritten": b"\n" * len(content)}
    path.write_bytes(changed[damage])
    with pytest.raises(StoreError, match=r"pc1/p\.stdout was changed by another program") as told:
        replayed(bench)
    assert "restore the file" in told.value.hint


def test_attempts_whose_file_is_gone_are_missing(bench: Bench) -> None:
    archive(bench, attempts(bench))
    path = bench.directory / "pc1" / "p.stdout"
    path.unlink()
    missing = [each for each in replayed(bench) if isinstance(each, Missing)]
    assert [each.attempt_id for each in missing] == [1, 5]
    assert {each.reason for each in missing} == {f"{path} is gone"}
