"""`ddcplay mail`: what worked is said step by step, and what waits is sent."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ddcplay.notify.message import Sender, compose, message_id
from ddcplay.store.base import IterationEffects, IterationRecord, Provenance
from ddcplay.store.experiment_store import open_store

PASSWORD = "correct-horse-42"


def settings_for(project: Path, running: Any, **more: str) -> None:
    values = {
        "host": "127.0.0.1",
        "port": str(running.port),
        "from": "ddcplay@example.edu",
        "tls": running.options.get("tls", "none"),
        "ca_trust_path": str(running.ca),
        **more,
    }
    lines = "".join(f"  {key}: {value}\n" for key, value in values.items())
    (project / "ddcplay.yml").write_text(f"data_dir: data\nsmtp:\n{lines}")


def test_a_sample_mail_goes_out_and_each_step_is_told(project: Path, inside: Any, smtp_server: Any) -> None:
    running = smtp_server(tls="starttls", user="ddc", password=PASSWORD)
    settings_for(project, running, username="ddc", password=f"plain:{PASSWORD}")
    done = inside("mail", "test", "--to", "it@example.edu")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines() == [
        f"ok   connected to 127.0.0.1:{running.port}",
        "ok   encrypted with STARTTLS, certificate checked",
        "ok   logged on as ddc",
        "ok   the server took the mail for it@example.edu",
    ]
    [message] = running.messages()
    assert message["Subject"] == "[ddcplay] Sample mail"


def test_a_wrong_password_is_named_but_not_shown(project: Path, inside: Any, smtp_server: Any) -> None:
    running = smtp_server(tls="implicit", user="ddc", password=PASSWORD)
    settings_for(project, running, username="ddc", password="plain:wrong-secret")
    done = inside("mail", "test")
    assert done.returncode == 1
    assert "FAIL mail server" in done.stdout
    assert "refused the logon: 535" in done.stdout
    assert "check smtp: username and password" in done.stdout
    assert "wrong-secret" not in done.stdout + done.stderr


def test_without_a_mail_server_nothing_is_tried(inside: Any) -> None:
    done = inside("mail", "test")
    assert done.returncode == 2
    assert "the settings name no mail server" in done.stderr


def test_a_recipient_that_is_refused_is_named(project: Path, inside: Any, smtp_server: Any) -> None:
    running = smtp_server(refuse={"gone@example.edu": "550 no such user"})
    settings_for(project, running)
    done = inside("mail", "test", "--to", "gone@example.edu", "--to", "it@example.edu")
    assert done.returncode == 1
    assert "FAIL gone@example.edu was refused: 550 no such user" in done.stdout
    assert "ok   the server took the mail for it@example.edu" in done.stdout


def waiting(project: Path, count: int) -> Any:
    """Return the open store of an experiment with mails that wait."""
    store = open_store(project / "data" / "labs", "labs", play="Labs", clock_now=1.8e9)
    sender = Sender.of("ddcplay@example.edu")
    mails = [
        compose(
            sender,
            ["it@example.edu"],
            f"Mail {number}",
            "x",
            "",
            message_id=message_id(sender, "t", number),
            at=1.8e9 + number,
        )
        for number in range(count)
    ]
    store.open_iteration(IterationRecord(1_800_000_000, 1.8e9), Provenance(), ["pc1"], ["p"])
    store.close_iteration(
        1_800_000_000, 1.8e9 + 5, 1.0, "closed", effects=IterationEffects(outgoing=tuple(mails))
    )
    return store


def test_what_waits_is_sent_in_order(project: Path, inside: Any, smtp_server: Any) -> None:
    running = smtp_server()
    settings_for(project, running)
    waiting(project, 3).close()
    done = inside("mail", "flush")
    assert (done.returncode, done.stdout) == (0, "labs: 3 sent, 0 mails still waiting\n"), done.stderr
    assert [message["Subject"] for message in running.messages()] == ["Mail 0", "Mail 1", "Mail 2"]
    assert inside("mail", "flush").stdout == "labs: 0 sent, 0 mails still waiting\n"


def test_mails_that_cannot_be_sent_still_wait(project: Path, inside: Any, smtp_server: Any) -> None:
    running = smtp_server()
    running.stop()
    settings_for(project, running)
    waiting(project, 2).close()
    done = inside("mail", "flush", "labs")
    assert (done.returncode, done.stdout) == (1, "labs: 0 sent, 2 mails still waiting\n")
    assert done.stderr.count("mail cannot be sent") == 1


def test_a_running_coordinator_is_left_to_send_them(project: Path, inside: Any, smtp_server: Any) -> None:
    settings_for(project, smtp_server())
    store = waiting(project, 1)
    try:
        done = inside("mail", "flush")
    finally:
        store.close()
    assert done.returncode == 2
    assert "its coordinator sends the mails itself" in done.stdout


@pytest.mark.parametrize("words", [("mail",), ("mail", "--help")])
def test_help_names_both_commands(inside: Any, words: tuple[str, ...]) -> None:
    done = inside(*words)
    assert "test" in done.stdout + done.stderr
    assert "flush" in done.stdout + done.stderr
