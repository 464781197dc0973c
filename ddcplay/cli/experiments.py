"""Which experiment a command means: the one named, a playbook's, or the only one there is."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ddcplay.config.settings import Settings


def read_settings(directory: Path | None, data_dir: Path | None) -> Settings:
    """Read the project's settings, for commands that look at results only.

    Raises:
        ConfigError: the settings are wrong.
        UsageError: `-C` names no directory.
    """
    from ddcplay import app  # noqa: PLC0415 - commands import what they need
    from ddcplay.cli.arguments import make_options  # noqa: PLC0415 - same

    return app.read_settings(make_options(directory=directory, data_dir=data_dir))


def experiment_directories(data_dir: Path, *, shared: bool = False) -> dict[str, Path]:
    """Return experiment → directory, by name: every directory that holds a trace or a database.

    Args:
        data_dir: the project's.
        shared: the rows are in a database elsewhere; then a directory where a coordinator was is one, too.
    """
    if not data_dir.is_dir():
        return {}
    found = (path for path in sorted(data_dir.iterdir()) if path.is_dir())
    signs = ("experiment.db", ".lock") if shared else ("experiment.db",)
    return {
        path.name: path
        for path in found
        if any((path / sign).is_file() for sign in signs) or next(path.glob("*.trace"), None) is not None
    }


def choose_experiments(name: str | None, settings: Settings) -> Sequence[Path]:
    """Return the directories a command means, at least one; says so when what they hold never happened.

    Args:
        name: an experiment, a playbook (its experiments), or None for the only experiment.
        settings: say where data and playbooks are.

    Raises:
        UsageError: no such experiment, or several to choose from.
    """
    from ddcplay.cli.arguments import warn  # noqa: PLC0415 - as above

    chosen = _chosen(name, settings)
    warn([f"SIMULATED: {path.name}: no machine was asked" for path in chosen if is_simulated(path)])
    return chosen


def is_simulated(directory: Path) -> bool:
    """Say whether an experiment lies where `simulate` and `demo` write (design §6)."""
    return "simulated" in directory.absolute().parts[:-1]


def _chosen(name: str | None, settings: Settings) -> Sequence[Path]:
    from ddcplay.errors import UsageError  # noqa: PLC0415 - as above

    known = experiment_directories(settings.data_dir, shared=settings.database is not None)
    listed = ", ".join(known) or "none yet"
    if name is None:
        if len(known) == 1:
            return tuple(known.values())
        problem = "several experiments" if known else "no experiment"
        hint = f"name one of: {listed}" if known else "run a playbook first, or give --data-dir"
        verb = "are" if known else "is"
        raise UsageError(f"there {verb} {problem} in {settings.data_dir}", hint)
    if name in known:
        return (known[name],)
    chosen = [known[item] for item in _experiments_of(name, settings) if item in known]
    if chosen:
        return chosen
    close = get_close_matches(name, known, n=1)
    near = f"did you mean {close[0]!r}? " if close else ""
    raise UsageError(f"there is no experiment {name!r} in {settings.data_dir}", f"{near}known: {listed}")


def _experiments_of(playbook: str, settings: Settings) -> Sequence[str]:
    """Return the experiments of a playbook, none when there is no such playbook."""
    from ddcplay.config.playbook_file import find_playbook, read_playbook  # noqa: PLC0415 - as above
    from ddcplay.errors import UsageError  # noqa: PLC0415 - as above
    from ddcplay.templating.environment import render_value  # noqa: PLC0415 - as above

    try:
        path = find_playbook(playbook, settings.project_root, Path.cwd(), project_first=True)
    except UsageError:
        return ()
    book = read_playbook(path, render=render_value, project_root=settings.project_root)
    return [play.experiment for play in book.plays]
