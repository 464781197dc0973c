"""The filter contract: what user code and built-ins receive, return, and may ask for (design §5).

A filter gets a record and a context, returns the record, and leaves everything else it wants done in the
context, as values; it never touches the database, and whether it runs in the pipeline or in the child process
makes no difference to it.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import ClassVar, Protocol

from pydantic import BaseModel, ConfigDict

from ddcplay.model.alert import AlertCheck, AlertRule, CheckRow, Severity
from ddcplay.model.effects import Effect, MailItem
from ddcplay.model.result import Outcome, Reason


class DropRecord(Exception):  # noqa: N818 - it is no error: a filter says that the chain ends here
    """Ends the chain of this record; the attempt keeps its outcome, nothing further is done with it.

    Args:
        why: one line, seen with `-vv`.
    """

    def __init__(self, why: str = "") -> None:
        super().__init__(why)
        self.why = why


@dataclass(frozen=True, slots=True)
class HostView:
    """The host a record is from.

    Args:
        name: inventory name.
        groups: its groups.
        vars: its variables as the play sees them, rendered; secrets left out.
        room: the group that mails and reports show it under.
    """

    name: str
    groups: tuple[str, ...] = ()
    vars: Mapping[str, object] = field(default_factory=dict)
    room: str = ""


@dataclass(frozen=True, slots=True)
class Record:
    """An attempt on its way through the filters: outputs and `data`.

    Args:
        host: inventory name.
        probe: the probe's name.
        iteration: id of the iteration (UTC Unix second of its start).
        started_at: UTC Unix seconds.
        outcome: of the attempt.
        reason: None exactly when ok.
        exit_code: of the program.
        elapsed_s: the remote part, in seconds.
        stdout_bytes: raw.
        stderr_bytes: raw.
        data: what the probe brought as data, or what a filter made of the output; JSON values.
        codepage: of the output.
        stderr_text: readable stderr where the raw form is wrapped (PowerShell), else None.
    """

    host: str
    probe: str
    iteration: int
    started_at: float
    outcome: Outcome = Outcome.OK
    reason: Reason | None = None
    exit_code: int | None = None
    elapsed_s: float = 0.0
    stdout_bytes: bytes = field(default=b"", repr=False)
    stderr_bytes: bytes = field(default=b"", repr=False)
    data: object = field(default=None, repr=False)
    codepage: int = 65001
    stderr_text: str | None = field(default=None, repr=False)

    @property
    def stdout(self) -> str:
        """Return stdout as text; what is no valid text of the code page is shown as U+FFFD."""
        return self.stdout_bytes.decode(self._codec, "replace")

    @property
    def stderr(self) -> str:
        """Return stderr as text."""
        return (
            self.stderr_bytes.decode(self._codec, "replace") if self.stderr_text is None else self.stderr_text
        )

    @property
    def _codec(self) -> str:
        return "utf-8-sig" if self.codepage == 65001 else f"cp{self.codepage}"

    def with_data(self, data: object) -> Record:
        """Return the record with other data."""
        return replace(self, data=data)


class FilterContext:
    """What a filter knows besides the record, and where it leaves what it wants done.

    Args:
        host: the record's host; one with an empty name in `open`, `iteration_end` and `close`.
        experiment: the experiment's name.
        output_dir: this host's directory, for filters that replace the default archive; made when first asked
            for. The experiment's directory where there is no host.
        state: kept in the database per host, probe and filter; JSON values only.
        static: the host's last stored static facts.
        log: lines go to the run's log; secrets are redacted there.
        iteration: id of the iteration.
    """

    def __init__(
        self,
        host: HostView,
        experiment: str,
        output_dir: Path,
        state: MutableMapping[str, object],
        log: logging.Logger,
        *,
        static: Mapping[str, object] | None = None,
        iteration: int = 0,
    ) -> None:
        self.host = host
        self.experiment = experiment
        self.state = state
        self.static = static or {}
        self.log = log
        self.iteration = iteration
        self.effects: list[Effect] = []
        """What is to be done once the chain has ended, in order."""
        self._output_dir = output_dir

    @property
    def output_dir(self) -> Path:
        """Return this host's directory; it exists."""
        self._output_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        return self._output_dir

    def alert(  # noqa: PLR0913 - a rule's options
        self,
        name: str,
        message: str = "",
        *,
        firing: bool | None = True,
        key: str = "",
        severity: str = "warning",
        after: int = 1,
        clear_after: int = 1,
        for_s: float = 0.0,
        runbook: str = "",
    ) -> None:
        """Say whether an alert's condition holds; with `firing=False` it resolves.

        Args:
            name: of the rule.
            message: for humans.
            firing: whether the condition holds; None when it cannot be told, which freezes the alert.
            key: of the row, where the rule is about rows.
            severity: `info`, `warning` or `critical`.
            after: attempts in a row that must be bad before it fires.
            clear_after: attempts in a row that must be good before it resolves.
            for_s: seconds it must have been bad, besides.
            runbook: address of what to do.
        """
        rule = AlertRule(after=after, for_s=for_s, clear_after=clear_after)
        row = CheckRow(str(key), firing, str(message))
        self.effects.append(AlertCheck(str(name), (row,), rule, Severity(severity), runbook))

    def email(self, text: str, *, subject: str = "", immediate: bool = False) -> None:
        """Add lines to the iteration's mail, or send a mail of its own."""
        self.effects.append(MailItem(str(text), str(subject), immediate))

    def emit(self, effect: Effect) -> None:
        """Leave something to be done; built-in filters use it."""
        self.effects.append(effect)


class Filter:
    """Base of all filters; one object serves one probe of one experiment.

    Args:
        options: validated.
    """

    class Options(BaseModel):
        """Options of the filter; unknown keys are refused, nothing is converted behind the author's back."""

        model_config: ClassVar[ConfigDict] = ConfigDict(extra="forbid", strict=True, frozen=True)

    default_on: ClassVar[tuple[Outcome, ...]] = (Outcome.OK,)
    """Outcomes that enter a built-in where its entry has no `on`."""

    on: tuple[Outcome, ...] = (Outcome.OK,)
    """Outcomes that enter this one; the chain says so."""

    def __init__(self, options: Options) -> None:
        self.options = options

    @classmethod
    def options_from(cls, written: object) -> object:
        """Turn what stands after the filter's name into the mapping that `Options` takes.

        Args:
            written: None (nothing was written), a mapping, or the filter's short form (`parse: json`).
        """
        return {} if written is None else written

    def open(self, context: FilterContext) -> None:
        """Begin, once before the first record."""

    def process(self, record: Record, context: FilterContext) -> Record:  # noqa: ARG002 - the contract
        """Take a record and return it, changed or not.

        Raises:
            DropRecord: the chain ends here.
        """
        return record

    def iteration_end(self, context: FilterContext) -> None:
        """Take note that an iteration is over."""

    def close(self, context: FilterContext) -> None:
        """End, once after the last record."""


class RecordScope(Protocol):
    """What templates and `when` of a filter see (design §3): names → values that are never templates."""

    def __call__(self, record: Record, context: FilterContext, item: object = None) -> Mapping[str, object]:
        """Return `record data item host static vars` for one record."""
