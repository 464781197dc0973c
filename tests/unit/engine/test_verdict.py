from __future__ import annotations

import pytest

from ddcplay.engine.events import IterationClosed, ProbeSummary
from ddcplay.engine.verdict import FailOn, verdict, worst
from ddcplay.errors import UsageError
from ddcplay.model.result import Reason


def closed(probe: ProbeSummary, unreached_on: tuple[str, ...] = ()) -> IterationClosed:
    return IterationClosed("usage", 100, 1.0, [probe], unreached_on=unreached_on)


ALL_OK = closed(ProbeSummary("p", 100, 0, 0, 0, 1.0, on=100))
ONE_FAILED = closed(ProbeSummary("p", 99, 1, 0, 0, 1.0, {Reason.TIMEOUT: ["pc1"]}, on=100))
TEN_FAILED = closed(
    ProbeSummary("p", 90, 10, 0, 0, 1.0, {Reason.AUTH: [f"pc{i}" for i in range(10)]}, on=100)
)
HALF_OFF = closed(
    ProbeSummary("p", 50, 0, 50, 0, 1.0, {Reason.NO_ANSWER: [f"pc{i}" for i in range(50)]}, on=50)
)
DEAF = closed(
    ProbeSummary(
        "p", 30, 0, 70, 0, 1.0, {Reason.PORT_CLOSED: ["a", "b"], Reason.NO_ANSWER: ["c"] * 68}, on=32
    ),
    unreached_on=("a", "b"),
)
SKIPPED = closed(ProbeSummary("p", 1, 0, 0, 9, 1.0, {Reason.BUSY: ["pc"] * 9}, on=1))


@pytest.mark.parametrize(
    ("last", "interrupted", "sigterm", "fail_on", "code"),
    [
        (ALL_OK, False, False, "failed>0", 0),
        (ONE_FAILED, False, False, "failed>0", 3),
        (ONE_FAILED, False, False, "failed>1", 0),
        (TEN_FAILED, False, False, "failed>1", 3),
        (TEN_FAILED, False, False, "failed>10%", 0),
        (TEN_FAILED, False, False, "failed>9.9%", 3),
        (TEN_FAILED, False, False, "auth", 3),
        (TEN_FAILED, False, False, "timeout", 0),
        (TEN_FAILED, False, False, "auth>9", 3),
        (TEN_FAILED, False, False, "auth>10", 0),
        (HALF_OFF, False, False, "failed>0", 0),
        # machines that are off are not counted, however many
        (HALF_OFF, False, False, "unavailable>0", 0),
        (HALF_OFF, False, False, "no_answer", 4),
        (DEAF, False, False, "unavailable>0", 4),
        (DEAF, False, False, "unavailable>2", 0),
        (DEAF, False, False, "unavailable>6%", 4),  # 2 of 32 machines that are on
        (DEAF, False, False, "unavailable>7%", 0),
        (DEAF, False, False, "port_closed>1", 4),
        (SKIPPED, False, False, "failed>0", 0),
        (SKIPPED, False, False, "skipped>80%", 3),
        (SKIPPED, False, False, "busy", 3),
        (None, False, False, "failed>0", 0),
        (ALL_OK, True, False, "failed>0", 130),
        (TEN_FAILED, True, False, "failed>0", 130),
        (None, True, False, "failed>0", 130),
        (TEN_FAILED, True, True, "failed>0", 0),
        (ALL_OK, False, True, "failed>0", 0),
    ],
)
def test_exit_code_follows_the_table_of_the_design(
    last: IterationClosed | None, interrupted: bool, sigterm: bool, fail_on: str, code: int
) -> None:
    assert verdict({"usage": last}, interrupted, sigterm, FailOn.parse(fail_on)) == code


def test_default_is_any_failed_attempt() -> None:
    assert FailOn() == FailOn.parse("failed>0")


def test_failed_in_one_play_outweighs_unavailable_in_another() -> None:
    rule = FailOn.parse("failed>0, unavailable>0")

    assert verdict({"a": DEAF, "b": ONE_FAILED}, False, False, rule) == 3
    assert verdict({"a": DEAF, "b": ALL_OK}, False, False, rule) == 4


@pytest.mark.parametrize(
    ("codes", "code"),
    [((), 0), ((4, 3), 3), ((3, 5), 5), ((5, 130), 130), ((130, 2), 2), ((2, 1, 4), 1), ((0, 4), 4)],
)
def test_worst_code_wins(codes: tuple[int, ...], code: int) -> None:
    assert worst(codes) == code


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "empty"),
        (" , ", "empty"),
        ("alert=terrible", "no severity"),
        ("faild>5%", "did you mean 'failed'"),
        ("failed>", "cannot be read"),
        ("failed<5", "cannot be read"),
        ("failed>-1", "cannot be read"),
        ("ok>5", "neither an outcome nor a reason"),
    ],
)
def test_unreadable_expression_is_refused_with_the_forms_that_can_be_read(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=r".") as caught:
        FailOn.parse(text)

    assert message in str(caught.value)
    assert caught.value.hint


@pytest.mark.parametrize(
    ("last", "interrupted", "sigterm", "code"),
    [
        (None, False, False, 4),
        (ALL_OK, False, False, 4),
        (ONE_FAILED, False, False, 3),
        (ALL_OK, True, False, 130),
        (ALL_OK, False, True, 0),
    ],
)
def test_a_single_shot_that_gave_up_ends_with_4_unless_something_is_worse(
    last: IterationClosed | None,
    interrupted: bool,
    sigterm: bool,
    code: int,
) -> None:
    assert verdict({"shot": last}, interrupted, sigterm, FailOn(), gave_up=True) == code
