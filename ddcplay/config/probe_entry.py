"""One probe of a play: read as written, and later, rendered for a host, turned into a `ProbeSpec`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

from pydantic import ValidationError

from ddcplay import plugins
from ddcplay.config.documents import (
    DEFAULTS,
    KIND_OPTIONS,
    KINDS,
    OPTIONS,
    PROBE,
    DefaultsDocument,
    ProbeDocument,
    ProbeOptions,
    check_body,
    codec_of,
)
from ddcplay.config.filter_entry import FilterSources, read_filters
from ddcplay.config.probe_file import FILE_KINDS, ProbeFiles
from ddcplay.config.reading import Reading, UnrenderedError, as_mapping
from ddcplay.config.validation import describe_findings, refuse_later, validate
from ddcplay.config.values import Rendered, is_template
from ddcplay.config.words import WrongValueError, describe
from ddcplay.config.yaml_marks import Loc
from ddcplay.errors import ConfigError, Place, Problem
from ddcplay.model.inventory import SecretRef
from ddcplay.model.plan import ProbeSpec
from ddcplay.model.playbook import FilterEntry, ProbeEntry
from ddcplay.model.probe_file import OPTION, ProbeFile

_OPTION_KEYS = frozenset(info.alias or name for name, info in ProbeOptions.model_fields.items())
_UTF8 = 65001
_MERGED_KEYS = ("env", "vars")
_SPEC_NAMES = {
    "copy_": "copy",
    "timeout": "timeout_s",
    "max_output": "max_output_bytes",
    "retry_delay": "retry_delay_s",
    "recheck": "recheck_s",
}


def read_probes(
    reading: Reading, play: Mapping[Any, Any], loc: Loc, sources: FilterSources
) -> tuple[ProbeEntry, ...]:
    """Read the probes of a play with its `defaults` merged in.

    Args:
        reading: document and problems; everything wrong is noted there.
        play: the play's mapping.
        loc: where it stands.
        sources: what names and tags may be rendered with, and where filters are looked for.

    Returns:
        The probes that could be read, in order.
    """
    defaults = _read_defaults(reading, play.get("defaults"), (*loc, "defaults"), sources)
    entries: list[ProbeEntry] = []
    names: dict[str, Place] = {}
    written = play.get("probes")
    for index, raw in enumerate(written if isinstance(written, list) else []):
        entry = _read_probe(reading, raw, (*loc, "probes", index), defaults, sources)
        if entry is None:
            continue
        entries.append(entry)
        first = names.setdefault(entry.name.casefold(), entry.place)
        if first is not entry.place:
            hint = f"the first is in line {first.line}; file names do not tell upper and lower case apart"
            reading.report(entry.places["name"], f"two probes are named {entry.name!r}", hint)
    return tuple(entries)


@dataclass(frozen=True, slots=True)
class _Defaults:
    """The play's `defaults` as written, checked, and their chain."""

    data: dict[Any, Any] = field(default_factory=dict)
    document: DefaultsDocument = field(default_factory=DefaultsDocument)
    filters: tuple[FilterEntry, ...] = ()


def _read_defaults(reading: Reading, raw: object, loc: Loc, sources: FilterSources) -> _Defaults:
    data = as_mapping(raw)
    if data is None:
        return _Defaults()
    data = refuse_later("probe", refuse_later("kind", data, reading, loc), reading, loc)
    data = _render_tags(reading, data, loc, sources.variables)
    document = cast("DefaultsDocument | None", validate(DEFAULTS, _now(data), reading, loc))
    filters = read_filters(reading, data.get("filters"), (*loc, "filters"), sources)
    return _Defaults(data, document or DefaultsDocument(), filters)


