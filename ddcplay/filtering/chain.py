"""One probe's filter chain: a record goes in, a record, effects and changed states come out (design §5).

The pipeline drives it. A filter that fails costs its own attempt and nothing else, so what a filter raises
ends here as data; what it wanted done is kept apart per call and thrown away with the failure.
"""

from __future__ import annotations

import json
import math
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias, cast, get_args

from ddcplay.errors import DdcplayError
from ddcplay.filtering.base import DropRecord, Filter, FilterContext, Record
from ddcplay.model.effects import Effect
from ddcplay.model.playbook import FilterEntry

ContextOf: TypeAlias = Callable[[str], FilterContext]
"""Label of a filter → a context for one call of it; `state` is what is stored for that label."""

LabelledEffect: TypeAlias = tuple[str, Effect]
"""Which filter wants it, and what is to be done."""

_EFFECTS = get_args(Effect)
_OWN_CODE = str(Path(__file__).parent.parent)
_MAX_TEXT = 500
_DEFAULT_HINT = "correct the filter; the outputs are kept, so `ddcplay replay` can run the chain again"


@dataclass(frozen=True, slots=True)
class FilterFailure:
    """A filter that did not do its work.

    Args:
        label: which one.
        message: one line: filter, place in the playbook, what happened; may hold text of a target.
        hint: what to do.
    """

    label: str
    message: str
    hint: str = ""


@dataclass(frozen=True, slots=True)
class ChainResult:
    """What became of one record.

    Args:
        record: as the last filter left it; after a failure, as it came.
        dropped: why a filter ended the chain, None when it went to its end.
        failure: None when no filter failed; otherwise `effects` and `states` are empty.
        effects: in order, each with the label of its filter.
        states: label → its new state, of those that changed.
    """

    record: Record
    dropped: str | None = None
    failure: FilterFailure | None = None
    effects: tuple[LabelledEffect, ...] = ()
    states: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Gathered:
    """What `open`, `iteration_end` or `close` of all filters brought; a failure costs that filter alone.

    Args:
        effects: in order, each with the label of its filter.
        states: label → its new state, of those that changed.
        failures: of the filters that raised.
    """

    effects: tuple[LabelledEffect, ...] = ()
    states: Mapping[str, object] = field(default_factory=dict)
    failures: tuple[FilterFailure, ...] = ()


@dataclass(slots=True)
class _Link:
    """One filter of the chain."""

    entry: FilterEntry
    filter: Filter
    opened: bool = False
    refusal: FilterFailure | None = None


@dataclass(slots=True)
class _Work:
    """What the calls so far want done."""

    effects: list[LabelledEffect] = field(default_factory=list)
    states: dict[str, object] = field(default_factory=dict)


class Chain:
    """The filters of one probe, in order; used by one thread at a time.

    Args:
        probe: the probe's name.
        entries: as read; labels are unique.
        make: turns an entry into its filter.
    """

    def __init__(
        self, probe: str, entries: Sequence[FilterEntry], make: Callable[[FilterEntry], Filter]
    ) -> None:
        self.probe = probe
        self._links = [_Link(entry, make(entry)) for entry in entries]
        for link in self._links:
            link.filter.on = link.entry.on
            placed = getattr(link.filter, "placed", None)
            if placed is not None:
                placed(probe, link.entry.label)

    @property
    def labels(self) -> tuple[str, ...]:
        """Return the filters' labels, in order."""
        return tuple(link.entry.label for link in self._links)

    def open(self, context_of: ContextOf) -> Gathered:
        """Open the filters that are not open yet; called at the start of each iteration.

        A filter whose `open` fails makes every attempt that would enter it fail, and is tried again by the
        next call.
        """
        closed = [link for link in self._links if not link.opened]

        def begin(link: _Link, context: FilterContext) -> None:
            link.filter.open(context)
            link.opened, link.refusal = True, None

        gathered = _each(closed, context_of, begin)
        for failure in gathered.failures:
            for link in closed:
                if link.entry.label == failure.label:
                    link.opened, link.refusal = False, failure
        return gathered

    def run(self, record: Record, context_of: ContextOf) -> ChainResult:
        """Send a record through the filters.

        Args:
            record: its outcome, as it comes, decides which filters it enters (`on`).
            context_of: asked once for each filter that is entered.

        Returns:
            The result; a filter's fault is in it and is never raised.
        """
        work, current = _Work(), record
        dropped: str | None = None
        for link in self._links:
            if record.outcome not in link.entry.on:
                continue
            if link.refusal is not None:
                return ChainResult(record, failure=link.refusal)
            context = context_of(link.entry.label)
            before = _own_state(context)
            try:
                try:
                    current = _checked(link.filter.process(current, context))
                except DropRecord as drop:
                    dropped = drop.why
                _gather(link, context, before, work)
            except (Exception, SystemExit) as error:  # noqa: BLE001 - user code raises anything
                return ChainResult(record, failure=_failure(link.entry, error))
            if dropped is not None:
                break
        return ChainResult(current, dropped, None, tuple(work.effects), work.states)

    def iteration_end(self, context_of: ContextOf) -> Gathered:
        """Tell every open filter that an iteration is over, whose host has an empty name in the context."""
        return _each(
            [link for link in self._links if link.opened],
            context_of,
            lambda link, context: link.filter.iteration_end(context),
        )

    def close(self, context_of: ContextOf) -> Gathered:
        """Close every open filter; `open` may be called again later."""

        def end(link: _Link, context: FilterContext) -> None:
            link.opened = False
            link.filter.close(context)

        return _each([link for link in self._links if link.opened], context_of, end)


