"""The periodic reports of one experiment, and the trace lines that go with mails."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from ddcplay.errors import DdcplayError
from ddcplay.model.effects import Outgoing
from ddcplay.model.playbook import Play
from ddcplay.notify.message import Attachment, Sender, compose, message_id, thread_id
from ddcplay.report.mail import report_mail
from ddcplay.report.summary import summarise
from ddcplay.store.experiment_store import ExperimentStore
from ddcplay.store.trace import trace_since
from ddcplay.units import format_duration

RETRY_S = 3600.0
"""Seconds after which a report that could not be made is tried again, at most."""


@dataclass(frozen=True, slots=True)
class ReportFile:
    """An HTML report that is due.

    Args:
        experiment: the experiment's directory.
        file: its place; to be replaced whole or not at all.
        timezone: IANA name, the play's.
        rooms: host → room.
        made_at: UTC Unix seconds.
    """

    experiment: Path
    file: Path
    timezone: str
    rooms: Mapping[str, str] = field(repr=False)
    made_at: float


WriteReport = Callable[[ReportFile], None]


class Reporting:
    """Makes reports when they are due; one that fails is told and tried again, and never stops a run.

    Args:
        play: how often, to whom.
        rooms: host → room.
        store: the experiment's database.
        directory: the experiment's.
        sender: who mails come from, None without a mail server.
        notice: told of reports that could not be made.
        write: writes the HTML file, None for nobody who could.
        redact: blanks secrets in texts.
    """

    def __init__(  # noqa: PLR0913 - where it reads, where it writes, and whom it tells
        self,
        play: Play,
        rooms: Mapping[str, str],
        store: ExperimentStore,
        directory: Path,
        sender: Sender | None,
        *,
        notice: Callable[[str], None] = lambda _text: None,
        write: WriteReport | None = None,
        redact: Callable[[str], str] = str,
    ) -> None:
        self._play = play
        self._rooms = rooms
        self._store = store
        self._directory = directory
        self._sender = sender
        self._notice = notice
        self._write = write
        self._redact = redact
        self._not_before = 0.0

    def due(self, iteration: int, now: float) -> tuple[Sequence[Outgoing], int | None]:
        """Make the report that is due, if one is.

        Args:
            iteration: that has just ended.
            now: UTC Unix seconds.

        Returns:
            The mail, if there is somebody to send it to, and the iteration up to which the report reaches;
            None when none was due or it could not be made.
        """
        policy = self._play.report
        if policy is None or now < self._not_before:
            return (), None
        since, made_at = self._store.last_report() or (0, self._store.began_at)
        if now - made_at < policy.every_s:
            return (), None
        try:
            if policy.file and self._write is not None:
                self._write(self._file(policy.file, now))
            return self._mails(since, iteration, now), iteration
        except Exception as error:  # noqa: BLE001 - a report is made of all that ever happened; a run must go on
            again = min(policy.every_s, RETRY_S)
            self._not_before = now + again
            told = isinstance(error, DdcplayError | OSError)
            why = str(error) if told else f"{type(error).__name__}: {error}"
            self._notice(
                f"the report could not be made, it is tried again in {format_duration(again)}: {why}"
            )
            return (), None

    def trace_of_digest(self) -> tuple[Attachment, ...]:
        """Return the trace lines since the last digest, one attachment per probe."""
        return self._trace(self._store.alerts.last_told())

    def _trace(self, since: int) -> tuple[Attachment, ...]:
        found = []
        for probe in self._play.probes:
            lines = trace_since(self._directory / f"{probe.name}.trace", since)
            if lines:
                found.append(Attachment(f"{probe.name}.trace", lines, "text/plain"))
        return tuple(found)

    def _file(self, name: str, now: float) -> ReportFile:
        return ReportFile(self._directory, self._directory / name, self._play.timezone, self._rooms, now)

    def _mails(self, since: int, iteration: int, now: float) -> Sequence[Outgoing]:
        policy = self._play.report
        if policy is None or self._sender is None or not policy.email_to:
            return ()
        data = self._store.report_data(since + 1, iteration)
        data = replace(data, timezone=self._play.timezone, rooms=tuple(self._rooms.items()))
        mail = report_mail(summarise(data))
        attachments = list(self._trace(since)) if "trace" in policy.attach else []
        if "report" in policy.attach and policy.file:
            page = self._redact((self._directory / policy.file).read_text("utf-8"))
            attachments.append(Attachment(policy.file, page.encode(), "text/html"))
        message = compose(
            self._sender,
            policy.email_to,
            self._redact(mail.subject),
            self._redact(mail.text),
            self._redact(mail.html),
            message_id=message_id(self._sender, "report", self._store.experiment, iteration),
            at=now,
            attachments=attachments,
            references=(thread_id(self._sender, self._store.experiment, "report"),),
            experiment=self._store.experiment,
        )
        return (message,)
