"""What all experiments of one process share, as one value handed down the road."""

from __future__ import annotations

from dataclasses import dataclass, field

from ddcplay.engine.dispatcher import Dispatcher
from ddcplay.engine.events import Observers
from ddcplay.engine.filters import FilterMeans
from ddcplay.engine.gate import CredentialGate
from ddcplay.engine.post_office import PostOffice
from ddcplay.engine.retention import Kept
from ddcplay.engine.stop import StopRequest
from ddcplay.engine.sweeping import PlannedSweep, Sweep
from ddcplay.units import Clock


@dataclass(frozen=True, slots=True)
class Services:
    """What all iterations of a process share.

    Args:
        clock: the process's time.
        dispatcher: starts visits.
        gate: lets logins through.
        sweep: finds out who is there.
        observers: told of progress.
        stop: asked by the user.
        threaded: False runs the sweep and the pipeline in the caller's thread.
        gathers: such a pipeline works once per iteration (virtual time).
        filters: what filters are made with.
        post: what leaves the house, None for nothing.
        kept: how long data is kept, None for ever.
    """

    clock: Clock
    dispatcher: Dispatcher
    gate: CredentialGate
    sweep: Sweep | PlannedSweep
    observers: Observers
    stop: StopRequest
    threaded: bool = True
    gathers: bool = False
    filters: FilterMeans = field(default_factory=FilterMeans)
    post: PostOffice | None = None
    kept: Kept | None = None
