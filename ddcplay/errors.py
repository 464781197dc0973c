"""The error tree: what may go wrong, and which exit code each kind ends a command with.

::

    DdcplayError                 1  the environment is broken, or a bug
    ├── UsageError               2  wrong call: nothing was contacted, nothing is lost
    │   ├── ConfigError          2  a file is wrong; carries every problem found, each with its place
    │   ├── PatternError         2  a host pattern or --limit matches nothing or names something unknown
    │   ├── TemplateError        2  a template or expression cannot be rendered
    │   └── ExperimentBusyError  2  another coordinator runs this experiment
    ├── SecretError              1  a secret reference cannot be resolved
    ├── StoreError               1  database, archive or trace cannot be written or read
    ├── FaultError               -  trouble with one host; becomes data (outcome and reason) inside the visit
    └── InterruptedRunError    130  the user stopped the run

Every error says what happened, where, and what to do (`hint`). Trouble on a host is never raised across a
thread: `FaultError` lives between a transport and the visit that drives it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Place:
    """A spot in a file a person wrote.

    Args:
        file: path as the user would type it.
        line: 1-based, 0 when unknown.
        column: 1-based, 0 when unknown.
    """

    file: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        if not self.line:
            return self.file
        return f"{self.file}:{self.line}:{self.column}" if self.column else f"{self.file}:{self.line}"


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong in a file: where, what, and what to do about it."""

    place: Place
    message: str
    hint: str = ""

    def __str__(self) -> str:
        text = f"{self.place}: {self.message}"
        return f"{text}\n    {self.hint}" if self.hint else text


class DdcplayError(Exception):
    """Base of every error this program raises on purpose.

    Args:
        message: what happened, in one sentence without a final stop.
        hint: what the user can do about it.
        place: where in a file, when there is one.
    """

    exit_code = 1

    def __init__(self, message: str, hint: str = "", place: Place | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.place = place

    def __str__(self) -> str:
        text = f"{self.place}: {self.message}" if self.place else self.message
        return f"{text}\n    {self.hint}" if self.hint else text

    def __reduce__(self) -> tuple[object, ...]:
        """Errors cross process borders (dask, filter child), so they must survive pickling."""
        return (type(self), (self.message, self.hint, self.place))


class UsageError(DdcplayError):
    """The call or its input is wrong; nothing was contacted."""

    exit_code = 2


class ConfigError(UsageError):
    """One or several things are wrong in files the user wrote; all of them are reported at once.

    Args:
        problems: at least one, in file order.
    """

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))

    def __reduce__(self) -> tuple[object, ...]:
        return (type(self), (self.problems,))


class PatternError(UsageError):
    """A host pattern names something unknown or matches no host."""


class TemplateError(UsageError):
    """A template or expression cannot be rendered."""


class ExperimentBusyError(UsageError):
    """Another coordinator holds this experiment."""


class SecretError(DdcplayError):
    """A secret reference cannot be resolved; the text never holds the secret."""


class StoreError(DdcplayError):
    """The database, the archive or a trace cannot be written or read."""


class InterruptedRunError(DdcplayError):
    """The user stopped the run."""

    exit_code = 130


class FaultError(DdcplayError):
    """Trouble with one host, on its way from a transport to the visit that turns it into data.

    Args:
        reason: one of the words of `ddcplay.model.result.Reason`, as text (this module imports nothing).
        message: what happened, in one line; may hold text a target sent, so it is escaped where it is shown.
        hint: what an admin can do about it.
        retryable: the same request may be sent again without harm (nothing was accepted yet).
        connection_lost: the connection cannot be used again; its remote shell may still exist.
    """

    def __init__(
        self,
        reason: str,
        message: str,
        hint: str = "",
        *,
        retryable: bool = False,
        connection_lost: bool = False,
    ) -> None:
        super().__init__(message, hint)
        self.reason = reason
        self.retryable = retryable
        self.connection_lost = connection_lost

    def __reduce__(self) -> tuple[object, ...]:
        return (_rebuild_fault, (self.reason, self.message, self.hint, self.retryable, self.connection_lost))


def _rebuild_fault(
    reason: str,
    message: str,
    hint: str,
    retryable: bool,  # noqa: FBT001 - pickle passes by position
    connection_lost: bool,  # noqa: FBT001 - pickle passes by position
) -> FaultError:
    return FaultError(reason, message, hint, retryable=retryable, connection_lost=connection_lost)
