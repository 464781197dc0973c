"""What the report's tests share: counts of a small pool, written down by hand."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from ddcplay.model.alert import AlertIdentity, AlertState, AlertUpdate, Severity, Status
from ddcplay.model.report import AttemptCount, HostPresence, IterationSpan, ReportData
from ddcplay.model.result import Outcome, Reason, outcome_of

START = 1_700_000_000


@pytest.fixture
def count() -> Callable[..., AttemptCount]:
    def make(host: str, number: int, reason: Reason | None = None, **changes: object) -> AttemptCount:
        fields: dict[str, object] = {
            "probe": "usage",
            "outcome": Outcome.OK if reason is None else outcome_of(reason),
            "elapsed_s": 0.5 * number,
            "slowest_s": 0.9,
            "last_id": number,
        }
        fields.update(changes)
        return AttemptCount(host=host, reason=reason, count=number, **fields)  # type: ignore[arg-type]

    return make


@pytest.fixture
def data() -> Callable[..., ReportData]:
    def make(*counts: AttemptCount, **changes: object) -> ReportData:
        fields: dict[str, object] = {
            "experiment": "classroom",
            "play": "Classroom usage",
            "began_at": float(START),
            "since": START,
            "until": START + 9 * 900,
            "iterations": tuple(
                IterationSpan(START + 900 * n, float(START + 900 * n), START + 900 * n + 5.0)
                for n in range(10)
            ),
            "presence": tuple(
                HostPresence(host, 10, 5, 4) for host in dict.fromkeys(item.host for item in counts)
            ),
            "counts": counts,
        }
        fields.update(changes)
        return ReportData(**fields)  # type: ignore[arg-type]

    return make


@pytest.fixture
def firing() -> Callable[..., AlertUpdate]:
    def make(
        host: str, message: str = "3 % free", severity: Severity = Severity.WARNING, name: str = "low_disk"
    ) -> AlertUpdate:
        state = AlertState(status=Status.FIRING, fired_at=float(START))
        return AlertUpdate(AlertIdentity("classroom", name, host, "C:"), state, severity, message)

    return make
