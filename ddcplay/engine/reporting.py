"""The periodic reports of one experiment, and the trace lines that go with mails."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ddcplay.model.effects import Outgoing
from ddcplay.model.playbook import Play
from ddcplay.notify.message import Attachment, Sender, compose, message_id, thread_id
from ddcplay.report.mail import report_mail
from ddcplay.report.summary import summarise
from ddcplay.store.experiment_store import ExperimentStore
from ddcplay.store.trace import trace_since


class Reporting:
    """Makes reports when they are due.

    Args:
        play: how often, to whom.
        store: the experiment's database.
        directory: the experiment's.
        sender: who mails come from, None without a mail server.
    """

    def __init__(self, play: Play, store: ExperimentStore, directory: Path, sender: Sender | None) -> None:
        self._play = play
        self._store = store
        self._directory = directory
        self._sender = sender

    def due(self, iteration: int, now: float) -> tuple[Sequence[Outgoing], int | None]:
        """Make the report that is due, if one is.

        Args:
            iteration: that has just ended.
            now: UTC Unix seconds.

        Returns:
            The mail, if there is somebody to send it to, and the iteration up to which the report reaches;
            None when none was due.
        """
        policy = self._play.report
        if policy is None:
            return (), None
        since, made_at = self._store.last_report() or (0, self._store.began_at)
        if now - made_at < policy.every_s:
            return (), None
        data = self._store.report_data(since + 1, iteration)
        mail = report_mail(summarise(data))
        if self._sender is None or not policy.email_to:
            return (), iteration
        attachments = self.trace_attachments() if "trace" in policy.attach else ()
        message = compose(
            self._sender,
            policy.email_to,
            mail.subject,
            mail.text,
            mail.html,
            message_id=message_id(self._sender, "report", self._store.experiment, iteration),
            at=now,
            attachments=attachments,
            references=(thread_id(self._sender, self._store.experiment, "report"),),
            experiment=self._store.experiment,
        )
        return (message,), iteration

    def trace_attachments(self) -> tuple[Attachment, ...]:
        """Return the trace lines since the last report, one attachment per probe."""
        since, _ = self._store.last_report() or (0, 0.0)
        found = []
        for probe in self._play.probes:
            lines = trace_since(self._directory / f"{probe.name}.trace", since)
            if lines:
                found.append(Attachment(f"{probe.name}.trace", lines, "text/plain"))
        return tuple(found)
