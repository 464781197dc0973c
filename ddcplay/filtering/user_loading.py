"""Find a filter class that a user wrote, and make an object of it; runs in the filter process alone."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import sys
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from types import ModuleType

from pydantic import BaseModel, ValidationError

from ddcplay import plugins
from ddcplay.errors import UsageError
from ddcplay.filtering.base import Filter
from ddcplay.filtering.wire import NotJsonError, dumps

_OWN_CODE = str(Path(__file__).parent.parent)
_MAX_TEXT = 500
_MAX_FRAMES = 8


@dataclass(frozen=True, slots=True)
class Finding:
    """Something wrong with a filter or its options.

    Args:
        way: where inside the options; empty for the filter itself.
        message: what.
        hint: what to do.
    """

    way: tuple[str | int, ...]
    message: str
    hint: str = ""


class LoadError(Exception):
    """A filter cannot be made.

    Args:
        findings: at least one.
    """

    def __init__(self, *findings: Finding) -> None:
        super().__init__(findings[0].message)
        self.findings = findings


def describe(error: BaseException) -> tuple[str, str]:
    """Return what a user's exception says in one line, and where in the user's own code it came from."""
    try:
        text = str(error)
    except Exception:  # noqa: BLE001 - the user's __str__ may raise anything
        text = "(its text cannot be read)"
    name = type(error).__name__
    if isinstance(error, SyntaxError) and error.filename:
        text = f"{error.filename}:{error.lineno or 0}: {error.msg}"
    message = f"{name}: {' '.join(text.split())}" if text.strip() else name
    return message[:_MAX_TEXT], _own_lines(error)


def _own_lines(error: BaseException) -> str:
    """Return the user's lines of a traceback, innermost last; ours are of no use to them."""
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if not frame.filename.startswith((_OWN_CODE, "<frozen "))
    ]
    lines = [
        f"{frame.filename}:{frame.lineno} in {frame.name}: {(frame.line or '').strip()[:120]}"
        for frame in frames[-_MAX_FRAMES:]
    ]
    return "\n".join(lines)


def add_search_path(directory: str) -> None:
    """Let modules of a directory be imported, after the standard library and before installed packages.

    So a helper beside a filter is found, and a filter named like a standard module hides none.
    """
    if directory in sys.path:
        return
    installed = [
        index for index, entry in enumerate(sys.path) if entry.endswith(("site-packages", "dist-packages"))
    ]
    sys.path.insert(installed[0] if installed else len(sys.path), directory)


def load_class(name: str, file: str) -> type[Filter]:
    """Import `FILE.py:Class`, `package.module:Class`, or a plug-in of another package by its name.

    Args:
        name: as written.
        file: where FILE.py is; empty otherwise.

    Raises:
        LoadError: there is no such file, module, class or plug-in, its import failed, or it is no filter.
    """
    source, colon, class_name = name.rpartition(":")
    found = _class_named(source, class_name, file) if colon else _plug_in(name)
    if not (isinstance(found, type) and issubclass(found, Filter)):
        where = f" in {Path(file).name}" if file else ""
        raise LoadError(Finding((), f"{class_name}{where} is no filter", "derive it from ddcplay.Filter"))
    return found


def _class_named(source: str, class_name: str, file: str) -> object:
    module = _module_of_file(Path(file)) if file else _module_of_package(source)
    if not hasattr(module, class_name):
        message = f"{Path(file).name if file else source} has no class {class_name!r}"
        raise LoadError(Finding((), message, _known_filters(module, class_name)))
    found: object = getattr(module, class_name)
    return found


def _plug_in(name: str) -> object:
    try:
        found: object = plugins.load("ddcplay.filters", name)
    except UsageError as error:
        raise LoadError(Finding((), error.message, error.hint)) from error
    return found


def _known_filters(module: ModuleType, class_name: str) -> str:
    names = [
        name
        for name, value in vars(module).items()
        if isinstance(value, type) and issubclass(value, Filter) and value is not Filter
    ]
    close = get_close_matches(class_name, names, n=1)
    if close:
        return f"did you mean {close[0]!r}?"
    return f"its filters: {', '.join(sorted(names)) or 'none'}"


