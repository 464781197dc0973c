"""Whether the coordinator itself is offline, on its own evidence alone (design §5).

That no PC answers is no evidence: at night they are all off. Evidence is that none of the addresses of
setting `network_check` answers, or that the system knows no way to any target.
"""

from __future__ import annotations

import errno
import socket
import threading
from collections.abc import Sequence

from ddcplay.model.plan import Target
from ddcplay.model.playbook import PingPolicy
from ddcplay.transport.sweep import SweepAnswer, sweep

CHECK = PingPolicy(timeout_s=1.0)
"""How the addresses of the network check are asked: TCP, and ICMP for those that take no connection."""
_NO_WAY = {errno.ENETUNREACH, errno.ENETDOWN, errno.EHOSTUNREACH}
_ASKED = 20
"""Targets whose route is looked up; they share the way out."""
_DEFAULT_PORT = 443


def why_offline(network_check: Sequence[str], targets: Sequence[Target]) -> str:
    """Say why this machine cannot be online; empty when it may well be.

    Args:
        network_check: addresses, `HOST` or `HOST:PORT`; a refused connection or an echo is an answer.
        targets: hosts that did not answer.
    """
    if network_check:
        if _anybody_answers(network_check):
            return ""
        return f"none of the addresses of network_check answers ({', '.join(network_check)})"
    ways = [_has_way(target.address) for target in targets[:_ASKED]]
    known = [way for way in ways if way is not None]
    return "this machine has no network route to any host" if known and not any(known) else ""


def _anybody_answers(addresses: Sequence[str]) -> bool:
    heard = threading.Event()  # one is enough, so the first answer ends the look

    def hear(answer: SweepAnswer) -> None:
        if answer.on:
            heard.set()

    asked = []
    for text in dict.fromkeys(addresses):
        host, port = _split(text)
        asked.append(Target(text, host, port=port))
    sweep(asked, CHECK, hear, heard)
    return heard.is_set()


def _split(address: str) -> tuple[str, int]:
    host, colon, port = address.rpartition(":")
    if colon and port.isdigit() and (":" not in host or host.startswith("[")):
        return host.strip("[]"), int(port)
    return address.strip("[]"), _DEFAULT_PORT


def _has_way(address: str) -> bool | None:
    """Ask the system for a route without sending anything; None where the address is a name."""
    try:
        found = socket.getaddrinfo(
            address, _DEFAULT_PORT, type=socket.SOCK_DGRAM, flags=socket.AI_NUMERICHOST
        )
    except OSError:
        return None
    family, kind, protocol, _, place = found[0]
    try:
        with socket.socket(family, kind, protocol) as asked:
            asked.connect(place)
    except OSError as error:
        return error.errno not in _NO_WAY
    return True
