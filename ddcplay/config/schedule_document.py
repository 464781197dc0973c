"""The schedule of a play as Pydantic models: one of three kinds, and which further keys go with it."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from ddcplay.config.values import Cron, Duration, Interval, PositiveDuration, Truth, Whole, Windows
from ddcplay.config.words import WrongValueError

_GOES_WITH: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "min_gap": ("every",),
        "align": ("every",),
        "until": ("every", "cron"),
        "iterations": ("every", "cron"),
    }
)
"""Key of a schedule → kinds of schedule that have it."""


STRICT = ConfigDict(extra="forbid", strict=True, frozen=True, hide_input_in_errors=True)
"""Of every mapping of the language: unknown keys refused, nothing converted behind the author's back."""


class SingleShotDocument(BaseModel):
    """Each probe once on every host."""

    model_config = STRICT

    retry_every: Interval = 120
    give_up_after: PositiveDuration = 0


class ScheduleDocument(BaseModel):
    """When iterations start."""

    model_config = STRICT

    every: Interval = 0
    cron: Cron = ""
    single_shot: SingleShotDocument | None = None
    min_gap: Duration = 0
    align: Truth = False
    iterations: Annotated[Whole, Field(ge=1)] = 1
    until: PositiveDuration = 0
    blackout: Windows = ()

    @model_validator(mode="before")
    @classmethod
    def _single_shot_is_written(cls, value: Any) -> Any:
        # `single_shot:` alone means its defaults; None is the model's "not written".
        if isinstance(value, dict) and "single_shot" in value and value["single_shot"] is None:
            return {**value, "single_shot": {}}
        return value

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        kinds = [key for key in ("every", "cron", "single_shot") if key in self.model_fields_set]
        if not kinds:
            raise WrongValueError(
                "a schedule needs every, cron or single_shot", "add every: 15m, or remove the schedule"
            )
        if len(kinds) > 1:
            words = f"a schedule has one of every, cron and single_shot, not {' and '.join(kinds)}"
            raise WrongValueError(words, f"remove {kinds[1]}", (kinds[1],))
        for key in ("min_gap", "align", "until", "iterations"):
            if key in self.model_fields_set and kinds[0] not in _GOES_WITH[key]:
                hint = "write give_up_after inside single_shot" if key == "until" else f"remove {key}"
                raise WrongValueError(f"{key!r} does not go with {kinds[0]!r}", hint, (key,))
        return self
