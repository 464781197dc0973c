from __future__ import annotations

import random
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from ddcplay.errors import DdcplayError
from ddcplay.model.plan import Target
from ddcplay.model.playbook import PingMethod, PingPolicy
from ddcplay.transport.icmp import icmp_permitted
from ddcplay.transport.sweep import HostState, SweepAnswer, sweep

TCP = PingPolicy(PingMethod.TCP, timeout_s=0.3, attempts=1)
linux = pytest.mark.skipif(sys.platform != "linux", reason="all of 127.0.0.0/8 is local on Linux alone")


@pytest.fixture
def sockets() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def listener(sockets: ExitStack, address: str = "127.0.0.1", port: int = 0) -> int:
    sock = sockets.enter_context(socket.create_server((address, port), backlog=64))
    return int(sock.getsockname()[1])


def closed_port(sockets: ExitStack) -> int:
    """A port that refuses and that nobody else can take meanwhile: bound, not listening."""
    sock = sockets.enter_context(socket.socket())
    sock.bind(("127.0.0.1", 0))
    return int(sock.getsockname()[1])


def silent_port(sockets: ExitStack, address: str = "127.0.0.1", port: int = 0) -> tuple[int, socket.socket]:
    """A listener whose queue is full drops every further SYN, as a firewall does."""
    server = sockets.enter_context(socket.socket())
    server.bind((address, port))
    server.listen(0)
    where = server.getsockname()
    for _ in range(3):
        filler = sockets.enter_context(socket.socket())
        filler.setblocking(False)
        filler.connect_ex(where)
    return int(where[1]), server


def own_address() -> str:
    """An address of this test alone, so that the well-known ports are free on it."""
    return f"127.{random.randint(1, 254)}.{random.randint(0, 255)}.{random.randint(1, 254)}"


def at(host: str, port: int, address: str = "127.0.0.1") -> Target:
    return Target(host, address, port=port)


def swept(targets: list[Target], policy: PingPolicy = TCP) -> dict[str, SweepAnswer]:
    answers: dict[str, SweepAnswer] = {}

    def take(answer: SweepAnswer) -> None:
        assert answer.host not in answers, "told twice"
        answers[answer.host] = answer

    sweep(targets, policy, take)
    return answers


def test_each_host_is_told_once_with_what_was_seen(sockets: ExitStack) -> None:
    silent, _ = silent_port(sockets)
    opened = listener(sockets)
    answers = swept(
        [at("quiet", silent), at("there", opened), at("off", closed_port(sockets)), at("bad", 1, "a..b")]
    )
    assert list(answers)[-1] == "quiet", "answers are told as they arrive"
    there = answers["there"]
    assert (there.state, there.on, there.address, there.open_ports) == ("up", True, "127.0.0.1", (opened,))
    assert (answers["off"].state, answers["off"].on, answers["off"].open_ports) == ("port_closed", True, ())
    assert (answers["quiet"].state, answers["quiet"].on) == ("no_answer", False)
    assert 0.29 <= answers["quiet"].elapsed_s < 0.6
    assert (answers["bad"].state, answers["bad"].on, answers["bad"].address) == ("no_name", None, None)


def test_nobody_to_ask_ends_at_once() -> None:
    assert swept([]) == {}


def test_silence_costs_attempts_times_timeout_and_not_a_host_more(sockets: ExitStack) -> None:
    silent, _ = silent_port(sockets)
    opened = listener(sockets)
    policy = PingPolicy(PingMethod.TCP, timeout_s=0.25, attempts=2)
    hosts = [at(f"quiet{i}", silent) for i in range(120)] + [at(f"there{i}", opened) for i in range(40)]
    took_s = []
    for _ in range(4):  # other programs may have the processors; one quiet moment shows what the sweep takes
        began = time.monotonic()
        answers = swept(hosts, policy)
        took_s.append(time.monotonic() - began)
        if took_s[-1] < 0.5 * 1.3 + 0.3:
            break
    assert min(took_s) < 60 * 0.5, "one after another they would take a minute"
    assert sum(answer.state is HostState.UP for answer in answers.values()) == 40


def test_a_try_after_a_silent_one_is_a_new_connect(sockets: ExitStack) -> None:
    silent, server = silent_port(sockets)

    def make_room() -> None:
        server.settimeout(0.01)
        try:
            while True:
                sockets.enter_context(server.accept()[0])
        except TimeoutError:
            return

    timer = threading.Timer(0.25, make_room)
    timer.start()
    # All within the second in which the kernel would not have repeated the first SYN.
    answers = swept([at("booting", silent)], PingPolicy(PingMethod.TCP, timeout_s=0.1, attempts=9))
    timer.join()
    assert answers["booting"].state is HostState.UP
    assert answers["booting"].elapsed_s < 0.9


@linux
def test_without_a_written_port_both_are_asked_and_told_best_first(sockets: ExitStack) -> None:
    both, one = own_address(), own_address()
    for port in (5985, 5986):
        listener(sockets, both, port)
    listener(sockets, one, 5985)
    answers = swept([Target("both", both), Target("one", one), Target("plain", both, scheme="http")])
    assert answers["both"].open_ports == (5986, 5985)
    assert answers["one"].open_ports == (5985,)
    assert answers["plain"].open_ports == (5985,)


