"""The `vars_files` of a play: YAML mappings beside the playbook or in the project root."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ddcplay.config.reading import Reading, UnrenderedError
from ddcplay.config.values import check_variable_names
from ddcplay.config.words import WrongValueError, describe
from ddcplay.config.yaml_marks import Loc, Marked, is_file, read_yaml
from ddcplay.errors import ConfigError


def read_vars_files(
    reading: Reading,
    written: object,
    loc: Loc,
    variables: Mapping[str, object],
    folders: tuple[Path, ...],
) -> dict[str, Mapping[str, object]]:
    """Read the files in order; a later one wins over an earlier one.

    Args:
        reading: the playbook and its problems; what is wrong in the files is noted there too.
        written: the value of `vars_files`.
        loc: where it stands.
        variables: what a template in a file's name may use.
        folders: where to look, best first.

    Returns:
        File as written → its variables.
    """
    items = [written] if isinstance(written, str) else written
    found: dict[str, Mapping[str, object]] = {}
    for index, item in enumerate(items if isinstance(items, list) else []):
        here = (*loc, index) if isinstance(written, list) else loc
        try:
            name = reading.rendered(item, here, variables)
        except UnrenderedError:
            continue
        # Anything but text is told by the play's model, which sees the list as it was written.
        if isinstance(name, str) and name.strip():
            found[str(name)] = _read_one(reading, name, here, folders)
    return found


def _read_one(reading: Reading, name: str, loc: Loc, folders: tuple[Path, ...]) -> Mapping[str, object]:
    candidates = list(dict.fromkeys(folder / name for folder in folders))
    path = next((path for path in candidates if is_file(path)), None)
    if path is None:
        looked = ", ".join(str(path) for path in candidates)
        reading.report(reading.marked.place(loc), f"there is no file {name!r}", f"looked for {looked}")
        return {}
    try:
        marked = read_yaml(path)
    except ConfigError as error:
        reading.problems.extend(error.problems)
        return {}
    reading.problems.extend(marked.problems)
    return _variables(reading, marked)


def _variables(reading: Reading, marked: Marked) -> Mapping[str, object]:
    if marked.text.startswith("$ANSIBLE_VAULT;"):
        hint = "keep secrets in the inventory, or refer to them by env:NAME or file:PATH"
        reading.report(marked.place(()), "a vaulted vars file is not yet supported", hint)
        return {}
    data = {} if marked.data is None else marked.data
    if not isinstance(data, Mapping):
        reading.report(
            marked.place(()), f"a vars file must be a mapping, not {describe(data)}", "write name: value"
        )
        return {}
    for name in data:
        try:
            check_variable_names({name: None})
        except WrongValueError as error:
            reading.report(marked.key_place((name,)), str(error), error.hint)
    return data
