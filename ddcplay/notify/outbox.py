"""Sends what waits in the outbox, in its own thread: in order, again and again until it is gone.

A message is in the database before anything is sent and is marked right after the server took it, so a crash
between the two repeats one message and loses none (design §9.6).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence

from ddcplay.model.effects import Outgoing
from ddcplay.model.ports import OutboxTable
from ddcplay.notify.delivery import Delivery, MessageSender
from ddcplay.units import Clock, format_duration

__all__ = ["MessageSender", "Outbox", "retry_pause_s"]

FIRST_RETRY_S = 30.0
LAST_RETRY_S = 3600.0

REFUSED_TRIES = 6
"""A message the server refuses for good is given up after so many tries (about 15 minutes)."""

GIVE_UP_AFTER_S: Mapping[str, float] = {"mail": 30 * 86400.0, "push": 86400.0}
"""A message that could not be sent for other reasons is given up when it is this old."""

_BATCH = 200
_IN_ORDER = frozenset({"mail"})  # the digest that resolves must not come before the one that fires
_EVER_S = 10 * 365 * 86400.0


def retry_pause_s(tries: int) -> float:
    """Return the seconds to wait after so many failed tries: 30 s, doubled each time, at most an hour."""
    return float(min(LAST_RETRY_S, FIRST_RETRY_S * 2 ** min(max(0, tries - 1), 20)))


class Outbox:
    """Empties an outbox table.

    Args:
        table: where messages wait; used by the outbox's thread alone, `waiting` by the caller's.
        senders: kind → who sends it; messages of other kinds are left where they are.
        clock: for due times and pauses.
        notice: is told trouble, once per trouble, and its end.
        redact: takes secrets out of every text before it is stored or told.
    """

    def __init__(
        self,
        table: OutboxTable,
        senders: Mapping[str, MessageSender],
        clock: Clock,
        notice: Callable[[str], None],
        redact: Callable[[str], str],
    ) -> None:
        self._table = table
        self._senders = senders
        self._clock = clock
        self._notice = notice
        self._redact = redact
        self._in_trouble: set[tuple[str, str]] = set()
        self._wake = threading.Event()
        self._stop = threading.Event()
        self._eager = threading.Event()
        self._flushed = threading.Condition()
        self._passes = 0
        self._broken = False
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to send; a second call does nothing."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="ddcplay-outbox", daemon=True)
            self._thread.start()

    def wake(self) -> None:
        """Say that a commit may have added messages; returns at once."""
        self._wake.set()

    def flush(self, timeout_s: float) -> int:
        """Try everything that waits once more, those that were to be tried later included.

        Args:
            timeout_s: longest wait, by the machine's clock.

        Returns:
            How many messages still wait; -1 when the database cannot say.
        """
        self.start()
        ends = time.monotonic() + timeout_s
        with self._flushed:
            target = self._passes + 1
            self._eager.set()
            self._wake.set()
            while self._passes < target and not self._broken and not self._stop.is_set():
                left = ends - time.monotonic()
                if left <= 0 or not self._flushed.wait(left):
                    break
        try:
            return self._table.waiting()
        except Exception:  # noqa: BLE001 - the notice about the database was given by the thread
            return -1

    def close(self, timeout_s: float) -> None:
        """Try once more what waits, and end the thread.

        Args:
            timeout_s: longest wait, by the machine's clock; a message still on its way then is sent again by
                the next run.
        """
        ends = time.monotonic() + timeout_s
        if timeout_s > 0:
            self.flush(timeout_s)
        self._stop.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join(max(0.0, ends - time.monotonic()))

    def send_due(self, *, eager: bool = False) -> float | None:
        """Send what is due, once through; the thread calls this, and so may a test with its own clock.

        Args:
            eager: everything that waits is due.

        Returns:
            Seconds until something will be due, None when nothing waits.
        """
        tried: set[int] = set()
        held: set[str] = set()  # kinds whose next message has to wait
        while not self._stop.is_set():
            now = self._clock.now()
            due = self._table.due(now + _EVER_S if eager else now, _BATCH)
            fresh = [
                item for item in due if item.id not in tried and item.kind in self._senders.keys() - held
            ]
            if not fresh:
                break
            for kind in dict.fromkeys(message.kind for message in fresh):
                self._send(kind, [message for message in fresh if message.kind == kind], tried, held)
        next_at = self._table.next_at()
        if next_at is None:
            return None
        # What is due and was not sent has no sender here: looking again at once would find the same.
        pause = next_at - self._clock.now()
        return pause if pause > 0 else FIRST_RETRY_S

    def _send(self, kind: str, batch: Sequence[Outgoing], tried: set[int], held: set[str]) -> None:
        """Send messages of one kind; each is tried once per pass, so a pass ends however many fail."""
        heard_of = False
        for delivery in self._senders[kind].send(batch):
            heard_of = True
            tried.add(delivery.message.id)
            if not self._settle(delivery) and kind in _IN_ORDER:
                held.add(kind)
            if self._stop.is_set() or kind in held:
                return
        if not heard_of:
            held.add(kind)

    def _settle(self, delivery: Delivery) -> bool:
        """Note a message's fate; return whether it is out of the way, sent or given up."""
        message = delivery.message
        if delivery.done:
            self._table.sent(message.id, self._clock.now())
            self._well_again(message)
            for who, why in delivery.refused_recipients:
                self._tell(f"mail to {who} was refused: {why}; other recipients have it")
            return True
        error = self._redact(delivery.error)
        tries, now = message.tries + 1, self._clock.now()
        age_s = now - message.created_at
        given_up = (delivery.refused_for_good and tries >= REFUSED_TRIES) or (
            age_s >= GIVE_UP_AFTER_S.get(message.kind, _EVER_S) and tries >= REFUSED_TRIES
        )
        if given_up:
            self._table.failed(message.id, error, None)
            self._tell(
                f"{message.kind} {message.message_id} is given up after {tries} tries in "
                f"{format_duration(max(0.0, age_s))}: {error}"
            )
            return True
        self._table.failed(message.id, error, now + retry_pause_s(tries))
        self._trouble(message, error, delivery.hint)
        return False

    def _trouble(self, message: Outgoing, error: str, hint: str) -> None:
        place = (message.kind, message.target)
        if place in self._in_trouble:
            return
        self._in_trouble.add(place)
        told = f"{message.kind} cannot be sent, it waits and is tried again: {error}"
        self._tell(f"{told} ({self._redact(hint)})" if hint else told)

    def _well_again(self, message: Outgoing) -> None:
        place = (message.kind, message.target)
        if place in self._in_trouble:
            self._in_trouble.discard(place)
            self._tell(f"{message.kind} is sent again")

    def _tell(self, text: str) -> None:
        if not self._stop.is_set():
            self._notice(self._redact(text))

    def _run(self) -> None:
        while not self._stop.is_set():
            self._wake.clear()
            eager = self._eager.is_set()
            if eager:
                self._eager.clear()
            try:
                pause = self.send_due(eager=eager)
            except Exception as error:  # noqa: BLE001 - the thread's outermost border; messages stay in the table
                self._tell(f"the outbox has stopped, mail waits until the next run: {error}")
                self._end(broken=True)
                return
            self._end(broken=False, eager=eager)
            if not self._stop.is_set():
                self._clock.wait(self._wake, pause)
        self._end(broken=False)

    def _end(self, *, broken: bool, eager: bool = False) -> None:
        with self._flushed:
            self._broken = broken
            self._passes += eager
            self._flushed.notify_all()
