"""Loads inventories: files, directories and comma lists, merged into one `Inventory`.

This is the door of the inventory readers; the app calls it and nothing else of `inventory_*` but the views.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ddcplay.config.inventory_draft import InventoryDraft
from ddcplay.config.inventory_ini import read_ini
from ddcplay.config.inventory_ranges import split_port
from ddcplay.config.inventory_text import read_text, refuse_program
from ddcplay.config.inventory_vars import VariableFiles, merge_variables
from ddcplay.config.inventory_yaml_groups import read_yaml
from ddcplay.errors import ConfigError, Place, Problem, UsageError
from ddcplay.model.inventory import Inventory

_YAML_SUFFIXES = frozenset({".yml", ".yaml", ".json"})
_EDITOR_ENDINGS = (".pyc", ".pyo", ".swp", ".bak", "~", ".orig", ".retry")
_DOCUMENT_ENDINGS = (".md", ".txt", ".rst", ".rpm", ".cfg")
_IGNORED_ENDINGS = _EDITOR_ENDINGS + _DOCUMENT_ENDINGS
_IGNORED_NAMES = frozenset({"group_vars", "host_vars", "vars_plugins"})
_MAPPING_LINE = re.compile(r"""["']?[^\s=#]+["']?:(\s|$)""")
_SECTION_LINE = re.compile(r"^\[[^\]\s]+\]\s*(?:#.*)?$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class LoadedInventory:
    """An inventory with what is probably not meant in its files.

    Args:
        inventory: hosts, groups and effective variables.
        warnings: each with its place and what to do.
    """

    inventory: Inventory
    warnings: tuple[Problem, ...] = ()


def load_inventory(sources: Sequence[str], *, playbook_dir: Path | None = None) -> Inventory:
    """Read and merge inventories; warnings are dropped (see `load_inventory_with_warnings`).

    Args:
        sources: paths of files and directories, or comma lists (`pc1,pc2,`).
        playbook_dir: where `group_vars/` and `host_vars/` beside the playbook are looked for.

    Raises:
        ConfigError: every problem found, with file, line and column.
    """
    return load_inventory_with_warnings(sources, playbook_dir=playbook_dir).inventory


def load_inventory_with_warnings(
    sources: Sequence[str], *, playbook_dir: Path | None = None
) -> LoadedInventory:
    """Read and merge inventories, and tell what is probably not meant.

    Args:
        sources: paths of files and directories, or comma lists (`pc1,pc2,`).
        playbook_dir: where `group_vars/` and `host_vars/` beside the playbook are looked for.

    Raises:
        ConfigError: every problem found, with file, line and column.
    """
    draft = InventoryDraft()
    for source in sources:
        if not source.strip():
            draft.fail(
                Place("-i"), "the inventory's name is empty", "write a path, or hosts with a comma: pc1,pc2,"
            )
        elif _is_host_list(source):
            _read_host_list(source, draft)
        else:
            _read_path(Path(source), draft)
    draft.settle(Place(", ".join(sources)))
    files = VariableFiles(draft, _variable_dirs(sources), () if playbook_dir is None else (playbook_dir,))
    inventory = merge_variables(draft, files, sources)
    if draft.problems:
        raise ConfigError(draft.problems)
    return LoadedInventory(inventory, tuple(draft.warnings))


def discover_inventory(directory: Path) -> str:
    """Return the inventory to use when none is named: the one in `inventories/`.

    Args:
        directory: the project root.

    Returns:
        A path as text: `inventories/` itself when its files form one inventory, or its only child directory.

    Raises:
        UsageError: there is none, or several child directories each hold one.
    """
    folder = directory / "inventories"
    entries = (
        [entry for entry in sorted(folder.iterdir()) if not _is_ignored(entry.name)]
        if folder.is_dir()
        else []
    )
    children = [entry for entry in entries if entry.is_dir()]
    files = [entry for entry in entries if not entry.is_dir()]
    if len(children) > 1:
        named = ", ".join(str(child) for child in children)
        raise UsageError(
            f"{folder} holds several inventories: {named}", "choose one with -i, or set `inventory`"
        )
    if not entries:
        raise UsageError(
            f"no inventory: {folder} holds none", "name one with -i PATH or -i pc1,pc2, (mind the comma)"
        )
    return str(folder if files else children[0])


def read_limit(text: str) -> str:
    """Return the text of `--limit` with each `@FILE` replaced by the patterns of its lines.

    Args:
        text: patterns and `@FILE` words, separated by commas (a lone `@FILE` may hold colons and commas).

    Raises:
        UsageError: a file cannot be read, or no pattern is left: that must not mean "no limit".
    """
    words = [text] if text.startswith("@") and _exists(text[1:]) else text.split(",")
    patterns: list[str] = []
    for word in (each.strip() for each in words):
        patterns.extend(_limit_lines(Path(word[1:])) if word.startswith("@") else [word])
    limit = ",".join(pattern for pattern in patterns if pattern)
    if not limit:
        raise UsageError(
            f"the limit {text!r} names no host",
            "leave --limit away to mean all, or name hosts, groups or @FILE",
        )
    return limit


def _limit_lines(path: Path) -> list[str]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise UsageError(
            f"the limit file {path} cannot be read: {reason}", "write one host or pattern per line"
        ) from None
    lines = [line.strip() for line in text.splitlines()]
    return [line for line in lines if line and not line.startswith("#")]


def _is_host_list(source: str) -> bool:
    return "," in source and not _exists(source)


def _exists(path: str) -> bool:
    # A comma list is often longer than any file name may be, which Path.exists() takes as an error.
    return os.path.exists(path)  # noqa: PTH110 - see above


def _read_host_list(source: str, draft: InventoryDraft) -> None:
    for word in (each.strip() for each in source.split(",")):
        if word and word not in draft.hosts:
            # Ansible expands no ranges in a comma list.
            name, port = (word, None) if "[" in word and not word.startswith("[") else split_port(word)
            draft.add_host(name, "ungrouped", port, Place(source))


def _read_path(path: Path, draft: InventoryDraft) -> None:
    try:
        if path.is_dir():
            for entry in sorted(path.iterdir(), key=lambda each: each.name):
                if not _is_ignored(entry.name):
                    _read_path(entry, draft)
        else:
            _read_file(path, draft)
    except ConfigError as error:
        draft.problems.extend(error.problems)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        draft.fail(Place(str(path)), f"cannot be read: {reason}", "check the path and its permissions")


def _read_file(path: Path, draft: InventoryDraft) -> None:
    refuse_program(path)
    if path.suffix == ".toml":
        problem = Problem(
            Place(str(path)), "TOML inventories cannot be read, not yet", "write it as YAML or INI"
        )
        raise ConfigError([problem])
    text = read_text(path)
    if path.suffix in _YAML_SUFFIXES and not _SECTION_LINE.match(_first_line(text)):
        read_yaml(text, path, draft)
    elif path.suffix in _YAML_SUFFIXES:
        hint = "name it .ini, or without an extension"
        draft.warn(Place(str(path)), f"read as INI although it is called {path.suffix}", hint)
        read_ini(text, str(path), draft)
    elif path.suffix or _SECTION_LINE.search(text) or not _looks_like_yaml(text):
        read_ini(text, str(path), draft)
    else:
        read_yaml(text, path, draft)


def _looks_like_yaml(text: str) -> bool:
    # Ansible tries YAML on files without an extension, then INI. A mapping begins with `key:` at the margin.
    first = _first_line(text)
    return first.startswith(("---", "{", "%")) or _MAPPING_LINE.match(first) is not None


def _first_line(text: str) -> str:
    lines = (line for line in text.splitlines() if line.strip() and line.lstrip()[0] not in "#;")
    return next(lines, "")


def _is_ignored(name: str) -> bool:
    return name.startswith(".") or name in _IGNORED_NAMES or name.endswith(_IGNORED_ENDINGS)


def _variable_dirs(sources: Sequence[str]) -> list[Path]:
    found = []
    for source in sources:
        if not _is_host_list(source):
            path = Path(source)
            found.append(path if path.is_dir() else path.parent)
    return found