def _read_probe(
    reading: Reading,
    raw: object,
    loc: Loc,
    defaults: _Defaults,
    sources: FilterSources,
) -> ProbeEntry | None:
    written = as_mapping(raw)
    if written is None:
        hint = "write - name: ..., and below it what to run, such as command: hostname"
        reading.report(reading.marked.place(loc), f"a probe must be a mapping, not {describe(raw)}", hint)
        return None
    data = refuse_later("probe", refuse_later("kind", written, reading, loc), reading, loc)
    kind = _find_kind(reading, data, written, loc)
    body = data.pop(kind, None) if kind else None
    data = _render_tags(reading, data, loc, sources.variables)
    document = cast("ProbeDocument | None", validate(PROBE, _now(data), reading, loc))
    filters = read_filters(reading, data.get("filters"), (*loc, "filters"), sources)
    if kind is None or document is None:
        return None
    _refuse_other_kinds(reading, kind, data, loc)
    entry = _assemble(reading, kind, body, data, document, defaults, loc)
    # A probe's own chain replaces that of `defaults`, an empty one, too.
    entry = replace(entry, filters=filters if "filters" in data else defaults.filters)
    if not is_template(body) or not entry.template:
        _check_body_now(reading, entry)
    return entry


def _check_body_now(reading: Reading, entry: ProbeEntry) -> None:
    wrong = check_body(entry.kind, entry.body)
    if wrong:
        reading.report(entry.places[entry.kind], f"{entry.kind!r} {wrong}")


def _refuse_other_kinds(reading: Reading, kind: str, data: Mapping[Any, Any], loc: Loc) -> None:
    """Refuse a key written at the probe itself that only another kind reads; plug-ins may read any."""
    for key, owners in KIND_OPTIONS.items():
        if key in data and kind in KINDS and kind not in owners:
            owner = "` and `".join(owners)
            hint = f"remove it, or put it into `defaults` when it is meant for `{owner}` probes"
            reading.report(
                reading.marked.key_place((*loc, key)),
                f"{key!r} means something to `{owner}` probes alone",
                hint,
            )


def _find_kind(reading: Reading, data: dict[Any, Any], written: Mapping[Any, Any], loc: Loc) -> str | None:
    """Return the one key that says what to run; anything but exactly one is noted."""
    known = PROBE.known_keys()
    unknown = [key for key in data if isinstance(key, str) and key not in known]
    # Plug-ins are only asked about when a word needs them: listing them reads every package's metadata.
    brought = set(plugins.names("ddcplay.probes")) if unknown else set()
    kinds = [key for key in data if key in KINDS or (key in unknown and key in brought)]
    if len(kinds) > 1:
        hint = f"it runs {kinds[0]!r} already; make two probes of it"
        reading.report(reading.marked.key_place((*loc, kinds[1])), "a probe has exactly one kind", hint)
        for extra in kinds[1:]:
            del data[extra]
    told = len(data) < len(written) or len(unknown) > len([kind for kind in kinds if kind in unknown])
    if not kinds and not told:
        hint = f"add one of {', '.join(KINDS)}"
        reading.report(reading.marked.place(loc), "the probe does not say what to run", hint)
    return kinds[0] if kinds else None


def _render_tags(
    reading: Reading, data: dict[Any, Any], loc: Loc, variables: Mapping[str, object]
) -> dict[Any, Any]:
    """Render what must be known before any host is: the probe's name and tags."""
    result = dict(data)
    for key in ("name", "tags", "every"):
        if key not in data:
            continue
        try:
            result[key] = reading.rendered(data[key], (*loc, key), variables)
        except UnrenderedError:
            result[key] = "unrendered"
    return result


def _now(data: Mapping[Any, Any]) -> dict[Any, Any]:
    """Leave out the options that can only be checked once they are rendered for a host."""
    return {key: value for key, value in data.items() if key not in _OPTION_KEYS or not is_template(value)}


def _assemble(
    reading: Reading,
    kind: str,
    body: object,
    data: Mapping[Any, Any],
    document: ProbeDocument,
    defaults: _Defaults,
    loc: Loc,
) -> ProbeEntry:
    default_data, default_document = defaults.data, defaults.document
    merged = {**default_data, **data}
    for key in _MERGED_KEYS:
        if isinstance(default_data.get(key), Mapping) and isinstance(data.get(key), Mapping):
            merged[key] = {**default_data[key], **data[key]}
    default_loc = (*loc[:-2], "defaults")
    places = {key: reading.marked.place((*default_loc, key)) for key in default_data}
    places |= {key: reading.marked.place((*loc, key)) for key in (*data, kind)}
    own = document.model_fields_set

    def chosen(key: str) -> Any:
        return getattr(document if key in own else default_document, key)

    return ProbeEntry(
        name=str(document.name),
        kind=kind,
        body=body,
        options={key: value for key, value in merged.items() if key in _OPTION_KEYS},
        when=chosen("when"),
        tags=chosen("tags"),
        vars=merged.get("vars", {}),
        template=chosen("template"),
        every_s=chosen("every") or None,
        place=reading.marked.place(loc),
        places=places,
    )


