"""The composition root: the only file that knows all parts.

Every command of the command line comes through one of the functions here; `cli` hands in observers and
options and prints what comes back. Heavy parts are imported inside the function that needs them, so that
`ddcplay --version` and the refusal of a wrong playbook stay quick.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from ddcplay.engine.events import IterationClosed, Observer
from ddcplay.engine.stop import StopRequest
from ddcplay.model.inventory import Host, Inventory
from ddcplay.model.plan import Plan
from ddcplay.model.playbook import Play, Playbook
from ddcplay.model.result import AttemptResult

if TYPE_CHECKING:
    from ddcplay.config.settings import Settings
    from ddcplay.transport.sweep import SweepAnswer


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line said, before any file is read.

    Args:
        directory: `-C`, None = the current directory.
        inventory: `-i`, as often as written; empty = the setting or the default.
        limit: `-l`, None for all.
        tags: `-t`.
        skip_tags: `--skip-tags`.
        extra_vars: `-e`, already parsed and merged.
        overrides: settings given as flags (`data_dir`, `executor`, `workers`, …).
        concurrency: `-f`, None = the play's.
        once: one iteration, whatever the schedule says.
        iterations: this many iterations, None = the schedule's.
    """

    directory: Path | None = None
    inventory: tuple[str, ...] = ()
    limit: str | None = None
    tags: tuple[str, ...] = ()
    skip_tags: tuple[str, ...] = ()
    extra_vars: Mapping[str, object] = field(default_factory=dict)
    overrides: Mapping[str, object] = field(default_factory=dict)
    concurrency: int | None = None
    once: bool = False
    iterations: int | None = None


@dataclass(frozen=True, slots=True)
class PreparedPlay:
    """One play, read, rendered and validated for every one of its hosts; nothing was contacted."""

    playbook: Playbook
    play: Play
    plan: Plan


@dataclass(frozen=True, slots=True)
class Prepared:
    """Everything a run needs, from files alone.

    Args:
        settings: the project's settings.
        inventory: the whole inventory.
        plays: every play of every playbook named, in order; experiment names are unique.
        warnings: what `check` prints and `run` mentions once.
    """

    settings: Settings
    inventory: Inventory
    plays: tuple[PreparedPlay, ...]
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RunOutcome:
    """How a run ended.

    Args:
        last: experiment → its last iteration in this process, None when none closed.
        interrupted: the user stopped it.
        directories: experiment → where its files are.
    """

    last: Mapping[str, IterationClosed | None]
    interrupted: bool = False
    directories: Mapping[str, Path] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PingRow:
    """One host of `ddcplay ping`: what the sweep saw and, with `--login`, whether logging on worked."""

    host: str
    answer: SweepAnswer
    login: str = ""
    detail: str = ""
    facts: Mapping[str, object] = field(default_factory=dict)


def prepare(playbooks: Sequence[str], options: Options) -> Prepared:
    """Read settings, inventory and playbooks, and plan every play for every host.

    Raises:
        ConfigError: files are wrong; all problems at once.
        UsageError: no such file, pattern, tag or inventory.
    """
    raise NotImplementedError


def run(prepared: Prepared, options: Options, observers: Sequence[Observer], stop: StopRequest) -> RunOutcome:
    """Run the plays side by side until their schedules end or `stop` is asked.

    Raises:
        ExperimentBusyError: another coordinator runs one of the experiments.
        StoreError: nothing can be written where the results belong.
    """
    raise NotImplementedError


def load_inventory(options: Options) -> tuple[Inventory, tuple[str, ...]]:
    """Read the inventory alone; returns it with warnings."""
    raise NotImplementedError


def select(inventory: Inventory, pattern: str, options: Options) -> tuple[Host, ...]:
    """Pick hosts by pattern and `--limit`."""
    raise NotImplementedError


def ping(pattern: str, options: Options, *, login: bool, on_row: Callable[[PingRow], None]) -> int:
    """Sweep hosts (and log on to each with `login`, through the credential gate); tells each as it is known.

    Returns:
        How many hosts answered (with `login`: were logged on to).
    """
    raise NotImplementedError


def probe(  # noqa: PLR0913 - each is a switch of the command
    pattern: str,
    kind: str,
    text: str,
    options: Options,
    observers: Sequence[Observer],
    stop: StopRequest,
    *,
    timeout_s: float = 60.0,
    save: str | None = None,
) -> tuple[AttemptResult, ...]:
    """Run one command or script once on the hosts of a pattern, with the same engine as `run`.

    Args:
        pattern: which hosts.
        kind: `command` or `powershell`.
        text: what to run.
        options: limit, inventory, settings.
        observers: who is told of progress.
        stop: how to stop.
        timeout_s: per host.
        save: experiment name to archive under, None to keep nothing.

    Returns:
        One result per host, in inventory order.
    """
    raise NotImplementedError
