"""The sweep: who of the pool is there? Everybody at once, before visits are spent on machines that are off.

A visit to a silent machine would hold a worker for its whole connect timeout; the sweep asks thousands in
about `attempts` times `timeout`. It is the one place that uses asyncio: nothing here but waiting for packets.
"""

from __future__ import annotations

import asyncio
import ssl
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

from ddcplay.errors import DdcplayError
from ddcplay.model.plan import Target
from ddcplay.model.playbook import PingMethod, PingPolicy
from ddcplay.transport.evidence import Evidence, HostState, Knock, SweepAnswer, Verdict, decide
from ddcplay.transport.icmp import Echoes
from ddcplay.transport.identify import identify, unchecked_tls
from ddcplay.transport.knock import Flight, Knocker, sockets_allowed
from ddcplay.transport.names import Address, NameFailedError, Names

__all__ = ["HostState", "SweepAnswer", "sweep"]

_GRACE_S = 0.05
"""How long the other ports are waited for once one is open."""

_STAGGER_S = 0.05
"""Head start of each address of a name over the next one (RFC 8305 §5, shorter: a look costs little)."""

_ECHO_AFTER = 0.5
"""Part of a try's timeout after which a host whose ports are still silent is pinged too."""

_RESOLVER_EXTRA_S = 2.0
_IDENTIFY_LEAST_S = 2.0
_STOP_LOOK_S = 0.02
_SLICE = 100

_TELLING = tuple(Knock)
"""Answers in the order of how much they tell."""

_Pair = tuple[int, int]
"""Index of an address, and a port."""


def sweep(
    targets: Sequence[Target],
    policy: PingPolicy,
    on_answer: Callable[[SweepAnswer], None],
    stop: threading.Event | None = None,
) -> None:
    """Ask every target whether it is there and tell each answer once, as it arrives.

    Blocks the calling thread, which runs an event loop of its own meanwhile. Each host gets `attempts` fresh
    connects of `timeout_s` to each port that `Target.ports` names; Identify gets 2 s more, name resolution
    attempts times timeout plus 2 s. The whole pool is under way at once as far as the limit of open files
    allows (`knock.sockets_allowed` raises it); beyond that, hosts queue and their time starts at their turn.
    SYNs leave in bursts of at most 2,000 per 100 ms.

    Args:
        targets: hosts, names unique. Those reached through a proxy and local ones are up without a look.
        policy: method, timeout and attempts.
        on_answer: called in this thread; must return quickly. What it raises ends the sweep.
        stop: ends the sweep when set; hosts without an answer then get none.

    Raises:
        DdcplayError: `ping: icmp` and this process may not send ICMP.
    """
    if not targets or (stop is not None and stop.is_set()):
        return
    with asyncio.Runner(loop_factory=_new_loop) as runner:
        runner.run(_sweep(targets, policy, on_answer, stop))


def _new_loop() -> asyncio.AbstractEventLoop:
    if sys.platform == "win32":
        return asyncio.ProactorEventLoop()  # select() ends at 512 sockets there; completion ports do not
    return asyncio.SelectorEventLoop()


async def _sweep(
    targets: Sequence[Target],
    policy: PingPolicy,
    on_answer: Callable[[SweepAnswer], None],
    stop: threading.Event | None,
) -> None:
    look = _Look(policy)
    over = asyncio.Event()

    async def tell(target: Target) -> None:
        answer = await look.at(target)
        if not over.is_set():
            try:
                on_answer(answer)
            except BaseException:
                over.set()
                raise

    async def tell_all() -> None:
        tasks = []
        for first in range(0, len(targets), _SLICE):
            tasks += [asyncio.create_task(tell(target)) for target in targets[first : first + _SLICE]]
            await asyncio.sleep(0)  # so that the first answers are told while the last hosts are being asked
            if over.is_set():
                break
        await asyncio.gather(*tasks)

    everybody = asyncio.create_task(tell_all())
    stopped = asyncio.create_task(_until_set(stop))
    try:
        await asyncio.wait([everybody, stopped], return_when=asyncio.FIRST_COMPLETED)
        if everybody.done():
            everybody.result()
    finally:
        over.set()
        look.close()