def _module_of_file(file: Path) -> ModuleType:
    name = f"ddcplay_user_{file.stem}_{hashlib.sha256(str(file).encode()).hexdigest()[:12]}"
    if name in sys.modules:
        return sys.modules[name]
    if not file.is_file():
        raise LoadError(Finding((), f"there is no file {file}", "it is looked for beside the playbook first"))
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise LoadError(Finding((), f"{file} is no Python file", "its name has to end with .py"))
    add_search_path(str(file.parent))
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses and Pydantic look their module up while it is being imported
    try:
        spec.loader.exec_module(module)
    except BaseException as error:
        sys.modules.pop(name, None)
        if isinstance(error, SystemExit | MemoryError):
            raise
        raise LoadError(_import_failed(str(file.name), error)) from error
    return module


def _module_of_package(source: str) -> ModuleType:
    try:
        return importlib.import_module(source)
    except ModuleNotFoundError as error:
        if error.name and (source == error.name or source.startswith(f"{error.name}.")):
            hint = f"install its package for {sys.executable}, or write FILE.py:Class"
            raise LoadError(Finding((), f"there is no module {error.name!r}", hint)) from error
        raise LoadError(_import_failed(source, error)) from error
    except (SystemExit, MemoryError):
        raise
    except BaseException as error:
        raise LoadError(_import_failed(source, error)) from error


def _import_failed(what: str, error: BaseException) -> Finding:
    message, where = describe(error)
    return Finding((), f"{what} cannot be imported: {message}", where)


def make_options(cls: type[Filter], written: object) -> BaseModel:
    """Validate options as written in the playbook.

    Raises:
        LoadError: they are wrong; a finding for each.
    """
    options = cls.options_from(written)
    if not isinstance(options, Mapping):
        raise LoadError(
            Finding((), f"{cls.__name__} takes a mapping of options, not {_kind(options)}", _option_list(cls))
        )
    try:
        text = dumps(options)
    except NotJsonError:
        text = None  # the class's own `options_from` made Python values of them
    try:
        # read as JSON where possible: there a list may fill a tuple and text a date, which strict mode
        # refuses for Python values although YAML has no other way to write them
        made = cls.Options.model_validate(options) if text is None else cls.Options.model_validate_json(text)
    except ValidationError as error:
        raise LoadError(*(_option_finding(cls, dict(item)) for item in error.errors())) from error
    findings = _own_checks(cls, made)
    if findings:
        raise LoadError(*findings)
    return made


def _own_checks(cls: type[Filter], options: BaseModel) -> list[Finding]:
    check = getattr(cls, "check_options", None)
    if check is None:
        return []
    return [Finding(tuple(way), str(message), str(hint)) for way, message, hint in check(options)]


def _option_finding(cls: type[Filter], item: dict[str, object]) -> Finding:
    loc = item["loc"]
    way = tuple(loc) if isinstance(loc, tuple) else ()
    key = str(way[-1]) if way else ""
    if item["type"] == "extra_forbidden":
        names = list(cls.Options.model_fields)
        close = get_close_matches(key, names, n=1)
        hint = f"did you mean {close[0]!r}?" if close else _option_list(cls)
        return Finding(way, f"{cls.__name__} has no option {key!r}", hint)
    if item["type"] == "missing":
        return Finding(way[:-1], f"{cls.__name__} needs the option {key!r}", f"add {key}:")
    message, hint = str(item["msg"]), _option_list(cls)
    context = item.get("ctx")
    error = context.get("error") if isinstance(context, dict) else None
    if isinstance(error, Exception):  # a validator's own words, which may bring a hint and a way further in
        message, hint = str(error), getattr(error, "hint", "") or hint
        way = (*way, *getattr(error, "at", ()))
    return Finding(way, f"{'.'.join(map(str, way)) or cls.__name__}: {message}", hint)


def _option_list(cls: type[Filter]) -> str:
    return f"its options: {', '.join(cls.Options.model_fields) or 'none'}"


def _kind(value: object) -> str:
    names = {str: "text", bool: "true or false", list: "a list", int: "a number", float: "a number"}
    return names.get(type(value), type(value).__name__)
