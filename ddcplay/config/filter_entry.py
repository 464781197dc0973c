"""The `filters` of a probe or of `defaults`: entries read, files found, options checked (design §5)."""

from __future__ import annotations

import ast
import re
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias

from ddcplay import plugins
from ddcplay.config.filter_options import check_options
from ddcplay.config.reading import Reading, UnrenderedError, as_mapping
from ddcplay.config.words import describe, nearest
from ddcplay.config.yaml_marks import Loc, is_file
from ddcplay.errors import Place, UsageError
from ddcplay.model.playbook import FilterEntry
from ddcplay.model.result import Outcome

CheckUserFilters: TypeAlias = Callable[
    [Sequence[FilterEntry]], Iterable[tuple[int, tuple[object, ...], str, str]]
]
"""Imports and validates user code: entries → (which entry, way inside its options, message, hint)."""

GROUP = "ddcplay.filters"
BUILT_IN = (
    *("alert", "email", "notify", "omit", "parse", "pick"),
    *("rate", "set", "static", "store", "textfile", "when"),
)
"""Filters that run in the pipeline; those of other packages and of files run in the child process."""

_MAX_FILE_BYTES = 1024 * 1024
_FILE = re.compile(r"(?P<file>.+\.py):(?P<name>[^\W\d]\w*)")
_MODULE = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*")
_FORMS = "write NAME, FILE.py:Class or package.module:Class"


@dataclass(frozen=True, slots=True)
class FilterSources:
    """Where the filters of one play come from.

    Args:
        variables: the play's, with `-e` over them: all that a filter's name may use.
        folders: where `FILE.py` is looked for, best first.
    """

    variables: Mapping[str, object]
    folders: tuple[Path, ...]


def filter_folders(beside: Path, project_root: Path) -> tuple[Path, ...]:
    """Return where filter files are looked for: beside the playbook, in the project root, its `filters`."""
    return tuple(dict.fromkeys((beside, project_root, project_root / "filters")))


def read_filters(
    reading: Reading, written: object, loc: Loc, sources: FilterSources
) -> tuple[FilterEntry, ...]:
    """Read one chain.

    Args:
        reading: document and problems; everything wrong is noted there.
        written: the value of `filters`; anything but a list was refused already.
        loc: where it stands.
        sources: what names may use and where files are.

    Returns:
        The entries that could be read, in order; their options are as written.
    """
    entries = []
    seen: Counter[str] = Counter()
    for index, raw in enumerate(written if isinstance(written, list) else []):
        entry = _read_entry(reading, raw, (*loc, index), sources, seen)
        if entry is not None:
            entries.append(entry)
    return tuple(entries)


def check_user_code(reading: Reading, check: CheckUserFilters | None) -> None:
    """Have all user code of a playbook imported and its options checked, in one go."""
    waiting = reading.user_filters
    if check is None or not waiting:
        return
    for index, way, message, hint in check([entry for entry, _ in waiting]):
        entry, loc = waiting[index]
        place = reading.marked.place((*loc, *way)) if way else entry.place
        reading.report(place, f"filter {entry.label!r}: {message}", hint)


def _read_entry(
    reading: Reading, raw: object, loc: Loc, sources: FilterSources, seen: Counter[str]
) -> FilterEntry | None:
    found = _name_of(reading, raw, loc)
    if found is None:
        return None
    written_name, options, on = found
    marked = reading.marked
    named_in = isinstance(raw, Mapping)
    options_loc = (*loc, written_name) if named_in else loc
    place = marked.key_place(options_loc) if named_in else marked.place(loc)
    try:
        name = reading.rendered(written_name, options_loc, sources.variables)
    except UnrenderedError:
        return None
    if not isinstance(name, str) or not name.strip():
        reading.report(place, f"a filter's name is {describe(name)}, not text", _FORMS)
        return None
    name = str(name).strip()
    seen[name] += 1
    label = name if seen[name] == 1 else f"{name}#{seen[name]}"
    outcomes = _outcomes(reading, on, (*loc, "on")) if on is not None else (Outcome.OK,)
    file = _found_file(reading, name, sources, loc=options_loc) if ".py:" in name else ""
    if file is None:
        return None
    entry = FilterEntry(name, options, outcomes or (), label, place, file, name in BUILT_IN)
    if entry.builtin:
        if not _check_built_in(reading, entry, options_loc) or not outcomes:
            return None
        return entry if on is not None else replace(entry, on=reading.filter_classes[name].default_on)
    code = name if file else _code_of(reading, name, place)
    if code is None or outcomes is None:
        return None
    entry = replace(entry, name=code)
    reading.user_filters.append((entry, options_loc))
    return entry


def _name_of(reading: Reading, raw: object, loc: Loc) -> tuple[str, object, object] | None:
    """Take an entry apart; returns the name as written, its options, and `on` (None when not written)."""
    if isinstance(raw, str):
        return raw, None, None
    place = reading.marked.place(loc)
    data = as_mapping(raw)
    if data is None:
        reading.report(place, f"a filter must be its name or a mapping, not {describe(raw)}", "write - store")
        return None
    on = data.pop("on", None)
    if on is None and "on" in (as_mapping(raw) or {}):
        on = ()
    if not data:
        reading.report(place, "this entry names no filter", "write - store, and beside it on: [failed]")
        return None
    name, *others = data
    if others:
        other = reading.marked.key_place((*loc, others[0]))
        if data[name] is None:
            hint = "indent them further than the filter's name"
            reading.report(other, f"the options of {name!r} must stand below it, not beside it", hint)
        else:
            hint = f"begin a line of its own with '- ' for {others[0]!r}, or indent it below {name!r}"
            reading.report(other, "an entry names exactly one filter", hint)
        return None
    if not isinstance(name, str):
        reading.report(reading.marked.key_place((*loc, name)), f"a filter's name is {describe(name)}", _FORMS)
        return None
    return name, data[name], on