async def _until_set(stop: threading.Event | None) -> None:
    """Return when `stop` is set; without one wait for ever."""
    if stop is None:
        await asyncio.get_running_loop().create_future()
        return
    while not stop.is_set():  # noqa: ASYNC110 - a thread's event cannot wake a loop, so it is looked at
        await asyncio.sleep(_STOP_LOOK_S)


class _Try:
    """One round of knocks at a host; ends when all are heard, or a grace after one is open.

    Args:
        loop: in which it lives.
        seen: filled as answers come.
        pairs: that are to be heard.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, seen: dict[_Pair, Knock], pairs: Sequence[_Pair]
    ) -> None:
        self.ended: asyncio.Future[None] = loop.create_future()
        self._loop = loop
        self._seen = seen
        self.first = pairs[0]
        self._missing = set(pairs)

    def heard(self, pair: _Pair, knock: Knock) -> None:
        if self.ended.done():
            return
        self._seen[pair] = knock
        self._missing.discard(pair)
        if not self._missing:
            self._end()
        elif knock is Knock.OPEN:
            self._loop.call_later(_GRACE_S, self._end)

    def _end(self) -> None:
        if not self.ended.done():
            self.ended.set_result(None)


class _Look:
    """Looks at one host after the other's start, all within one event loop."""

    def __init__(self, policy: PingPolicy) -> None:
        self._policy = policy
        self._loop = asyncio.get_running_loop()
        self._budget_s = policy.timeout_s * policy.attempts
        self._names = Names(self._budget_s + _RESOLVER_EXTRA_S)
        sockets = sockets_allowed()
        self._knocker = Knocker(sockets * 3 // 4)
        self._identifying = asyncio.Semaphore(sockets // 8)
        self._tls: ssl.SSLContext | None = unchecked_tls() if policy.method is PingMethod.IDENTIFY else None
        self._echoes = Echoes() if policy.method in {PingMethod.AUTO, PingMethod.ICMP} else None
        if self._echoes is not None and not self._echoes.permitted:
            self._echoes = None
            if policy.method is PingMethod.ICMP:
                raise DdcplayError(
                    "this process may not send ICMP echo requests, which `ping: icmp` needs",
                    hint="write `ping: tcp`, or allow it: sysctl net.ipv4.ping_group_range on Linux, "
                    "an administrator's shell on Windows",
                )

    def close(self) -> None:
        self._knocker.close()
        if self._echoes is not None:
            self._echoes.close()

    async def at(self, target: Target) -> SweepAnswer:
        """Return the answer of one host; its trouble is data, never an exception."""
        began = self._loop.time()
        known = _known_without_look(target, self._policy.method)
        address: Address | None = None
        if known is not None:
            verdict = known
        else:
            try:
                addresses = await self._names.addresses(target.address)
            except NameFailedError as error:
                verdict = Verdict(HostState.NO_NAME, None, (), str(error))
            else:
                address, evidence = await self._look(target, addresses)
                verdict = decide(evidence)
        return SweepAnswer(
            host=target.host,
            state=verdict.state,
            on=verdict.on,
            address=None if address is None else address.text,
            open_ports=verdict.open_ports,
            detail=verdict.detail,
            elapsed_s=self._loop.time() - began,
        )

    async def _look(self, target: Target, addresses: tuple[Address, ...]) -> tuple[Address, Evidence]:
        ports = () if self._policy.method is PingMethod.ICMP else target.ports()
        seen = {(index, port): Knock.UNTRIED for index in range(len(addresses)) for port in ports}
        echoes = [self._echoes.heard(address) for address in addresses] if self._echoes else []
        for _ in range(self._policy.attempts):
            ends_at = self._loop.time() + self._policy.timeout_s
            await self._one_try(addresses, seen)
            if _settled(seen):
                break
            if not {Knock.SILENT, Knock.CLOSED} & set(seen.values()):
                await self._ping(addresses, echoes, ends_at)
            if not seen and _first_done(echoes):
                break
        if self._echoes is not None:
            self._echoes.drain()
        best = _best_address(seen, echoes)
        evidence = Evidence(
            ports={port: knock for (index, port), knock in seen.items() if index == best},
            echo=_first_done(echoes) if self._may_tell(addresses[best], echoes) else None,
        )
        return addresses[best], await self._identified(target, addresses[best], evidence)

    def _may_tell(self, address: Address, echoes: Sequence[asyncio.Future[None]]) -> bool:
        """Say whether an echo is evidence: from a loopback address it is this machine that answers."""
        return bool(echoes) and (self._policy.method is PingMethod.ICMP or not address.loopback)

    async def _one_try(self, addresses: tuple[Address, ...], seen: dict[_Pair, Knock]) -> None:
        """Knock once at every pair that has not said anything final; end soon after one opens."""
        pairs = [pair for pair, knock in seen.items() if knock is not Knock.CLOSED]
        if not pairs:
            return
        tried = _Try(self._loop, seen, pairs)
        for pair in pairs:
            knock = partial(self._knock, addresses, pair, tried)
            if pair[0]:
                self._loop.call_later(pair[0] * _STAGGER_S, knock)
            else:
                knock()
        await tried.ended

    def _knock(self, addresses: tuple[Address, ...], pair: _Pair, tried: _Try) -> None:
        if tried.ended.done():
            return
        index, port = pair
        flight = Flight(addresses[index].at(port), self._policy.timeout_s, partial(tried.heard, pair))
        if self._echoes is not None and pair == tried.first:
            delay_s = self._policy.timeout_s * _ECHO_AFTER
            flight.launched = partial(self._loop.call_later, delay_s, self._ping_beside, addresses, tried)
        self._knocker.knock(addresses[index].family, flight)

    def _ping_beside(self, addresses: tuple[Address, ...], tried: _Try) -> None:
        if self._echoes is not None and not tried.ended.done():
            for address in addresses:
                self._echoes.send(address)

    async def _ping(
        self, addresses: tuple[Address, ...], echoes: Sequence[asyncio.Future[None]], ends_at: float
    ) -> None:
        """Ping where TCP has nothing to wait for, until the try would have ended or an echo comes."""
        if self._echoes is None or _first_done(echoes):
            return
        queued_at = self._loop.time()
        await asyncio.gather(*(self._echoes.send(address) for address in addresses))
        # The time in the queue is not the host's: it gets its whole timeout from the moment of sending.
        left_s = ends_at - queued_at
        if left_s > 0:
            await asyncio.wait(echoes, timeout=left_s, return_when=asyncio.FIRST_COMPLETED)

    async def _identified(self, target: Target, address: Address, evidence: Evidence) -> Evidence:
        opened = [port for port, knock in evidence.ports.items() if knock is Knock.OPEN]
        if self._tls is None or not opened:
            return evidence
        timeout_s = max(_IDENTIFY_LEAST_S, self._budget_s)
        async with self._identifying:
            found = await asyncio.gather(
                *(identify(target, address, port, timeout_s, self._tls) for port in opened)
            )
        return replace(evidence, winrm=dict(zip(opened, found, strict=True)))


def _known_without_look(target: Target, method: PingMethod) -> Verdict | None:
    if method is PingMethod.NONE:
        return Verdict(HostState.UP, None, (), "not looked at (`ping: none`)")
    if target.connection == "local":
        return Verdict(HostState.UP, on=True, open_ports=(), detail="this machine")
    if target.proxy is not None:
        return Verdict(HostState.UP, None, (), "not looked at: it is reached through a proxy")
    return None


def _settled(seen: dict[_Pair, Knock]) -> bool:
    """Say whether another try cannot tell more: something is open, or everything refused."""
    knocks = set(seen.values())
    return Knock.OPEN in knocks or knocks == {Knock.CLOSED}


def _best_address(seen: dict[_Pair, Knock], echoes: Sequence[asyncio.Future[None]]) -> int:
    if not seen:
        return next((index for index, echo in enumerate(echoes) if echo.done()), 0)
    return min((_TELLING.index(knock), index) for (index, _), knock in seen.items())[1]


def _first_done(echoes: Sequence[asyncio.Future[None]]) -> bool:
    return any(echo.done() for echo in echoes)
