"""User code in a process of its own: a filter of anyone's may raise, hang, eat memory or exit (design §5).

One process per experiment, started when it is first needed and again after it was ended. A call gets
copies and gives back what it changed, so a call that is killed changes nothing.
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import Any, TypeAlias, cast

from ddcplay.errors import DdcplayError
from ddcplay.filtering.base import DropRecord, Filter, FilterContext, Record
from ddcplay.filtering.child import Child, ChildError, ChildSettings, memory_text
from ddcplay.filtering.wire import (
    MAX_BODY,
    Frame,
    NotJsonError,
    WireError,
    loads,
    read_effects,
    write_context,
    write_record,
)
from ddcplay.model.playbook import FilterEntry

FilterProblem: TypeAlias = tuple[int, tuple[str | int, ...], str, str]
"""Index of the entry, way inside its options (empty for the filter itself), message, hint."""

_MAX_TEXT = 1000
_MAX_LINES = 200


class UserCodeError(DdcplayError):
    """A user's filter did not do its work; whatever the call wanted done is thrown away."""


@dataclass(frozen=True, slots=True)
class _Opened:
    """In which process a filter was made, and whether it was opened there."""

    generation: int = 0
    opened: bool = False


class UserProcess:
    """The process that runs the user filters of one experiment; its filters may be used from any thread.

    Args:
        search_path: where `FILE.py:Class` is looked for: beside the playbook, then the project root; modules
            are imported from there, too. The last one is the process's working directory.
        timeout_s: seconds for one call (`filter_timeout`), import and making of an object included as calls
            of their own; the process is killed after them.
        memory_bytes: bound of the process and all it starts. On Windows nobody keeps it.
        log: what user code logs and prints.
        redact: takes secrets out of a text.
        hidden: names of environment variables that hold secrets; besides these, all `DDCPLAY_*` and all whose
            value holds a known secret are kept from user code.
        directory: working directory of the process, the project root; by default the last of `search_path`.
    """

    def __init__(
        self,
        search_path: Sequence[Path],
        *,
        timeout_s: float,
        memory_bytes: int = 512 * 1024 * 1024,
        log: logging.Logger,
        redact: Callable[[str], str] = str,
        hidden: Collection[str] = (),
        directory: Path | None = None,
    ) -> None:
        self._search_path = tuple(path.absolute() for path in search_path)
        self._directory = directory or (self._search_path[-1] if self._search_path else Path.cwd())
        self._timeout_s = timeout_s
        self._memory_bytes = memory_bytes
        self._log = log
        self._redact = redact
        self._hidden = frozenset(hidden)
        self._lock = threading.RLock()
        self._child: Child | None = None
        self._generation = 0
        self._numbers = count(1)
        self._current = ""
        self._aborted = False

    def filter(self, entry: FilterEntry) -> Filter:
        """Return a filter that runs over there; nothing is started before it is first called."""
        return UserFilter(self, next(self._numbers), entry)

    def check(self, entries: Sequence[FilterEntry]) -> list[FilterProblem]:
        """Import filters and validate their options, each with the time and memory of a call.

        Returns:
            What is wrong, in order of the entries.
        """
        problems: list[FilterProblem] = []
        for index, entry in enumerate(entries):
            try:
                answer = self._ask(self._making("check", 0, entry), entry.label, self._log)
            except UserCodeError as error:
                hint = error.hint or "importing a filter should only define things"
                problems.append((index, (), error.message, hint))
                continue
            problems += [(index, way, message, hint) for way, message, hint in self._findings(answer)]
        return problems

    def close(self) -> None:
        """End the process; a filter that is called later starts another one."""
        with self._lock:
            if self._child is not None:
                self._child.close()
                self._child = None

    def abort(self) -> None:
        """Make the call that is going on fail now, and all later ones; for a run that has to leave at once.

        From any thread.
        """
        self._aborted = True
        child = self._child
        if child is not None:
            child.interrupt()

    def call(
        self, owner: UserFilter, method: str, context: FilterContext, record: Record | None = None
    ) -> tuple[Frame, dict[str, object]]:
        """Call a filter over there and take over what it wants done.

        Raises:
            UserCodeError: the call failed; `context` is as it was.
        """
        with self._lock:
            self._prepare(owner, method)
            label = owner.entry.label
            answer = self._ask(_calling(owner.number, method, context, record), label, context.log)
            self._refuse(answer, label, context.log)
            taken = self._take_over(answer, context, label)
            if method == "close":
                owner.made = _Opened()
            return answer, taken

    def lost(self, made: _Opened) -> bool:
        """Say whether the process that held an object is gone."""
        return self._child is None or made.generation != self._generation or not self._child.alive()

    def _prepare(self, owner: UserFilter, method: str) -> None:
        """See to it that the object is there, made again and opened again after a restart."""
        self._running()
        if owner.made.generation != self._generation:
            answer = self._ask(self._making("make", owner.number, owner.entry), owner.entry.label, self._log)
            self._refuse(answer, owner.entry.label, self._log)
            owner.made = _Opened(self._generation)
        if owner.first is None or owner.made.opened or method == "open":
            return
        # a second opening of the same run: what it wants done was done at the first one
        answer = self._ask(owner.first, owner.entry.label, self._log)
        self._refuse(answer, owner.entry.label, self._log)
        owner.made = _Opened(self._generation, opened=True)

    def _running(self) -> Child:
        if self._child is not None and not self._child.alive():
            self._child.kill()
            self._child = None
        if self._child is None:
            self._generation += 1
            self._child = Child(self._settings())
        return self._child

    def _ask(self, frame: Frame, label: str, log: logging.Logger) -> Frame:
        lines_left = _MAX_LINES

        def heard(line: Frame) -> None:
            nonlocal lines_left
            lines_left -= 1
            if lines_left >= 0:
                level, text = line.head.get("level"), str(line.head.get("text"))
                log.log(level if isinstance(level, int) else logging.INFO, "%s", self._shown(text))

        with self._lock:
            self._current = label
            try:
                child = self._running()
                if self._aborted:  # asked after the child is known to `abort`: one of both ends it
                    child.kill()
                    self._child = None
                    raise UserCodeError("the run was left before the filter was through")
                answer = child.ask(frame, self._timeout_s, MAX_BODY, heard)
            except ChildError as error:
                self._child = None
                raise UserCodeError(
                    f"the filter {error}",
                    "its process was ended and is started again for the next attempt",
                ) from error
            if answer.head.get("op") == "memory":
                self._end_now()
                raise UserCodeError(
                    f"the filter {memory_text(self._memory_bytes)}",
                    "its process was ended and is started again for the next attempt",
                )
            return answer

    def _end_now(self) -> None:
        if self._child is not None:
            self._child.kill()
            self._child = None

    def _refuse(self, answer: Frame, label: str, log: logging.Logger) -> None:
        """Raise what the process says went wrong."""
        what = answer.head.get("op")
        if what == "done":
            return
        if what == "refused":
            _, message, hint = next(iter(self._findings(answer)), ((), f"{label} cannot be made", ""))
            raise UserCodeError(message, hint)
        message, where = (self._shown(str(answer.head.get(key, ""))) for key in ("message", "where"))
        lines = where.splitlines()
        for line in lines:
            log.info("%s: %s", label, line)
        at = f" ({lines[-1]})" if lines else ""
        raise UserCodeError(f"{message or 'the filter gave no proper answer'}{at}")

    def _findings(self, answer: Frame) -> list[tuple[tuple[str | int, ...], str, str]]:
        """Return the findings in an answer, as far as they can be read."""
        if answer.head.get("op") == "raised":
            return [
                ((), self._shown(str(answer.head.get("message"))), self._shown(str(answer.head.get("where"))))
            ]
        found = []
        listed = answer.head.get("findings")
        for each in listed[:100] if isinstance(listed, list) else ():
            if isinstance(each, dict) and isinstance(way := each.get("way"), list):
                steps = tuple(step for step in way if isinstance(step, str | int))
                texts = (self._shown(str(each.get(key, ""))) for key in ("message", "hint"))
                found.append((steps, *texts))
        return cast("list[tuple[tuple[str | int, ...], str, str]]", found)

    def _take_over(self, answer: Frame, context: FilterContext, label: str) -> dict[str, object]:
        """Read all of an answer first, then change the context; returns what changed in the record."""
        try:
            effects = read_effects(answer.parts.get("effects", b"[]"))
            state = loads(answer.parts["state"]) if "state" in answer.parts else None
            changed: dict[str, object] = {}
            if "data" in answer.parts:
                changed["data"] = loads(answer.parts["data"])
        except WireError as error:
            raise UserCodeError(f"{label} gave back what cannot be read: {error}") from error
        for part, attribute in (("stdout", "stdout_bytes"), ("stderr", "stderr_bytes")):
            if part in answer.parts:
                changed[attribute] = answer.parts[part]
        text = answer.head.get("stderr_text", ...)
        if text is None or isinstance(text, str):
            changed["stderr_text"] = text
        if isinstance(state, dict):
            context.state.clear()
            context.state.update(state)
        context.effects.extend(effects)
        return changed

    def _making(self, op: str, number: int, entry: FilterEntry) -> Frame:
        return Frame(
            {
                "op": op,
                "id": number,
                "name": entry.name,
                "file": self._file_of(entry),
                "options": entry.options,
            }
        )

    def _file_of(self, entry: FilterEntry) -> str:
        """Return the absolute path of `FILE.py:Class`, empty for a package's class."""
        if entry.file:
            return str(Path(entry.file).absolute())
        source, _, _ = entry.name.rpartition(":")
        if not source.endswith(".py"):
            return ""
        tried = [directory / source for directory in self._search_path] or [Path(source).absolute()]
        return str(next((path for path in tried if path.is_file()), tried[0]))

    def _settings(self) -> ChildSettings:
        return ChildSettings(
            self._memory_bytes, self._directory, self._search_path, self._environment(), self._printed
        )

    def _environment(self) -> Mapping[str, str]:
        return {
            name: value
            for name, value in os.environ.items()
            if not name.startswith("DDCPLAY_") and name not in self._hidden and self._redact(value) == value
        }

    def _printed(self, line: str) -> None:
        self._log.info("%s printed: %s", self._current, self._redact(line))

    def _shown(self, text: str) -> str:
        return self._redact(text[: 8 * _MAX_TEXT])[: 4 * _MAX_TEXT]