@linux
def test_a_silent_second_port_is_not_waited_for(sockets: ExitStack) -> None:
    address = own_address()
    listener(sockets, address, 5985)
    silent_port(sockets, address, 5986)
    began = time.monotonic()
    answer = swept([Target("pc", address)], PingPolicy(PingMethod.TCP, timeout_s=5.0, attempts=2))["pc"]
    assert (answer.state, answer.open_ports) == ("up", (5985,))
    assert time.monotonic() - began < 1.5


@linux
def test_a_refused_port_beside_a_silent_one_means_the_machine_is_on(sockets: ExitStack) -> None:
    address = own_address()
    silent_port(sockets, address, 5986)
    answer = swept([Target("pc", address)])["pc"]
    assert (answer.state, answer.on) == ("port_closed", True)
    assert "5985" in answer.detail


@linux
def test_a_ping_answered_by_this_machine_itself_says_nothing_of_a_silent_port(sockets: ExitStack) -> None:
    if not icmp_permitted():
        pytest.skip("this process may not send ICMP")
    silent, _ = silent_port(sockets)
    answers = swept([at("pc", silent)], PingPolicy(PingMethod.AUTO, timeout_s=0.2, attempts=2))
    assert (answers["pc"].state, answers["pc"].on) == ("no_answer", False)
    alone = swept([at("pc", silent)], PingPolicy(PingMethod.ICMP, timeout_s=0.5, attempts=2))["pc"]
    assert (alone.state, alone.on, alone.open_ports, alone.address) == ("up", True, (), "127.0.0.1")


def test_icmp_without_permission_says_how_to_get_it() -> None:
    if icmp_permitted():
        pytest.skip("this process may send ICMP")
    with pytest.raises(DdcplayError, match="ping: tcp"):
        swept([at("pc", 1)], PingPolicy(PingMethod.ICMP))


def test_method_none_looks_at_nobody() -> None:
    answer = swept([Target("pc", "no such name")], PingPolicy(PingMethod.NONE))["pc"]
    assert (answer.state, answer.on, answer.address) == ("up", None, None)


def test_local_and_proxied_hosts_are_not_knocked_at() -> None:
    answers = swept(
        [
            Target("here", "a..b", connection="local"),
            Target("behind", "a..b", proxy="http://proxy:3128"),
        ]
    )
    assert (answers["here"].state, answers["here"].on) == ("up", True)
    assert (answers["behind"].state, answers["behind"].on) == ("up", None)


def test_a_name_with_two_families_is_reached_by_the_one_that_answers(sockets: ExitStack) -> None:
    opened = listener(sockets)  # IPv4 only, so ::1 of localhost refuses where it exists
    answer = swept([at("pc", opened, "localhost")])["pc"]
    assert (answer.state, answer.address) == ("up", "127.0.0.1")


def test_stop_ends_the_sweep_and_the_rest_get_no_answer(sockets: ExitStack) -> None:
    silent, _ = silent_port(sockets)
    opened = listener(sockets)
    stop = threading.Event()
    told: list[str] = []

    def take(answer: SweepAnswer) -> None:
        told.append(answer.host)
        stop.set()

    began = time.monotonic()
    hosts = [at("there", opened), at("quiet", silent)]
    sweep(hosts, PingPolicy(PingMethod.TCP, timeout_s=30.0, attempts=2), take, stop)
    assert told == ["there"]
    assert time.monotonic() - began < 5
    sweep(hosts, TCP, take, stop)
    assert told == ["there"], "a stop that is set before asks nobody"


def test_an_error_of_the_listener_ends_the_sweep(sockets: ExitStack) -> None:
    silent, _ = silent_port(sockets)

    def take(answer: SweepAnswer) -> None:
        raise RuntimeError("full")

    hosts = [at("off", closed_port(sockets)), at("quiet", silent)]
    with pytest.raises(RuntimeError, match="full"):
        sweep(hosts, PingPolicy(PingMethod.TCP, timeout_s=30.0), take)


def test_a_slow_listener_does_not_make_hosts_look_silent(sockets: ExitStack) -> None:
    opened = listener(sockets)
    states: list[str] = []

    def take(answer: SweepAnswer) -> None:
        states.append(answer.state)
        time.sleep(0.03)  # three times the timeout: the loop always comes late

    sweep([at(f"pc{i}", opened) for i in range(20)], PingPolicy(PingMethod.TCP, 0.01, 1), take)
    assert states == ["up"] * 20


def test_answers_are_told_in_the_calling_thread(sockets: ExitStack) -> None:
    seen: list[threading.Thread] = []
    run: Callable[[], None] = lambda: sweep(  # noqa: E731 - the thread's whole body
        [at("pc", closed_port(sockets))], TCP, lambda _: seen.append(threading.current_thread())
    )
    thread = threading.Thread(target=run)
    thread.start()
    thread.join(5)
    assert seen == [thread]
