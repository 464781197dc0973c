"""When a cron expression is due: Debian cron's rules, daylight saving included, through cronsim."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from ddcplay.errors import UsageError


def cron_times(text: str, zone: ZoneInfo, begin: float) -> Iterator[float]:
    """Yield the times a cron expression names, as Debian cron does.

    A fixed time that a change to summer time skips happens at the change; one that comes twice when the clock
    is set back happens once. Expressions whose minute or hour starts with `*` follow the clock as it runs.

    Args:
        text: five fields.
        zone: whose wall clock it means.
        begin: UTC Unix seconds; the first time may be this very second.

    Yields:
        UTC Unix seconds, each above the one before.

    Raises:
        UsageError: not a cron expression, or it names no time at all (30 February).
    """
    try:
        # cronsim goes on from the second after the one it is given.
        times = CronSim(text, datetime.fromtimestamp(begin - 1, zone))
        last = float("-inf")
        for moment in times:
            at = moment.timestamp()
            # Fixed times are computed on the wall clock: in its repeated hour one may lie before `begin`, and
            # several that were skipped fall together.
            if at >= begin and at > last:
                yield at
                last = at
    except CronSimError as error:
        raise UsageError(
            f"{text!r} is no cron expression: {error}", hint='write five fields: "*/15 8-20 * * 1-5"'
        ) from error
