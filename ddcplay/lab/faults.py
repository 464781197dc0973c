"""Faults a test or a demo plants in a lab host; each acts where a real network or a real Windows fails."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, get_args

FaultKind = Literal[
    "slow",
    "hang",
    "escapee",
    "mute",
    "trickle",
    "reset",
    "unauthorized",
    "bad_request",
    "empty_500",
    "busy_503",
    "quota_shells",
    "quota_operations",
    "quota_operations_wmi",
    "wrong_xml",
    "truncated",
    "wrong_relates_to",
    "missing_elements",
    "no_streams",
    "no_exit_code",
    "huge_output",
    "close_idle",
    "close_each",
    "shell_gone",
    "split_utf8",
    "access_denied",
    "timed_out",
    "not_sealed",
]
"""What goes wrong, and the unit of `Fault.value`:

- `slow`: the answer waits `value` seconds · `hang`: commands never end · `mute`: requests are never answered
- `escapee`: a command starts a child that outlives its shell; with `value` 1 nobody may end it
- `trickle`: one byte of the answer per `value` seconds · `reset`: TCP reset after `value` bytes of the answer
- `unauthorized`: 401 and close (without an operation: at login, like a wrong password) · `empty_500`
- `bad_request`: empty 400, once it was idle for `value` seconds · `busy_503`: Retry-After `value` s
- `quota_shells`: 2150859173 as MSFT_WmiError · `quota_operations`: 2150859174 as WSManFault, `_wmi` in the
  other form · `shell_gone`: 2150858843 · `access_denied`: fault 5 · `timed_out`: 2150858793 at once
- `wrong_xml`, `truncated`, `wrong_relates_to`, `missing_elements`: answers that are not what they should be;
  `not_sealed`: a clear answer to a sealed request
- `no_streams`: Done without Stream · `no_exit_code`: Done without ExitCode · `huge_output`: every command
  prints `value` MiB more · `split_utf8`: every answer carries one byte of output
- `close_idle`: the connection ends after `value` idle seconds · `close_each`: it ends after every answer
"""

Operation = Literal[
    "login",
    "identify",
    "create",
    "command",
    "send",
    "receive",
    "signal",
    "delete",
    "get",
    "enumerate",
    "pull",
    "release",
]

_KINDS = frozenset(get_args(FaultKind))
_OPERATIONS = frozenset(get_args(Operation))


@dataclass(frozen=True, slots=True)
class Fault:
    """One planted fault.

    Args:
        kind: what goes wrong.
        operation: only there; None for wherever the kind makes sense.
        times: only the first N times; None for always.
        value: seconds, bytes or MiB, as the kind says.
    """

    kind: FaultKind
    operation: Operation | None = None
    times: int | None = None
    value: float = 0.0

    def __post_init__(self) -> None:
        if self.kind not in _KINDS:
            raise ValueError(f"unknown lab fault {self.kind!r}; there are {', '.join(sorted(_KINDS))}")
        if self.operation is not None and self.operation not in _OPERATIONS:
            raise ValueError(
                f"unknown operation {self.operation!r}; there are {', '.join(sorted(_OPERATIONS))}"
            )


class PlantedFaults:
    """The faults of one host and how often each still acts."""

    def __init__(self, faults: Iterable[Fault] = ()) -> None:
        self._left: list[tuple[Fault, int | None]] = [(fault, fault.times) for fault in faults]

    def __bool__(self) -> bool:
        return bool(self._left)

    def peek(self, kind: FaultKind, operation: str | None = None) -> Fault | None:
        """Return the first fault of a kind that acts here, without using it up."""
        for fault, left in self._left:
            if fault.kind == kind and fault.operation in (None, operation) and left != 0:
                return fault
        return None

    def take(self, kind: FaultKind, operation: str | None = None) -> Fault | None:
        """Return the first fault of a kind that acts here and count it down."""
        if not self._left:
            return None
        for index, (fault, left) in enumerate(self._left):
            if fault.kind == kind and fault.operation in (None, operation) and left != 0:
                if left is not None:
                    self._left[index] = (fault, left - 1)
                return fault
        return None
