"""Is the coordinator itself offline? Only what it can tell of itself counts."""

from __future__ import annotations

import socket

import pytest

from ddcplay.engine.online import why_offline
from ddcplay.model.plan import Target

NOBODY = "255.255.255.255"  # takes no connection and no echo request; nothing leaves the machine


@pytest.fixture
def listening():
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


def test_one_address_that_answers_is_enough(listening):
    assert why_offline((f"{NOBODY}:9", listening), ()) == ""


def test_a_refused_connection_is_an_answer():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    assert why_offline((f"127.0.0.1:{port}",), ()) == ""


def test_an_address_without_a_port_is_asked_at_443_and_by_echo():
    assert why_offline(("127.0.0.1",), ()) == ""
    assert why_offline(("::1", "[::1]:9"), ()) == ""


def test_silent_addresses_are_named():
    why = why_offline((f"{NOBODY}:9", f"{NOBODY}:10"), [Target("pc", "127.0.0.1")])
    assert why == f"none of the addresses of network_check answers ({NOBODY}:9, {NOBODY}:10)"


def test_a_name_that_nobody_knows_does_not_answer():
    assert "nowhere.invalid" in why_offline(("nowhere.invalid",), ())


def test_without_a_network_check_a_route_to_any_host_is_enough():
    assert why_offline((), [Target("far", NOBODY), Target("near", "127.0.0.1")]) == ""
    assert why_offline((), [Target("name", "pc1.example.edu")]) == ""
    assert why_offline((), ()) == ""
