"""Nothing is written about port and scheme: which of 5986 and 5985 is taken, and who is shown what."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from ddcplay.errors import FaultError
from ddcplay.model.inventory import SecretRef
from ddcplay.transport.base import Command
from ddcplay.units import Deadline, SystemClock

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="needs an address of its own in 127/8"),
    pytest.mark.xdist_group("winrm-usual-ports"),
]

NOTHING_WRITTEN: dict[str, Any] = {"port": None, "scheme": None}
USELESS: dict[str, dict[str, Any]] = {
    "another-name": {"tls": "name"},
    "expired": {"tls": "expired"},
    "unknown-authority": {"tls": "stranger"},
    "plain-http": {},
    "mute": {"mute": True},
}


def within(seconds: float) -> Deadline:
    return Deadline.after(SystemClock(), seconds)


@pytest.fixture
def at(pc, fleet):
    """Start a fake PC on one of the usual ports of this run's own address."""
    return lambda port, **dialect: pc(host=fleet.address, port=port, **dialect)


def test_https_is_preferred(at) -> None:
    plain, secure = at(5985), at(5986, tls="good")
    connection = secure.connect(**NOTHING_WRITTEN)
    assert connection.run(Command("out x"), within(10)).stdout == b"x"
    assert (connection.facts()["port"], connection.facts()["encryption"]) == (5986, "tls")
    assert plain.journal()["connections"] == 0


@pytest.mark.parametrize("why", USELESS)
def test_a_useless_5986_leads_to_sealed_messages_on_5985(at, why) -> None:
    plain, secure = at(5985), at(5986, **USELESS[why])
    connection = plain.connect(**NOTHING_WRITTEN, within=2)
    assert connection.run(Command("out x"), within(10)).stdout == b"x"
    assert (connection.facts()["port"], connection.facts()["encryption"]) == (5985, "message")
    assert connection.facts()["passed_over"]
    assert secure.journal()["credentials"] == 0


def test_a_closed_5986_leads_to_5985(at) -> None:
    connection = at(5985).connect(**NOTHING_WRITTEN)
    assert connection.facts()["port"] == 5985


def test_https_alone_is_found(at) -> None:
    connection = at(5986, tls="good").connect(**NOTHING_WRITTEN)
    assert connection.facts()["port"] == 5986


def test_a_bad_certificate_is_told_when_5985_is_closed(at) -> None:
    secure = at(5986, tls="expired")
    with pytest.raises(FaultError) as caught:
        secure.connect(**NOTHING_WRITTEN)
    assert (caught.value.reason, "expired" in caught.value.message) == ("transport", True)


def test_a_refused_password_is_not_tried_on_the_other_port(at) -> None:
    plain, secure = at(5985), at(5986, tls="good")
    with pytest.raises(FaultError) as caught:
        secure.connect(**NOTHING_WRITTEN, password=SecretRef("plain", "wrong"))
    assert caught.value.reason == "auth"
    assert plain.journal()["connections"] == 0
