"""The process that runs user code: takes frames from the coordinator, calls filters, answers with data.

Started by `user_process`, one per experiment. Nothing here protects the coordinator: bounds and checks that
must hold against user code are on the other side, or the kernel's.
"""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from ddcplay.filtering.base import DropRecord, Filter, FilterContext, Record
from ddcplay.filtering.user_loading import LoadError, add_search_path, describe, load_class, make_options
from ddcplay.filtering.wire import (
    MAX_BODY,
    Frame,
    NotJsonError,
    dumps,
    pack,
    read_context,
    read_record,
    unpack,
    write_effects,
)

EXIT_MEMORY = 86
"""Exit status of a process that could not even say that its memory is used up."""

EXIT_CHANNEL = 87
"""Exit status of a process whose channel was closed under it."""

_MAX_LINE = 2000
_PR_SET_CHILD_SUBREAPER = 36
_PARTS = {"stdout": "stdout_bytes", "stderr": "stderr_bytes"}


class _SendLog(logging.Handler):
    """Sends log lines at once, so that those of a call that is killed are not lost."""

    def __init__(self, send: Callable[[Frame], None]) -> None:
        super().__init__()
        self._send = send

    def emit(self, record: logging.LogRecord) -> None:
        """Send one line."""
        line = {"op": "log", "level": record.levelno, "text": self.format(record)[:_MAX_LINE]}
        with contextlib.suppress(OSError):
            self._send(Frame(line))


@dataclass(frozen=True, slots=True)
class _Call:
    """One call of one filter, as it came."""

    method: str
    context: FilterContext
    record: Record | None
    parts: Mapping[str, bytes]
    state_before: bytes


class _Server:
    """Keeps the filter objects and answers frames."""

    def __init__(self, channel: socket.socket) -> None:
        self._channel = channel
        self._filters: dict[int, Filter] = {}
        self._log = logging.getLogger("ddcplay.filter")
        self._log.setLevel(logging.DEBUG)
        self._log.propagate = False
        self._log.addHandler(_SendLog(self._send))
        self._sending = threading.Lock()  # threads of user code may log at any time

    def serve(self) -> None:
        """Answer until the coordinator closes the channel."""
        own = os.getpid()
        while True:
            frame = unpack(self._read, sys.maxsize)
            answer = self._answer(frame)
            if os.getpid() != own:
                os._exit(0)  # user code forked and came back twice; only the first one may answer
            self._send(answer)
            del frame, answer  # an idle process should not hold the last record

    def _send(self, frame: Frame) -> None:
        with self._sending, _room_to_answer():
            self._channel.sendall(pack(frame))

    def _read(self, size: int) -> bytes:
        whole = bytearray(size)
        view = memoryview(whole)
        while view:
            got = self._channel.recv_into(view)
            if not got:
                raise EOFError
            view = view[got:]
        return bytes(whole)

    def _answer(self, frame: Frame) -> Frame:
        try:
            if frame.head["op"] == "call":
                return self._call(frame)
            return self._make(frame)
        except LoadError as error:
            return Frame({"op": "refused", "findings": [asdict(finding) for finding in error.findings]})
        except MemoryError as error:
            error.__traceback__ = None  # its frames hold what used the memory up
            gc.collect()
            return Frame({"op": "memory"})
        except SystemExit:
            raise
        except BaseException as error:  # noqa: BLE001 - user code raises anything
            message, where = describe(error)
            return Frame({"op": "raised", "message": message, "where": where})
        finally:
            for stream in (sys.stdout, sys.stderr):
                with contextlib.suppress(Exception):  # user code may have closed or replaced it
                    stream.flush()

    def _make(self, frame: Frame) -> Frame:
        head: Mapping[str, Any] = frame.head
        cls = load_class(head["name"], head["file"])
        options = make_options(cls, head["options"])
        if head["op"] == "make":
            self._filters[head["id"]] = cls(options)  # type: ignore[arg-type]
        return Frame({"op": "done"})

    def _call(self, frame: Frame) -> Frame:
        head: Mapping[str, Any] = frame.head
        context = read_context(frame.parts["context"], self._log)
        record = read_record(head["record"], frame.parts) if head["record"] is not None else None
        call = _Call(head["method"], context, record, frame.parts, dumps(context.state))
        target = self._filters[head["id"]]
        returned: Record | None = None
        dropped: str | None = None
        if record is None:
            getattr(target, call.method)(context)
            if call.method == "close":
                del self._filters[head["id"]]
        else:
            try:
                returned = target.process(record, context)
            except DropRecord as drop:
                dropped = str(drop.why)
            else:
                if not isinstance(returned, Record):
                    raise TypeError(f"process() returned {type(returned).__name__}, not the record")
        with _room_to_answer():
            return _answer_of(call, returned, dropped)