def build_probe(
    entry: ProbeEntry, rendered: Mapping[str, object], host: str, files: ProbeFiles | None = None
) -> ProbeSpec:
    """Turn a probe whose templates were rendered for one host into what a visit runs.

    Args:
        entry: as `read_playbook` gave it.
        rendered: the body under the kind's key, and every option of `entry.options`.
        host: the host's name, for messages.
        files: finds what `exe` and `script` name; without it they are looked for where the user stands.

    Raises:
        ConfigError: a rendered value is not what its key takes, with the place of the key and the host.
    """
    body = rendered.get(entry.kind)
    options = {
        key: _finished(value, entry.options.get(key)) for key, value in rendered.items() if key != entry.kind
    }
    problems = []
    wrong = check_body(entry.kind, body)
    if wrong:
        problems.append(_on_host(entry, entry.kind, host, f"{entry.kind!r} {wrong}", ""))
    try:
        document = ProbeOptions.model_validate(options)
    except ValidationError as error:
        for key, message, hint in describe_findings(OPTIONS, error):
            problems.append(_on_host(entry, key, host, message, hint))
        # Pydantic's own text shows the values, and a rendered value may be one nobody should read.
        raise ConfigError(problems) from None
    values = {_SPEC_NAMES.get(key, key): getattr(document, key) for key in document.model_fields_set}
    own = {key: values.pop(key) for key in KIND_OPTIONS if key in values}
    if entry.kind in FILE_KINDS and not wrong:
        found = _file(entry, str(body).strip(), own, files or ProbeFiles((Path(),), ""))
        if isinstance(found, WrongValueError):
            problems.append(_on_host(entry, entry.kind, host, str(found), found.hint))
        else:
            own[OPTION] = found
    if own:
        values["options"] = own
    if "env" in values:
        values["env"] = tuple(values["env"].items())
    if "stdin" in values:
        values["stdin"] = _encoded(entry, document, host, problems)
    if problems:
        raise ConfigError(problems)
    return ProbeSpec(entry.name, entry.kind, body.rstrip("\r\n") if isinstance(body, str) else body, **values)


def _file(
    entry: ProbeEntry, body: str, own: dict[str, Any], files: ProbeFiles
) -> ProbeFile | WrongValueError:
    """Find a probe's file, and take what says how it is sent out of the kind's own options."""
    how = {key: own.pop(key) for key in ("copy", "cleanup", "remote_dir") if key in own}
    try:
        return files.find(entry.kind, body, entry.name, **how)
    except WrongValueError as error:
        return error


def _finished(value: object, written: object) -> object:
    """Mark text that a template made, so that a number in it may stand for one."""
    if isinstance(value, list):
        parts = (
            written if isinstance(written, list) and len(written) == len(value) else [written] * len(value)
        )
        return [_finished(item, part) for item, part in zip(value, parts, strict=True)]
    if type(value) is str and is_template(written):
        return Rendered(value)
    return value


def _on_host(entry: ProbeEntry, key: str, host: str, message: str, hint: str) -> Problem:
    place: Place = entry.places.get(key, entry.place)
    return Problem(place, f"probe {entry.name!r} on host {host!r}: {message}", hint)


def _encoded(
    entry: ProbeEntry, document: ProbeOptions, host: str, problems: list[Problem]
) -> bytes | SecretRef:
    """Give standard input in the code page of the remote shell, which is how its program reads it."""
    if isinstance(document.stdin, SecretRef):
        return document.stdin
    codepage = document.codepage or _UTF8
    try:
        return document.stdin.encode(codec_of(codepage) or "utf-8")
    except UnicodeEncodeError as error:
        bad = document.stdin[error.start]
        message = f"'stdin' holds {bad!r}, which code page {codepage} does not have"
        problems.append(_on_host(entry, "stdin", host, message, "remove it, or write codepage: 65001"))
        return b""
