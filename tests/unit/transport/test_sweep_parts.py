from __future__ import annotations

import asyncio
import errno
import socket
import threading
from collections.abc import Mapping, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ddcplay.transport.evidence import Evidence, HostState, Knock, Verdict, decide
from ddcplay.transport.icmp import is_echo_reply
from ddcplay.transport.knock import Flight, Knocker, Paced, knock_of, sockets_allowed
from ddcplay.transport.names import Address, NameFailedError, Names

OPEN, CLOSED, SILENT = Knock.OPEN, Knock.CLOSED, Knock.SILENT
UNREACHABLE, UNTRIED = Knock.UNREACHABLE, Knock.UNTRIED
LOCALHOST = Address("127.0.0.1", 4)

# -- what follows from the evidence ------------------------------------------------------------


@pytest.mark.parametrize(
    ("ports", "echo", "state", "on", "open_ports"),
    [
        ({5986: OPEN, 5985: OPEN}, None, "up", True, (5986, 5985)),
        ({5986: CLOSED, 5985: OPEN}, None, "up", True, (5985,)),
        ({5986: OPEN, 5985: SILENT}, False, "up", True, (5986,)),
        ({5986: CLOSED, 5985: CLOSED}, None, "port_closed", True, ()),
        ({5986: SILENT, 5985: CLOSED}, False, "port_closed", True, ()),
        ({5986: UNREACHABLE, 5985: CLOSED}, None, "port_closed", True, ()),
        ({5986: SILENT, 5985: SILENT}, True, "port_closed", True, ()),
        ({5985: UNREACHABLE}, True, "port_closed", True, ()),
        ({5986: SILENT, 5985: SILENT}, False, "no_answer", False, ()),
        ({5985: SILENT}, None, "no_answer", False, ()),
        ({5985: UNREACHABLE}, None, "no_answer", False, ()),
        ({5986: UNREACHABLE, 5985: UNTRIED}, None, "no_answer", False, ()),
        ({5985: UNTRIED}, False, "no_answer", None, ()),
        ({}, True, "up", True, ()),
        ({}, False, "no_answer", False, ()),
    ],
)
def test_state_follows_from_what_was_seen(
    ports: Mapping[int, Knock], echo: bool | None, state: str, on: bool | None, open_ports: tuple[int, ...]
) -> None:
    verdict = decide(Evidence(ports, echo))
    assert (verdict.state, verdict.on, verdict.open_ports) == (state, on, open_ports)
    assert verdict.detail


@pytest.mark.parametrize(
    ("winrm", "expected"),
    [
        ({5986: "", 5985: ""}, (HostState.UP, (5986, 5985))),
        ({5986: "it hung up", 5985: ""}, (HostState.UP, (5985,))),
        ({5986: "it hung up", 5985: "it is not WinRM"}, (HostState.PORT_CLOSED, ())),
    ],
)
def test_with_identify_an_open_port_is_no_proof(
    winrm: Mapping[int, str], expected: tuple[HostState, tuple[int, ...]]
) -> None:
    verdict = decide(Evidence({5986: OPEN, 5985: OPEN}, None, winrm))
    assert (verdict.state, verdict.open_ports) == expected
    assert verdict.on is True


@given(
    ports=st.dictionaries(st.sampled_from([5986, 5985, 22]), st.sampled_from(Knock), max_size=3),
    echo=st.none() | st.booleans(),
)
def test_a_verdict_never_contradicts_itself(ports: Mapping[int, Knock], echo: bool | None) -> None:
    verdict: Verdict = decide(Evidence(ports, echo))
    assert (verdict.state in {HostState.UP, HostState.PORT_CLOSED}) == (verdict.on is True)
    assert set(verdict.open_ports) == {port for port, knock in ports.items() if knock is OPEN}


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (errno.ECONNREFUSED, CLOSED),
        (errno.ECONNRESET, CLOSED),
        (errno.ETIMEDOUT, SILENT),
        (errno.EHOSTUNREACH, UNREACHABLE),
        (errno.ENETUNREACH, UNREACHABLE),
        (errno.EMFILE, UNTRIED),
        (errno.EADDRNOTAVAIL, UNTRIED),
        (errno.EPERM, UNTRIED),
    ],
)
def test_errors_of_connect_are_told_apart(code: int, expected: Knock) -> None:
    assert knock_of(OSError(code, "text")) is expected


@pytest.mark.parametrize(
    ("packet", "version", "expected"),
    [
        (b"\x00\x00" + bytes(6), 4, True),  # a datagram socket hands over the bare message
        (b"\x45" + bytes(19) + b"\x00\x00" + bytes(6), 4, True),
        (b"\x46" + bytes(23) + b"\x00\x00" + bytes(6), 4, True),  # IP options
        (b"\x45" + bytes(19) + b"\x08\x00" + bytes(6), 4, False),  # somebody's request
        (b"\x45" + bytes(19) + b"\x03\x01" + bytes(36), 4, False),  # a router: host unreachable
        (b"\x81\x00" + bytes(6), 6, True),
        (b"\x80\x00" + bytes(6), 6, False),
        (b"\x4f", 4, False),
        (b"", 4, False),
    ],
)
def test_only_echo_replies_count(packet: bytes, version: int, expected: bool) -> None:
    assert is_echo_reply(packet, version) is expected


# -- connects ------------------------------------------------------------


def test_the_limit_of_open_files_is_raised_and_some_are_left() -> None:
    allowed = sockets_allowed()
    assert 16 <= allowed <= 16_000
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert soft == min(hard, 65_536) or soft >= 65_536
    assert allowed < soft


