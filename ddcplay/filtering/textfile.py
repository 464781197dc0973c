"""The filter that writes metrics for Prometheus' node_exporter: `textfile`.

Metrics of all hosts are gathered here while an iteration runs and written as one file when it is over. What
was gathered is kept as state of the iteration, so after a restart the file is complete again at once.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, cast

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator

from ddcplay.filtering.base import Filter, FilterContext, Record
from ddcplay.filtering.options import Duration, OptionError, short_form
from ddcplay.filtering.paths import JmesPath, PathError
from ddcplay.filtering.prometheus import (
    LABEL_NAME,
    METRIC_NAME,
    Family,
    label,
    text_format,
    write_whole,
)
from ddcplay.filtering.scope import RecordScope
from ddcplay.filtering.trouble import DataError, kind_of, shown
from ddcplay.filtering.values import ValueOption
from ddcplay.model.result import Outcome

MAX_SERIES = 2000
"""Time series of one host in one file; a target must not fill a Prometheus."""

STALE_ITERATIONS = 3
STALE_AFTER_S = 3600.0
"""A host is dropped when it was not seen for this long and for so many iterations; or by `stale_after`."""

_OWN_LABELS = frozenset({"host", "experiment", "probe", "outcome"})
_FILE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,120}\.prom")
_REACHED = frozenset({Outcome.OK, Outcome.FAILED})
_Series = list[tuple[str, str, str]]


def _each(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        return JmesPath(value)
    except PathError as error:
        raise OptionError(str(error), error.hint) from None


class MetricOptions(BaseModel):
    """One metric: where its value comes from."""

    model_config: ClassVar[ConfigDict] = ConfigDict(
        extra="forbid", strict=True, frozen=True, arbitrary_types_allowed=True
    )
    value: ValueOption
    each: Annotated[JmesPath | None, BeforeValidator(_each)] = None
    type: Literal["gauge", "counter"] = "gauge"
    help: str = ""
    labels: dict[str, ValueOption] = Field(default_factory=dict)

    @field_validator("labels")
    @classmethod
    def _label_names(cls, labels: dict[str, Any]) -> dict[str, Any]:
        for name in labels:
            if not LABEL_NAME.fullmatch(name):
                raise OptionError(f"{name!r} is no label's name", "letters, digits and _", (name,))
            if name in _OWN_LABELS:
                raise OptionError(f"the label {name!r} is set by ddcplay", "take another name", (name,))
        return labels


def _metrics(value: object) -> object:
    """Read the short form: name → value."""
    if not isinstance(value, Mapping):
        return value
    return {
        name: {"value": metric} if isinstance(metric, str | int | float) else metric
        for name, metric in value.items()
    }


class TextFile(Filter):
    """Writes metrics as Prometheus' text format, once per iteration, for node_exporter's textfile collector.

    ::

        - textfile:
            path: /var/lib/node_exporter/textfile   # else the experiment's directory
            metrics:
              lab_users: "length(sessions)"          # JMESPath over data, or a template
              lab_disk_free_bytes:
                each: disks                          # one series per row: JMESPath over data
                value: free_bytes                    # of the row; templates see it as `item`
                labels: {device: device}
                help: Free space
              lab_network_bytes_total: {value: "nics[0].bytes", type: counter}
            stale_after: 3h

    The file also holds, for each host, when it was last seen, and for the experiment how many attempts of the
    last iteration ended how, and the coverage. That is why all but skipped attempts enter it (`on`); the
    metrics change only with records that have data. Labels are `host`, `experiment`, `probe` and yours.

    A host that was not seen for `stale_after` is dropped with all its series; left out, that is an hour and
    at least three iterations. A value that is null is left out; true is 1.
    """

    default_on = (Outcome.OK, Outcome.FAILED, Outcome.UNAVAILABLE)

    class Options(Filter.Options):
        """The file and its metrics."""

        file: str = ""
        path: str = ""
        metrics: Annotated[dict[str, MetricOptions], BeforeValidator(_metrics)] = Field(default_factory=dict)
        stale_after: Duration | None = None

        @field_validator("file")
        @classmethod
        def _file_name(cls, name: str) -> str:
            if name and not _FILE.fullmatch(name):
                raise OptionError(
                    f"{name!r} is no name of a file for node_exporter", "write  file: labs.prom"
                )
            return name

        @field_validator("metrics")
        @classmethod
        def _metric_names(cls, metrics: dict[str, Any]) -> dict[str, Any]:
            for name in metrics:
                if not METRIC_NAME.fullmatch(name) or name.startswith("ddcplay_"):
                    what = "belongs to ddcplay" if name.startswith("ddcplay_") else "is no metric's name"
                    raise OptionError(
                        f"{name!r} {what}", "letters, digits and _, e.g. lab_free_bytes", (name,)
                    )
            return metrics

    options: Options

    @classmethod
    def options_from(cls, written: object) -> object:
        """Take text as `file`."""
        return short_form(written, "file", str)

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        self._probe, self._label = "", ""
        self._hosts: dict[str, _Host] = {}
        self._counts: dict[int, Counter[str]] = {}
        self._iterations: list[int] = []
        self._whole = False
        self._restored = False

    def placed(self, probe: str, label: str) -> None:
        """Learn the filter's place: part of the file's name, and a label."""
        self._probe = probe
        self._label = "" if label == "textfile" else label.removeprefix("textfile#")

    def open(self, context: FilterContext) -> None:
        """Take up what an earlier run gathered."""
        self._restore(context)

    def process(self, record: Record, context: FilterContext) -> Record:
        """Gather the record's metrics; the record goes on as it is.

        Raises:
            DataError: a value is no number.
        """
        series = self._series(record, context) if record.data is not None else None
        self._counts.setdefault(record.iteration, Counter())[record.outcome.value] += 1
        self._whole = self._whole or record.outcome is not Outcome.OK
        if record.outcome in _REACHED:
            host = self._hosts.setdefault(record.host, _Host())
            host.seen_at = max(host.seen_at, record.started_at)
            if series is not None:
                host.series = series
        return record

    def iteration_end(self, context: FilterContext) -> None:
        """Write the file.

        Raises:
            DdcplayError: it cannot be written.
        """
        self._restore(context)
        self._iterations = sorted({*self._iterations, context.iteration})[-STALE_ITERATIONS:]
        self._drop_stale(context.iteration)
        directory = Path(self.options.path) if self.options.path else Path()
        if not directory.is_absolute():
            directory = context.output_dir / directory
        name = self.options.file or self._file_name(context.experiment)
        write_whole(directory / name, text_format(self._families(context)))
        self._counts = {at: counts for at, counts in self._counts.items() if at > context.iteration}
        context.state.clear()
        context.state.update(self._state())

    def _file_name(self, experiment: str) -> str:
        parts = ["ddcplay", experiment, self._probe, *([self._label] if self._label else [])]
        return "_".join(re.sub(r"[^A-Za-z0-9.-]+", "-", part) for part in parts) + ".prom"

    def _drop_stale(self, now: int) -> None:
        after = self.options.stale_after
        if after is None:
            oldest = min(now - STALE_AFTER_S, self._iterations[0])
            if len(self._iterations) < STALE_ITERATIONS:
                return
        else:
            oldest = now - after
        for name in [name for name, host in self._hosts.items() if host.seen_at < oldest]:
            del self._hosts[name]

    def _series(self, record: Record, context: FilterContext) -> _Series:
        scope = RecordScope(record, context)
        found: dict[tuple[str, str], str] = {}
        for name, metric in self.options.metrics.items():
            for row in self._rows(name, metric, record.data):
                names = scope if metric.each is None else scope.with_item(row)
                value = _number(name, metric.value.of(row, names))
                if value is None:
                    continue
                labels = {key: _text(part.of(row, names)) for key, part in metric.labels.items()}
                found[name, ",".join(label(key, text) for key, text in labels.items())] = value
                if len(found) > MAX_SERIES:
                    raise DataError(
                        f"more than {MAX_SERIES} series of one host", "name fewer rows with `pick`"
                    )
        return [(name, labels, value) for (name, labels), value in found.items()]

    @staticmethod
    def _rows(name: str, metric: MetricOptions, data: object) -> Iterable[object]:
        if metric.each is None:
            return (data,)
        rows = metric.each.search(data)
        if rows is None:
            return ()
        if not isinstance(rows, list):
            raise DataError(
                f"each: of {name} finds {kind_of(rows)}, not rows", "leave each: out where there is one value"
            )
        return rows

    def _families(self, context: FilterContext) -> Iterable[Family]:
        own = f"{label('experiment', context.experiment)},{label('probe', self._probe)}"
        seen = Family(
            "ddcplay_last_seen_timestamp_seconds", "gauge", "When the host was last reached, Unix seconds."
        )
        families = {
            name: Family(name, metric.type, metric.help) for name, metric in self.options.metrics.items()
        }
        for name in sorted(self._hosts):
            host = self._hosts[name]
            base = f"{label('host', name)},{own}"
            seen.samples[base] = repr(host.seen_at)
            for metric_name, labels, value in host.series:
                family = families.get(metric_name)
                if family is not None:
                    family.samples[f"{base},{labels}" if labels else base] = value
        return (*self._coverage(context, own), seen, *families.values())

    def _coverage(self, context: FilterContext, own: str) -> Iterable[Family]:
        counts = self._counts.get(context.iteration, Counter())
        yield Family(
            "ddcplay_iteration_timestamp_seconds",
            "gauge",
            "When the last iteration started, Unix seconds.",
            {own: str(context.iteration)},
        )
        yield Family(
            "ddcplay_attempts",
            "gauge",
            "Attempts of the last iteration that entered the filter, by outcome.",
            {f"{own},{label('outcome', outcome.value)}": str(counts[outcome.value]) for outcome in Outcome},
        )
        asked = counts.total() - counts[Outcome.SKIPPED.value]
        # Where only good records enter, the share would always be 1: no figure is better than a wrong one.
        if (self._whole or Outcome.UNAVAILABLE in self.on) and asked:
            yield Family(
                "ddcplay_coverage_ratio",
                "gauge",
                "Share of the last iteration's attempts that are ok, skipped ones left out.",
                {own: repr(counts[Outcome.OK.value] / asked)},
            )

    def _state(self) -> dict[str, object]:
        # One text, because the whole pool is in it: walking it as data would cost more than writing the file.
        hosts = {name: [host.seen_at, host.series] for name, host in self._hosts.items()}
        return {
            "hosts": json.dumps(hosts, separators=(",", ":")),
            "iterations": self._iterations,
            "whole": self._whole,
        }

    def _restore(self, context: FilterContext) -> None:
        if self._restored:
            return
        self._restored = True
        hosts = context.state.get("hosts")
        for name, (seen_at, series) in json.loads(hosts if isinstance(hosts, str) else "{}").items():
            kept = [(metric, labels, value) for metric, labels, value in series]
            self._hosts.setdefault(name, _Host(seen_at, kept))
        iterations = context.state.get("iterations")
        if isinstance(iterations, list):
            self._iterations = cast("list[int]", iterations)
        self._whole = self._whole or context.state.get("whole") is True


class _Host:
    """What is known of one host."""

    __slots__ = ("seen_at", "series")

    def __init__(self, seen_at: float = 0.0, series: _Series | None = None) -> None:
        self.seen_at = seen_at
        self.series = series or []


def _number(name: str, value: object) -> str | None:
    """Return a value as Prometheus writes it, None for null."""
    if value is None:
        return None
    if isinstance(value, bool):
        return "1" if value else "0"
    if isinstance(value, int | float):
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
        if math.isfinite(number):
            return str(value) if isinstance(value, int) else repr(number)
        raise DataError(f"the value of {name} is larger than any metric can be", "leave it out")
    raise DataError(
        f"the value of {name} is {kind_of(value)} ({shown(value)}), not a number",
        "type it in `parse`, or write a JMESPath or template that gives a number",
    )


def _text(value: object) -> str:
    return "" if value is None else value if isinstance(value, str) else json.dumps(value, default=str)
