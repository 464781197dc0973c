"""What leaves the house, for all experiments of a process: mail, pushes, heartbeat; and the network check."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ddcplay.config.settings import Settings
from ddcplay.engine.online import why_offline
from ddcplay.model.inventory import SecretRef
from ddcplay.model.plan import Target
from ddcplay.model.playbook import Play
from ddcplay.model.ports import OutboxTable
from ddcplay.notify.delivery import MessageSender
from ddcplay.notify.heartbeat import Heartbeat
from ddcplay.notify.message import Sender
from ddcplay.notify.outbox import Outbox
from ddcplay.notify.push import PushSender
from ddcplay.notify.smtp import SmtpSender, SmtpServer
from ddcplay.units import Clock


class PostOffice:
    """Makes outboxes and says whether this machine is online.

    Args:
        settings: mail server, heartbeat, addresses of the network check.
        resolve: looks secrets up, when they are used.
        redact: blanks secrets in texts.
        clock: of the process.
        notice: told of trouble with sending, once per trouble.
    """

    def __init__(
        self,
        settings: Settings,
        resolve: Callable[[SecretRef], str],
        redact: Callable[[str], str],
        clock: Clock,
        notice: Callable[[str], None],
    ) -> None:
        self._settings = settings
        self._resolve = resolve
        self.redact = redact
        self._clock = clock
        self._notice = notice
        heartbeat = settings.heartbeat
        self._heartbeat = None if heartbeat is None else Heartbeat(heartbeat, resolve, notice)

    @property
    def sender(self) -> Sender | None:
        """Return who mails come from, None without a mail server."""
        smtp = self._settings.smtp
        return None if smtp is None else Sender.of(smtp.from_address)

    def outbox(self, table: OutboxTable, play: Play) -> Outbox:
        """Return an outbox of one experiment, not yet started."""
        senders: dict[str, MessageSender] = {"push": PushSender(addresses_of(play), self._resolve)}
        if self._settings.smtp is not None:
            senders["mail"] = SmtpSender(SmtpServer.of(self._settings.smtp), self._resolve)
        return Outbox(table, senders, self._clock, self._notice, self.redact)

    def beat(self) -> None:
        """Tell the outside that this machine is alive; returns at once."""
        if self._heartbeat is not None:
            self._heartbeat.beat()

    def close(self, timeout_s: float) -> None:
        """Give the last sign of life a moment to get out."""
        if self._heartbeat is not None:
            self._heartbeat.close(timeout_s)

    def offline(self, targets: Sequence[Target]) -> str:
        """Say why this machine cannot be online, asked when no host answered; empty when it may well be."""
        return why_offline(self._settings.network_check, targets)


def addresses_of(play: Play) -> dict[str, SecretRef]:
    """Return where the pushes of a play go, by the names that the database keeps of them."""
    found = {f"alerts/{number}": url for number, url in enumerate(play.alerts.notify)}
    for probe in play.probes:
        for entry in probe.filters:
            url = entry.options.get("url") if isinstance(entry.options, dict) else entry.options
            if entry.name == "notify" and url is not None:
                scheme, _, rest = str(url).partition(":")
                secret = scheme in {"env", "file", "keyring", "cmd", "plain"} and not rest.startswith("//")
                reference = SecretRef(scheme, rest) if secret else SecretRef("plain", str(url))
                found[f"{probe.name}/{entry.label}"] = url if isinstance(url, SecretRef) else reference
    return found
