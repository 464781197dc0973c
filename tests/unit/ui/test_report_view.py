"""The report on a terminal: what hosts sent cannot move the cursor or hide a line."""

from __future__ import annotations

import io

import orjson
from rich.console import Console

from ddcplay.model.alert import AlertIdentity, AlertState, AlertUpdate, Status
from ddcplay.model.report import AttemptCount, HostPresence, IterationSpan, ReportData, UsageSample, Visit
from ddcplay.model.result import Outcome, Reason
from ddcplay.report.study import Study, study
from ddcplay.ui.report_view import print_report, report_fields

EVIL = "pc\x1b[2J\u202e\r\nfake: 0 failed"


def evil_study() -> Study:
    data = ReportData(
        EVIL, EVIL, 0.0, 1, 1,
        iterations=(IterationSpan(1, 1.0), IterationSpan(901, 901.0, missed=2)),
        counts=(
            AttemptCount(EVIL, EVIL, Outcome.FAILED, Reason.AUTH, 9, detail=EVIL, hint=EVIL, last_id=2),
            AttemptCount(EVIL, "q", Outcome.OK, None, 1, elapsed_s=1.0, last_id=1),
        ),
        presence=(HostPresence(EVIL, 2, 2, 1, 1.0),),
        alerts=(AlertUpdate(AlertIdentity(EVIL, EVIL, EVIL, EVIL), AlertState(Status.FIRING), message=EVIL),),
        timezone=EVIL,
        rooms=((EVIL, EVIL),),
    )  # fmt: skip
    sample = UsageSample(EVIL, 1, 1.0, {"occupied": True, "uptime_s": 5.0, "cpu_idle_pct": 99.0})
    return study(data, [Visit(1, EVIL, True, True)], [sample], "q")


def shown(study: Study) -> str:
    out = io.StringIO()
    print_report(Console(file=out, width=160, highlight=False, emoji=False, markup=False), study)
    return out.getvalue()


def test_hostile_text_stays_on_its_line_and_visible():
    text = shown(evil_study())
    assert not {"\x1b", "\u202e", "\r"} & set(text)
    assert not [line for line in text.splitlines() if line.startswith("fake")]
    assert "what to do" in text


def test_json_can_be_written_and_has_the_same_tasks():
    made = evil_study()
    found = orjson.loads(orjson.dumps(report_fields(made), default=str))
    assert [task["hosts"] for task in found["tasks"]] == [[EVIL]]
    assert found["table1"][1]["means"]["cpu_idle_pct"] == 99.0
