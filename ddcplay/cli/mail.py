"""`ddcplay mail`: does the mail server take our mail, and send what still waits."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ddcplay.cli.arguments import DataDir, Directory, Verbose, warn
from ddcplay.cli.guard import guarded

if TYPE_CHECKING:
    from ddcplay.config.settings import Settings, Smtp
    from ddcplay.model.effects import Outgoing
    from ddcplay.secrets.redact import Redactor
    from ddcplay.secrets.reference import SecretStore

FLUSH_S = 120.0


def mail_program() -> typer.Typer:
    """Return the commands under `ddcplay mail`."""
    program = typer.Typer(help="Try the mail server, and send what waits.", no_args_is_help=True)
    program.command("test")(try_command)
    program.command("flush")(flush_command)
    return program


@guarded
def try_command(
    to: Annotated[
        list[str] | None,
        typer.Option("--to", metavar="ADDRESS", help="Who gets it (default: the sender); may be repeated."),
    ] = None,
    directory: Directory = None,
    verbose: Verbose = 0,  # noqa: ARG001 - read by `guarded`
) -> int:
    """Send a sample mail through the mail server of the settings.

    Says step by step what worked. Exit code 1 when the server did not take it.
    """
    import time  # noqa: PLC0415 - commands import what they need, for a quick start

    from ddcplay.cli.experiments import read_settings  # noqa: PLC0415 - same
    from ddcplay.errors import UsageError  # noqa: PLC0415 - same
    from ddcplay.notify.message import usable  # noqa: PLC0415 - same
    from ddcplay.notify.smtp import SmtpSender, SmtpServer  # noqa: PLC0415 - same

    settings = read_settings(directory, None)
    smtp = _smtp_of(settings)
    recipients = usable(to or [smtp.from_address])
    if not recipients:
        raise UsageError("no address to send to", "give --to name@example.edu")
    secrets, redactor = _secrets(settings)
    sender = SmtpSender(SmtpServer.of(smtp), secrets.resolve, lambda step: _say(f"ok   {step}"))
    sample = _sample(smtp, recipients, time.time())
    delivery = next(iter(sender.send([sample])))
    if not delivery.done:
        _say(f"FAIL {redactor.text(delivery.error)}")
        if delivery.hint:
            _say(f"     {redactor.text(delivery.hint)}")
        return 1
    for who, why in delivery.refused_recipients:
        _say(f"FAIL {who} was refused: {redactor.text(why)}")
    refused = {who for who, _ in delivery.refused_recipients}
    _say(f"ok   the server took the mail for {', '.join(who for who in recipients if who not in refused)}")
    return 1 if refused else 0


@guarded
def flush_command(
    experiment: Annotated[
        str | None,
        typer.Argument(metavar="EXPERIMENT", help="Experiment or playbook (default: the only one)."),
    ] = None,
    data_dir: DataDir = None,
    directory: Directory = None,
    verbose: Verbose = 0,  # noqa: ARG001 - read by `guarded`
) -> int:
    """Send the mails that wait, now.

    Pushes wait for the next run: only the playbook knows their addresses. Exit code 1 when mails still wait,
    2 when the experiment is running: its coordinator sends them itself.
    """
    from ddcplay.cli.experiments import choose_experiments, read_settings  # noqa: PLC0415 - as above

    settings = read_settings(directory, data_dir)
    _smtp_of(settings)
    return max(_flush(path, settings) for path in choose_experiments(experiment, settings))


def _flush(path: Path, settings: Settings) -> int:
    from ddcplay.engine.database import database_url  # noqa: PLC0415 - as above
    from ddcplay.errors import ExperimentBusyError  # noqa: PLC0415 - as above
    from ddcplay.notify.outbox import Outbox  # noqa: PLC0415 - as above
    from ddcplay.notify.smtp import SmtpSender, SmtpServer  # noqa: PLC0415 - as above
    from ddcplay.store.experiment_store import open_store  # noqa: PLC0415 - as above
    from ddcplay.store.queries import open_reader  # noqa: PLC0415 - as above
    from ddcplay.units import SystemClock  # noqa: PLC0415 - as above

    secrets, redactor = _secrets(settings)
    clock, url = SystemClock(), database_url(settings, redactor)
    with open_reader(path, url) as reader:
        info = reader.info()
    try:
        store = open_store(
            path, info.name, play=info.play, clock_now=clock.now(), url=url, durability=settings.durability
        )
    except ExperimentBusyError:
        _say(f"{info.name}: it is running, and its coordinator sends the mails itself")
        return 2
    try:
        before = store.outbox.waiting()
        server = SmtpServer.of(_smtp_of(settings))
        senders = {"mail": SmtpSender(server, secrets.resolve)}
        outbox = Outbox(store.outbox, senders, clock, lambda text: warn([text]), redactor.text)
        left = outbox.flush(FLUSH_S) if before else 0
        mails = sum(message.kind == "mail" for message in store.outbox.due(1e12, 100_000))
        outbox.close(0)
    finally:
        store.close()
    pushes = max(0, left - mails)
    said = f"{info.name}: {before - left} sent, {mails} mail{'s' * (mails != 1)} still waiting"
    _say(said + (f", {pushes} for the next run (pushes)" if pushes else ""))
    return 1 if mails or left < 0 else 0


def _secrets(settings: Settings) -> tuple[SecretStore, Redactor]:
    from ddcplay.secrets.redact import Redactor  # noqa: PLC0415 - as above
    from ddcplay.secrets.reference import SecretStore  # noqa: PLC0415 - as above

    redactor = Redactor()
    return SecretStore(redactor, root=settings.project_root), redactor


def _smtp_of(settings: Settings) -> Smtp:
    from ddcplay.errors import UsageError  # noqa: PLC0415 - as above

    if settings.smtp is None:
        raise UsageError(
            "the settings name no mail server", "add smtp: {host: …, from: …} to ddcplay.yml (docs/mail.md)"
        )
    return settings.smtp


def _sample(smtp: Smtp, recipients: tuple[str, ...], now: float) -> Outgoing:
    from ddcplay.notify.message import Sender, compose, message_id  # noqa: PLC0415 - as above

    sender = Sender.of(smtp.from_address)
    text = (
        "This is a sample mail. If you can read it, ddcplay can send alerts and reports here.\n\n"
        f"It went through {smtp.host}, port {smtp.port}."
    )
    return compose(
        sender,
        recipients,
        "[ddcplay] Sample mail",
        text,
        "",
        message_id=message_id(sender, "test", now, recipients),
        at=now,
    )


def _say(text: str) -> None:
    from ddcplay.ui.safe_text import safe_text  # noqa: PLC0415 - as above

    typer.echo(safe_text(text))
