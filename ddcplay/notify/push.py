"""Sends pushes through Apprise: Teams, Slack, ntfy and a hundred others by their address.

The address is the secret: it is looked up when it is used, and neither Apprise's log lines nor those of the
HTTP library, which show parts of it, leave this module.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ddcplay.errors import DdcplayError
from ddcplay.model.effects import Outgoing
from ddcplay.model.inventory import SecretRef
from ddcplay.notify.delivery import Delivery

if TYPE_CHECKING:
    from io import StringIO

_CODE = re.compile(r"\berror=(\d{3})\b")
_NOISY = ("apprise", "urllib3", "requests")


class PushSender:
    """Sends pushes.

    Args:
        addresses: target (the place in the playbook) → its Apprise address.
        resolve: looks a secret up.
    """

    def __init__(self, addresses: Mapping[str, SecretRef], resolve: Callable[[SecretRef], str]) -> None:
        self._addresses = addresses
        self._resolve = resolve

    def send(self, messages: Sequence[Outgoing]) -> Iterator[Delivery]:
        """Send pushes and yield each one's fate; one address that fails does not hold up another."""
        failed: set[str] = set()
        for message in messages:
            if message.target in failed:
                continue  # its earlier message waits, and this one behind it
            delivery = self._push(message)
            if not delivery.done:
                failed.add(message.target)
            yield delivery

    def _push(self, message: Outgoing) -> Delivery:
        address = self._addresses.get(message.target)
        if address is None:
            why = f"the playbook has no address at {message.target} any more"
            return Delivery(
                message, why, "put it back, or let the message be given up", refused_for_good=True
            )
        try:
            url = self._resolve(address)
        except DdcplayError as error:
            return Delivery(message, f"push {message.target}: {error.message}", error.hint)
        payload = json.loads(message.payload)
        why = _notify(url, str(payload["title"]), str(payload["text"]))
        hint = "try the address with `apprise -b test ADDRESS`"
        return Delivery(message, f"push {message.target}: {why}", hint) if why else Delivery(message)


def _notify(url: str, title: str, text: str) -> str:
    """Send one message; return why it did not go, without any part of the address."""
    import apprise  # noqa: PLC0415 - heavy, and only plays with pushes need it

    with _quiet() as log:
        try:
            asset = apprise.AppriseAsset(app_id="ddcplay", async_mode=False)
            service = apprise.Apprise(asset=asset)
            if not service.add(url):
                return "the address is none that Apprise knows"
            if service.notify(body=text, title=title, body_format=apprise.NotifyFormat.TEXT):
                return ""
        except Exception as error:  # noqa: BLE001 - a hundred services; their texts may hold the address
            return f"the service could not be used ({type(error).__name__})"
    code = _CODE.search(log.getvalue())
    return f"the service answered HTTP {code[1]}" if code else "the service did not take the message"


@contextmanager
def _quiet() -> Iterator[StringIO]:
    """Gather what Apprise and the HTTP library below it log, and let none of it reach a handler."""
    from io import StringIO  # noqa: PLC0415 - beside its use

    gathered = StringIO()

    def keep_in(record: logging.LogRecord) -> bool:
        if not record.name.startswith("apprise") and record.levelno >= logging.WARNING:
            return True  # of other users of the HTTP library; what shows addresses is told at lower levels
        gathered.write(record.getMessage() + "\n")
        return False

    # A logger's filter sees only what is logged with that very logger, so each child there is gets it, too.
    loggers = [
        logging.getLogger(name)
        for name in [*_NOISY, *logging.root.manager.loggerDict]
        if name.partition(".")[0] in _NOISY
    ]
    for logger in loggers:
        logger.addFilter(keep_in)
    try:
        yield gathered
    finally:
        for logger in loggers:
            logger.removeFilter(keep_in)
