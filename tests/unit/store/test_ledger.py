from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from ddcplay.store.ledger import CredentialLedger, CredentialState


def test_a_state_is_found_again_by_the_next_process(tmp_path: Path) -> None:
    state = CredentialState("LAB\\admin", True, 2, 1000.5, 4600.5, "abc")
    first = CredentialLedger(tmp_path)
    assert first.load("LAB\\admin") is None
    first.save(state)
    digest = first.digest("hunter2hunter2")
    first.close()
    second = CredentialLedger(tmp_path)
    assert second.load("LAB\\admin") == state
    assert second.digest("hunter2hunter2") == digest != second.digest("hunter3hunter3")
    second.save(replace(state, refusals=0, blocked_since=None))
    assert len(second.all()) == 1
    second.close()


def test_neither_account_nor_secret_lies_in_the_file(tmp_path: Path) -> None:
    ledger = CredentialLedger(tmp_path)
    digest = ledger.digest("hunter2hunter2")
    ledger.save(CredentialState("someaccount", secret_hash=digest))
    assert ledger.all()[0].key != "someaccount"
    ledger.close()
    raw = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert digest.encode() in raw
    assert b"hunter2" not in raw
    assert b"someaccount" not in raw


def test_another_data_directory_gives_another_digest(tmp_path: Path) -> None:
    one, two = CredentialLedger(tmp_path / "a"), CredentialLedger(tmp_path / "b")
    assert one.digest("hunter2hunter2") != two.digest("hunter2hunter2")
    one.close()
    two.close()


def test_coordinators_that_count_refusals_at_once_lose_none(tmp_path: Path) -> None:
    ledgers = [CredentialLedger(tmp_path) for _ in range(4)]

    def refuse(ledger: CredentialLedger) -> None:
        for _ in range(10):
            ledger.update(
                "k", lambda old: replace(old or CredentialState("k"), refusals=old.refusals + 1 if old else 1)
            )

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(refuse, ledgers))
    found = ledgers[0].load("k")
    assert found is not None
    assert found.refusals == 40
    for ledger in ledgers:
        ledger.close()