def _outcomes(reading: Reading, on: object, loc: Loc) -> tuple[Outcome, ...] | None:
    """Read `on`: outcomes that enter the filter."""
    items = [on] if isinstance(on, str) else on
    known = [*map(str, Outcome), "any"]
    if not isinstance(items, list) or not items:
        reading.report(
            reading.marked.place(loc),
            f"'on' must be a list of outcomes, not {describe(on)}" if items else "'on' is empty",
            f"known: {', '.join(known)}",
        )
        return None
    if "any" in items:
        return tuple(Outcome)
    for index, item in enumerate(items):
        if not isinstance(item, str) or item not in known:
            close = nearest(item, known) if isinstance(item, str) else None
            hint = f"did you mean {close!r}?" if close else f"known: {', '.join(known)}"
            place = reading.marked.place((*loc, index) if isinstance(on, list) else loc)
            reading.report(place, f"{describe(item)} is no outcome", hint)
            return None
    return tuple(outcome for outcome in Outcome if outcome in items)


def _check_built_in(reading: Reading, entry: FilterEntry, loc: Loc) -> bool:
    """Hold the options against the filter's class."""
    known = reading.filter_classes
    try:
        if entry.name not in known:
            known[entry.name] = plugins.load(GROUP, entry.name)
    except UsageError as error:
        reading.report(entry.place, error.message, error.hint)
        return False
    return check_options(reading, entry.name, known[entry.name], entry.options, loc)


def _code_of(reading: Reading, name: str, place: Place) -> str | None:
    """Return `package.module:Class` for it, or for the plug-in of that name; None when there is none."""
    if _MODULE.fullmatch(name):
        return name
    if ":" in name:
        reading.report(place, f"{name!r} is no filter", _FORMS)
        return None
    code = plugins.source(GROUP, name)
    if code is None:
        close = nearest(name, (*BUILT_IN, *plugins.names(GROUP)))
        hint = f"did you mean {close!r}?" if close else f"built in: {', '.join(BUILT_IN)}; else {_FORMS}"
        reading.report(place, f"there is no filter {name!r}", hint)
    return code


def _found_file(reading: Reading, name: str, sources: FilterSources, *, loc: Loc) -> str | None:
    """Find the file of `FILE.py:Class` and see that the class is in it; None when something was noted."""
    place = reading.marked.key_place(loc)
    match = _FILE.fullmatch(name)
    if match is None:
        reading.report(place, f"{name!r} names no class", "write FILE.py:Class, such as low_disk.py:LowDisk")
        return None
    asked = Path(match["file"]).expanduser()
    candidates = [asked] if asked.is_absolute() else [folder / asked for folder in sources.folders]
    path = next((path for path in candidates if is_file(path)), None)
    if path is None:
        looked = ", ".join(map(str, dict.fromkeys(candidates)))
        reading.report(place, f"there is no file {match['file']!r}", f"looked for {looked}")
        return None
    wrong = _missing_class(path, match["name"])
    if wrong:
        reading.report(place, *wrong)
        return None
    return str(path.absolute())


def _missing_class(path: Path, name: str) -> tuple[str, str] | None:
    """Look for a class without running the file; returns message and hint when it is not there."""
    try:
        with path.open("rb") as opened:
            source = opened.read(_MAX_FILE_BYTES + 1)
        if len(source) > _MAX_FILE_BYTES:
            return f"{str(path)!r} is larger than {_MAX_FILE_BYTES >> 20} MiB", "name the filter's own file"
        with warnings.catch_warnings():
            # What Python warns of in user code is told when it is imported.
            warnings.simplefilter("ignore")
            body = ast.parse(source, str(path)).body
    except OSError as error:
        return f"{str(path)!r} cannot be read: {error.strerror}", "check its rights"
    except (SyntaxError, ValueError, RecursionError) as error:
        line = f", line {error.lineno}" if isinstance(error, SyntaxError) and error.lineno else ""
        text = error.msg if isinstance(error, SyntaxError) else str(error)
        return f"{str(path)!r} is no Python file: {text}{line}", f"try python {path}"
    classes = [node.name for node in body if isinstance(node, ast.ClassDef)]
    # A name that is imported, assigned or made in an `if` is seen only once the file runs.
    plain = ast.ClassDef | ast.FunctionDef | ast.Expr | ast.Import
    others = [node for node in body if not isinstance(node, plain) and not _from_elsewhere(node, name)]
    if name in classes or others:
        return None
    close = nearest(name, classes)
    hint = f"did you mean {close!r}?" if close else f"classes in it: {', '.join(classes) or 'none'}"
    return f"there is no class {name!r} in {str(path)!r}", hint


def _from_elsewhere(node: ast.stmt, name: str) -> bool:
    """Say whether a statement imports or sets names, none of them `name`."""
    if isinstance(node, ast.ImportFrom):
        return all((alias.asname or alias.name) not in {name, "*"} for alias in node.names)
    if isinstance(node, ast.Assign):
        return all(isinstance(target, ast.Name) and target.id != name for target in node.targets)
    return isinstance(node, ast.AnnAssign) and not (
        isinstance(node.target, ast.Name) and node.target.id == name
    )