def knock_all(
    ports: Sequence[int], sockets: int, *, task_per_connect: bool = False
) -> tuple[list[Knock], int]:
    most = 0

    async def run() -> list[Knock]:
        nonlocal most
        knocker = Knocker(sockets)
        if task_per_connect:
            knocker._start = knocker._start_task
        heard: list[Knock] = []
        done = asyncio.get_running_loop().create_future()

        def take(knock: Knock) -> None:
            nonlocal most
            most = max(most, len(knocker._flying) + 1)
            heard.append(knock)
            if len(heard) == len(ports):
                done.set_result(None)

        for port in ports:
            knocker.knock(socket.AF_INET, Flight(("127.0.0.1", port), 0.2, take))
        await asyncio.wait_for(done, 20)
        knocker.close()
        return heard

    return asyncio.run(run()), most


@pytest.mark.parametrize("task_per_connect", [False, True])
def test_more_hosts_than_sockets_are_all_asked_in_turn(task_per_connect: bool) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=128) as server:
        port = server.getsockname()[1]
        heard, most = knock_all([port] * 60, 4, task_per_connect=task_per_connect)
    assert heard == [OPEN] * 60
    assert most <= 4


@pytest.mark.parametrize("task_per_connect", [False, True])
def test_open_closed_silent_and_impossible_ports_are_told_apart(task_per_connect: bool) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.socket() as bound,
        socket.socket() as full,
        socket.socket() as one,
        socket.socket() as two,
    ):
        bound.bind(("127.0.0.1", 0))
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for filler in (one, two):
            filler.setblocking(False)
            filler.connect_ex(full.getsockname())
        ports = [server.getsockname()[1], bound.getsockname()[1], full.getsockname()[1], 70_000]
        heard = [
            knock_all([port], 10, task_per_connect=task_per_connect and port < 65_536)[0][0] for port in ports
        ]
    assert heard == [OPEN, CLOSED, SILENT, UNTRIED]


def test_packets_leave_in_bursts_of_at_most_two_thousand() -> None:
    async def run() -> list[float]:
        loop = asyncio.get_running_loop()
        paced = Paced()
        times: list[float] = []
        done = loop.create_future()

        def packet() -> None:
            times.append(loop.time())
            if len(times) == 4100:
                done.set_result(None)

        for _ in range(4100):
            paced.put(packet)
        await asyncio.wait_for(done, 20)
        return times

    times = asyncio.run(run())
    assert times[2000] - times[0] >= 0.099
    assert times[4000] - times[2000] >= 0.099


# -- names ------------------------------------------------------------


def resolve(names: Sequence[str], lookup: object, limit_s: float = 5.0) -> list[object]:
    async def run() -> list[object]:
        resolver = Names(limit_s, lookup)  # type: ignore[arg-type]
        return list(await asyncio.gather(*map(resolver.addresses, names), return_exceptions=True))

    return asyncio.run(run())


def test_literals_are_not_looked_up() -> None:
    def lookup(name: str) -> list[Address]:
        raise AssertionError(name)

    assert resolve(["192.0.2.7", "2001:db8::7"], lookup) == [
        (Address("192.0.2.7", 4),),
        (Address("2001:db8::7", 6),),
    ]


def test_equal_names_are_looked_up_once() -> None:
    asked: list[str] = []

    def lookup(name: str) -> list[Address]:
        asked.append(name)
        return [LOCALHOST]

    assert resolve(["pc", "pc", "pc"], lookup) == [(LOCALHOST,)] * 3
    assert asked == ["pc"]


def test_families_take_turns_and_stale_addresses_are_cut_off() -> None:
    six = [Address(f"2001:db8::{i}", 6) for i in range(4)]
    four = [Address(f"192.0.2.{i}", 4) for i in range(4)]
    assert resolve(["pc"], lambda name: [*six, six[0], *four]) == [(six[0], four[0], six[1], four[1])]


@pytest.mark.parametrize(
    "error",
    [socket.gaierror(socket.EAI_NONAME, "unknown"), UnicodeError("label too long"), ValueError("NUL")],
)
def test_a_name_without_an_address_says_why(error: Exception) -> None:
    def lookup(name: str) -> list[Address]:
        raise error

    (found,) = resolve(["pc"], lookup)
    assert isinstance(found, NameFailedError)
    assert str(error.args[-1]) in str(found)


def test_a_hanging_name_holds_up_no_other() -> None:
    release = threading.Event()

    def lookup(name: str) -> list[Address]:
        if name.startswith("hang"):
            release.wait(10)
        return [LOCALHOST]

    names = [f"hang{i}" for i in range(127)] + [f"pc{i}" for i in range(50)]
    try:
        found = resolve(names, lookup, limit_s=0.3)
    finally:
        release.set()
    assert found[127:] == [(LOCALHOST,)] * 50
    assert all(isinstance(answer, NameFailedError) for answer in found[:127])


def test_a_dead_resolver_costs_one_budget_however_many_names_wait() -> None:
    release = threading.Event()

    def lookup(name: str) -> list[Address]:
        release.wait(10)
        return []

    async def run() -> float:
        loop = asyncio.get_running_loop()
        resolver = Names(0.2, lookup)
        began = loop.time()
        names = [f"pc{i}" for i in range(600)]
        found = await asyncio.gather(*map(resolver.addresses, names), return_exceptions=True)
        assert all(isinstance(answer, NameFailedError) for answer in found)
        return loop.time() - began

    try:
        assert asyncio.run(run()) < 20, "one after another they would take two minutes"
    finally:
        release.set()
