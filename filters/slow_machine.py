"""Tell people which machine has become slow, compared with itself.

The figure may be anything that a probe brings: seconds of a benchmark, points, the length of a boot::

    - name: bench
      exe: tools/bench.exe                  # prints 12.7
      every: 24h
      filters:
        - slow_machine.py:SlowMachine: {unit: s}
    - name: boot
      powershell: |
        $log = "Microsoft-Windows-Diagnostics-Performance/Operational"
        $event = Get-WinEvent -MaxEvents 1 -FilterHashtable @{LogName=$log; Id=100}
        [pscustomobject]@{ms = [int]([xml]$event.ToXml()).SelectSingleNode("//*[@Name='BootTime']").InnerText}
      output: objects
      filters:
        - slow_machine.py:SlowMachine: {field: ms, unit: ms}
"""

from __future__ import annotations

import re
from statistics import median
from typing import Literal

from pydantic import Field

from ddcplay import DropRecord, Filter, FilterContext, Record

NUMBER = re.compile(r"[-+]?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?")
MAD_TO_SIGMA = 1.4826
"""What the median distance from the median has to be multiplied by to compare with a standard deviation."""


class SlowMachine(Filter):
    """Raises the alert `slow_machine` when a figure is far from the median of its own past.

    Median and MAD (the median distance from it) instead of mean and deviation: a few wild values in the past
    change neither. Slow values are not added to the past, so a machine that stays slow stays slow.
    """

    class Options(Filter.Options):
        """`field` names the figure in `data`; without it, the first number of the output is taken."""

        field: str = ""
        unit: str = ""
        slow_is: Literal["high", "low"] = "high"
        last: int = Field(default=30, ge=5, le=1000)
        at_least: int = Field(default=8, ge=3)
        sigmas: float = Field(default=4, gt=0)
        min_pct: float = Field(default=15, ge=0)
        after: int = Field(default=3, ge=1)

    options: Options

    def process(self, record: Record, context: FilterContext) -> Record:
        """Compare the figure with the machine's past, then add it."""
        now = self.figure(record)
        past = context.state.get("past", [])
        if len(past) < self.options.at_least:
            context.state["past"] = [*past, now]
            return record
        usual = median(past)
        slow = self.is_slow(now, usual, median(abs(value - usual) for value in past))
        context.alert(
            "slow_machine",
            f"{context.host.name} {record.probe}: {now:g}{self.unit}, usually {usual:g}{self.unit}",
            firing=slow,
            after=self.options.after,
        )
        if not slow:
            context.state["past"] = [*past, now][-self.options.last :]
        return record

    def is_slow(self, now: float, usual: float, mad: float) -> bool:
        """Say whether a figure is unusual by both measures: its own scatter, and percent."""
        worse = now - usual if self.options.slow_is == "high" else usual - now
        scatter = self.options.sigmas * MAD_TO_SIGMA * mad
        return worse > scatter and worse > abs(usual) * self.options.min_pct / 100

    @property
    def unit(self) -> str:
        """Return the unit as it stands behind a number."""
        return f" {self.options.unit}" if self.options.unit else ""

    def figure(self, record: Record) -> float:
        """Return the figure of a record.

        Raises:
            DropRecord: this machine has none (no boot was logged yet).
            ValueError: there is something else in its place.
        """
        if not self.options.field:
            found = NUMBER.search(record.stdout)
            if found is None:
                raise ValueError(f"there is no number in the output: {record.stdout[:80]!r}")
            return float(found[0])
        rows = record.data if isinstance(record.data, list) else [record.data]
        if not rows or not isinstance(rows[0], dict) or rows[0].get(self.options.field) is None:
            raise DropRecord(f"no {self.options.field} on this machine")
        return float(rows[0][self.options.field])