def _answer_of(call: _Call, returned: Record | None, dropped: str | None) -> Frame:
    """Return what a call that went well brought: only what it changed."""
    head: dict[str, object] = {"op": "done", "dropped": dropped}
    parts = {"effects": _json_of("an effect", write_effects, call.context.effects)}
    if not isinstance(call.context.state, Mapping):
        raise NotJsonError("context.state has to stay a mapping")
    state = _json_of("context.state", dumps, dict(call.context.state))
    if state != call.state_before:
        parts["state"] = state
    if returned is not None and call.record is not None:
        data = _json_of("record.data", dumps, returned.data)
        if data != call.parts["data"]:
            parts["data"] = data
        for name, attribute in _PARTS.items():
            value = getattr(returned, attribute)
            if not isinstance(value, bytes):
                raise TypeError(f"record.{attribute} is {type(value).__name__}, not bytes")
            if value is not call.parts[name] and value != call.parts[name]:
                parts[name] = value
        if returned.stderr_text != call.record.stderr_text:
            head["stderr_text"] = returned.stderr_text
    size = sum(map(len, parts.values()))
    if size > MAX_BODY:  # the coordinator would refuse it, and end this process
        raise ValueError(f"the filter gave back {size // 1024**2} MiB; {MAX_BODY // 1024**2} MiB are allowed")
    return Frame(head, parts)


def _json_of(what: str, write: Any, value: object) -> bytes:
    try:
        text: bytes = write(value)
    except NotJsonError as error:
        raise NotJsonError(f"{what} is no JSON: {error}") from None
    return text


def _bound(memory_bytes: int) -> None:
    """Let the kernel refuse memory beyond the bound; a core file of a crash would hold the targets' data."""
    if sys.platform == "win32":
        return
    import resource  # noqa: PLC0415 - there is none on Windows

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with contextlib.suppress(ValueError, OSError):  # macOS refuses what it does not keep
        _, hard = resource.getrlimit(_memory_kind())
        resource.setrlimit(_memory_kind(), (memory_bytes, hard))


@contextlib.contextmanager
def _room_to_answer() -> Iterator[None]:
    """Lift the bound while an answer is written.

    orjson reserves eight times the length of a text, and crashes when it is refused; what is really used is
    watched by the coordinator all the while.
    """
    if sys.platform == "win32":
        yield
        return
    import resource  # noqa: PLC0415 - there is none on Windows

    soft, hard = resource.getrlimit(_memory_kind())
    resource.setrlimit(_memory_kind(), (hard, hard))
    try:
        yield
    finally:
        resource.setrlimit(_memory_kind(), (soft, hard))


def _memory_kind() -> int:
    import resource  # noqa: PLC0415 - there is none on Windows

    # DATA is what the process really claims; AS would count libraries and reserved ranges, too
    return resource.RLIMIT_DATA if sys.platform.startswith("linux") else resource.RLIMIT_AS


def _end_with_parent() -> None:
    """End this process, whatever user code does, when the coordinator is gone.

    Standard input is a pipe that the coordinator never writes to. The kernel's own signal comes even while
    user code holds the interpreter; PR_SET_PDEATHSIG would come already when the *thread* that started us
    ends.
    """
    lifeline = os.dup(0)
    empty = os.open(os.devnull, os.O_RDONLY)
    os.dup2(empty, 0)
    os.close(empty)
    if sys.platform != "win32":
        import fcntl  # noqa: PLC0415 - there is none on Windows

        fcntl.fcntl(lifeline, fcntl.F_SETOWN, -os.getpgrp())
        flags = fcntl.fcntl(lifeline, fcntl.F_GETFL)
        fcntl.fcntl(lifeline, fcntl.F_SETFL, flags | os.O_ASYNC)
        signal.signal(signal.SIGIO, signal.SIG_DFL)
    threading.Thread(target=_watch_lifeline, args=(lifeline,), name="lifeline", daemon=True).start()


def _watch_lifeline(lifeline: int) -> None:
    try:
        os.read(lifeline, 1)
    except OSError:
        return  # user code closed it; the channel still tells when the coordinator is gone
    if sys.platform != "win32":
        os.killpg(0, signal.SIGKILL)
    os._exit(1)


def _adopt_orphans() -> None:
    """Keep grandchildren findable below this process, so that the coordinator can end them all."""
    if sys.platform.startswith("linux"):
        import ctypes  # noqa: PLC0415 - needed here only

        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _channel(argument: str) -> socket.socket:
    """Take over the channel: an inherited descriptor, on Windows a shared socket described on stdin."""
    if sys.platform == "win32":
        size = int.from_bytes(os.read(0, 4), "big")
        return socket.fromshare(os.read(0, size))
    channel = socket.socket(fileno=int(argument))
    channel.set_inheritable(False)
    return channel


def main() -> None:
    """Run until the coordinator closes the channel; arguments: descriptor, bytes of memory, directories."""
    channel_argument, memory, *directories = sys.argv[2:]
    channel = _channel(channel_argument)
    _end_with_parent()
    _adopt_orphans()
    for directory in directories:
        add_search_path(directory)
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace", line_buffering=True)  # type: ignore[union-attr]
    _bound(int(memory))
    try:
        channel.sendall(pack(Frame({"op": "hello"})))
        _Server(channel).serve()
    except EOFError:
        pass
    except MemoryError:
        os._exit(EXIT_MEMORY)
    except OSError:
        os._exit(EXIT_CHANNEL)
    except SystemExit as error:
        with contextlib.suppress(Exception):
            sys.stderr.flush()
        os._exit(error.code if isinstance(error.code, int) else int(error.code is not None))