def _each(
    links: Sequence[_Link], context_of: ContextOf, call: Callable[[_Link, FilterContext], None]
) -> Gathered:
    """Call something of each filter by itself: one that fails does not keep the others from it."""
    work, failures = _Work(), []
    for link in links:
        context = context_of(link.entry.label)
        before = _own_state(context)
        try:
            call(link, context)
            _gather(link, context, before, work)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - user code raises anything
            failures.append(_failure(link.entry, error))
    return Gathered(tuple(work.effects), work.states, tuple(failures))


def _own_state(context: FilterContext) -> str:
    """Give the filter a copy of its state that it may change as it likes; returns it as text."""
    if not context.state:
        context.state = {}
        return "{}"
    text = _as_json(context.state)
    context.state = json.loads(text)
    return text


def _gather(link: _Link, context: FilterContext, before: str, work: _Work) -> None:
    """Take over what one call wants done.

    Raises:
        TypeError: the state is no JSON, or an effect is none.
    """
    label = link.entry.label
    for effect in context.effects:
        if not isinstance(effect, _EFFECTS):
            raise TypeError(f"{type(effect).__name__} in context.effects is none of ddcplay's effects")
    state: object = context.state
    if not isinstance(state, dict):
        raise TypeError(f"context.state must stay a mapping, not {type(state).__name__}")
    after = _as_json(state) if state else "{}"
    work.effects += [(label, effect) for effect in context.effects]
    if after != before:
        work.states[label] = json.loads(after)


def _checked(returned: object) -> Record:
    if not isinstance(returned, Record):
        what = "None" if returned is None else type(returned).__name__
        raise TypeError(f"process() returned {what}; it must return the record, or raise DropRecord")
    return returned


def _as_json(state: object) -> str:
    _refuse_no_json(state, "context.state", 0)
    return json.dumps(state, sort_keys=True)


_MAX_DEPTH = 100


def _refuse_no_json(value: object, way: str, depth: int) -> None:
    """Refuse what would come back from the database as something else than it was."""
    if value is None or isinstance(value, str | bool | int):
        return
    if isinstance(value, float) and math.isfinite(value):
        return
    if depth > _MAX_DEPTH:
        raise TypeError(f"context.state is nested more than {_MAX_DEPTH} levels deep")
    if isinstance(value, dict):
        for key, part in cast("dict[object, object]", value).items():
            if not isinstance(key, str):
                raise TypeError(f"{way} has the key {key!r:.40}; JSON takes text as keys")
            _refuse_no_json(part, f"{way}[{key[:40]!r}]", depth + 1)
    elif isinstance(value, list | tuple):
        for index, part in enumerate(value):
            _refuse_no_json(part, f"{way}[{index}]", depth + 1)
    else:
        shown = repr(value) if isinstance(value, float) else type(value).__name__
        raise TypeError(f"{way} is {shown}, which JSON does not have")


def _failure(entry: FilterEntry, error: BaseException) -> FilterFailure:
    """Word a failure: an error of ours has its own words, any other its type, text and line of user code."""
    at = f" ({entry.place})" if entry.place.file else ""
    if isinstance(error, DdcplayError):
        text, hint = error.message, error.hint
    else:
        text, hint = f"{type(error).__name__}: {_text_of(error)}".rstrip(": "), ""
        text += "" if entry.builtin else _user_line(entry, error)
    return FilterFailure(entry.label, _one_line(f"filter {entry.label!r}{at}: {text}"), hint or _DEFAULT_HINT)


def _text_of(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # noqa: BLE001 - user code again
        return "its text cannot be shown"


def _user_line(entry: FilterEntry, error: BaseException) -> str:
    """Return where in the user's own code it was raised: its last frame, empty when there is none."""
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if (frame.filename == entry.file if entry.file else not frame.filename.startswith(_OWN_CODE))
    ]
    if not frames:
        return ""
    line = f": {frames[-1].line}" if frames[-1].line else ""
    return f" ({frames[-1].filename}, line {frames[-1].lineno}{line})"


def _one_line(text: str) -> str:
    words = " ".join(text[: 2 * _MAX_TEXT].split())
    return words if len(words) <= _MAX_TEXT else words[: _MAX_TEXT - 1] + "…"