class UserFilter(Filter):
    """Stands for a user's filter in a chain.

    Args:
        process: where it runs.
        number: of the object over there.
        entry: as written.
    """

    def __init__(self, process: UserProcess, number: int, entry: FilterEntry) -> None:
        super().__init__(Filter.Options())
        self.entry = entry
        self.number = number
        self.made = _Opened()
        self.first: Frame | None = None
        """The call of `open` that is repeated after a restart, with the state as it is by now."""
        self._process = process

    def open(self, context: FilterContext) -> None:
        """Begin; the object is made now."""
        self._process.call(self, "open", context)
        self.first = _calling(self.number, "open", context, None)
        self.made = replace(self.made, opened=True)

    def process(self, record: Record, context: FilterContext) -> Record:
        """Take a record over there and bring back what changed.

        Raises:
            UserCodeError: the filter raised, hung, used too much memory, or ended its process.
            DropRecord: the filter ended the chain.
        """
        answer, changed = self._process.call(self, "process", context, record)
        dropped = answer.head.get("dropped")
        if dropped is not None:
            raise DropRecord(str(dropped)[:_MAX_TEXT])
        return replace(record, **cast("dict[str, Any]", changed)) if changed else record

    def iteration_end(self, context: FilterContext) -> None:
        """Take note that an iteration is over."""
        self._process.call(self, "iteration_end", context)
        if self.first is not None:
            with contextlib.suppress(UserCodeError):
                self.first = _calling(self.number, "open", context, None)

    def close(self, context: FilterContext) -> None:
        """End; an object whose process is gone has nothing left to end."""
        if not self._process.lost(self.made):
            self._process.call(self, "close", context)
        self.first = None
        self.made = _Opened()


def _calling(number: int, method: str, context: FilterContext, record: Record | None) -> Frame:
    try:
        head, parts = (None, {}) if record is None else write_record(record)
        parts["context"] = write_context(context)
    except NotJsonError as error:
        raise UserCodeError(
            f"what the filter should get is no JSON: {error}", "correct the filter before it in the chain"
        ) from error
    return Frame({"op": "call", "id": number, "method": method, "record": head}, parts)
