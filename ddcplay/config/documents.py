"""The playbook language as Pydantic models: which keys exist and what each may hold (design §3).

Defaults stand in `ddcplay.model` alone: a field that was not written is absent from `model_fields_set`, and
whoever builds the value leaves it to the dataclass.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, model_validator

from ddcplay.config.alerts_document import ALERTS, REPORT, AlertsDocument, ReportDocument
from ddcplay.config.probe_file import FILE_KINDS, check_remote_dir
from ddcplay.config.schedule_document import STRICT, ScheduleDocument, SingleShotDocument
from ddcplay.config.validation import Level
from ddcplay.config.values import (
    Duration,
    FileName,
    Interval,
    PositiveDuration,
    Rendered,
    Size,
    Tags,
    Text,
    Texts,
    TimeZone,
    Truth,
    Variables,
    Whole,
)
from ddcplay.config.words import WrongValueError, describe, nearest
from ddcplay.model.codebook import SECTIONS, USERS
from ddcplay.model.inventory import SecretRef
from ddcplay.model.playbook import PingMethod
from ddcplay.model.result import Reason

KINDS = ("command", "powershell", "script", "exe", "wmi", "w32probe")
"""Kinds this program brings itself; others come as plug-ins of group `ddcplay.probes`."""

KIND_OPTIONS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "namespace": ("wmi",),
        "output": ("powershell",),
        "execution_policy": ("script",),
        **dict.fromkeys(("args", "copy", "cleanup", "remote_dir"), FILE_KINDS),
    }
)
"""Key → the kinds of ours that read it; it ends in the `options` of the `ProbeSpec`."""

_RETRYABLE = (Reason.TRANSPORT, Reason.QUOTA, Reason.TIMEOUT, Reason.EXIT_CODE, Reason.WQL)
_MAX_EXIT_CODE = 2**32 - 1
_CMD_LENGTH = 8191
_CONTROL = re.compile("[\x01-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")
"""What XML 1.0 and so WinRM cannot carry (production 2); lone surrogates never get through YAML."""


class Document(BaseModel):
    """A mapping of the language: unknown keys refused, nothing converted behind the author's back."""

    model_config = STRICT


def _exit_codes(value: Any) -> tuple[int, ...]:
    """Read one exit code or several; negative ones are Windows' NTSTATUS written as signed numbers."""
    items = value if isinstance(value, list | tuple) else [value]
    codes = []
    for item in items:
        number = int(item) if isinstance(item, Rendered) and item.strip().lstrip("-").isdecimal() else item
        if isinstance(number, bool) or not isinstance(number, int):
            raise WrongValueError(f"must be whole numbers, not {describe(item)}", "write [0, 1]")
        if not -(2**31) <= number <= _MAX_EXIT_CODE:
            raise WrongValueError(f"{str(number)[:20]} is no exit code", "write 0 to 4294967295")
        codes.append(number % 2**32)
    if not codes:
        raise WrongValueError("is an empty list", "write [0], or remove the key")
    return tuple(codes)


def _reasons(value: Any) -> tuple[Reason, ...]:
    items = [value] if isinstance(value, str) else value
    if not isinstance(items, list | tuple):
        raise WrongValueError(f"must be a list of reasons, not {describe(value)}", "write [transport]")
    for item in items:
        if isinstance(item, str) and item in {Reason.AUTH, Reason.AUTH_BLOCKED}:
            raise WrongValueError(
                f"{item!r} is never tried again", "a second wrong password may lock the account"
            )
        if not isinstance(item, str) or item not in _RETRYABLE:
            known = ", ".join(_RETRYABLE)
            raise WrongValueError(f"{describe(item)} is no reason to try again", f"known: {known}")
    return tuple(Reason(item) for item in items)


def _environment(value: Any) -> Any:
    """Check names and values of environment variables; Windows does not tell their case apart."""
    if not isinstance(value, dict):
        return value
    seen: dict[str, str] = {}
    result: dict[str, str | SecretRef] = {}
    for name, item in value.items():
        if not isinstance(name, str) or not name or any(char in name for char in "=\0\r\n"):
            raise WrongValueError(
                f"{name!r} cannot be an environment variable", "use letters, digits and '_'"
            )
        if name.upper() in seen:
            raise WrongValueError(
                f"{seen[name.upper()]!r} and {name!r} are one variable in Windows", "remove one", (name,)
            )
        seen[name.upper()] = name
        if isinstance(item, SecretRef):
            result[name] = item
            continue
        if isinstance(item, bool) or not isinstance(item, str | int | float):
            raise WrongValueError(f"{name!r} must be text, not {describe(item)}", "put it in quotes", (name,))
        if "\0" in str(item):
            raise WrongValueError(f"{name!r} holds a NUL character", "remove it", (name,))
        if bad := _CONTROL.search(str(item)):
            raise WrongValueError(
                f"{name!r} holds {_shown(bad)}, which WinRM cannot carry", "remove it", (name,)
            )
        result[name] = str(item)
    return result


def _shown(found: re.Match[str]) -> str:
    return f"the control character U+{ord(found[0]):04X}"


def _arguments(value: Any) -> tuple[str, ...]:
    """Read the arguments of a program; numbers stand for their digits."""
    if not isinstance(value, list | tuple):
        hint = "write one item per argument: [--quick, C:]"
        raise WrongValueError(f"must be a list of texts, not {describe(value)}", hint)
    for item in value:
        if isinstance(item, bool) or not isinstance(item, str | int | float):
            raise WrongValueError(f"an argument is {describe(item)}, not text", "put it in quotes")
    return tuple(str(item) for item in value)


def _codepage(value: Any) -> Any:
    value = int(value) if isinstance(value, Rendered) and value.strip().isdecimal() else value
    if isinstance(value, int) and not isinstance(value, bool) and codec_of(value) is None:
        raise WrongValueError(
            f"there is no code page {str(value)[:20]}", "write 65001 (UTF-8), 850, 437, 1252 …"
        )
    return value


def codec_of(codepage: int) -> str | None:
    """Return Python's codec for a Windows code page, None when it has none."""
    name = "utf-8" if codepage == 65001 else f"cp{codepage}"
    try:
        return codecs.lookup(name).name if 0 < codepage <= 65535 else None
    except LookupError:
        return None


def _when(value: Any) -> tuple[str, ...]:
    """Read one expression or several, all of which must hold."""
    items = value if isinstance(value, list) else [value]
    expressions = tuple(str(item).lower() if isinstance(item, bool) else item for item in items)
    for item in expressions:
        if not isinstance(item, str) or not item.strip():
            raise WrongValueError(
                f"must be an expression, not {describe(item)}", "write when: \"drive == 'C:'\""
            )
        if "{{" in item or "{%" in item:
            raise WrongValueError("takes a bare expression", "leave out the {{ }}: when: \"drive == 'C:'\"")
    if not expressions:
        raise WrongValueError("is an empty list", "write an expression, or remove the key")
    return expressions


def _recheck(seconds: float) -> float:
    if seconds < 1:
        raise WrongValueError("must be at least 1s", "every look is a request to the target")
    return seconds


def check_body(kind: str, body: object) -> str | None:
    """Say what is wrong with the value of a probe's kind, as far as it can be known.

    Args:
        kind: such as `command`; of kinds brought by plug-ins nothing is known here.
        body: its value, rendered or without templates.
    """
    if kind not in KINDS:
        return None
    if kind == "wmi" and isinstance(body, Mapping):
        return _check_queries(body)
    if kind == "w32probe":
        return _check_w32probe(body)
    if not isinstance(body, str):
        wanted = "a query or a mapping of queries" if kind == "wmi" else "text"
        return f"must be {wanted}, not {describe(body)}"
    if not body.strip():
        return "is empty"
    if "\0" in body:
        return "holds a NUL character"
    if kind == "command" and (bad := _CONTROL.search(body)):
        return f"holds {_shown(bad)}, which WinRM cannot carry"
    if kind == "command" and "\n" in body.strip():
        return "must be one line, cmd.exe drops the rest: join them with &, or use `powershell`"
    if kind == "command" and len(body) > _CMD_LENGTH:
        return f"has {len(body)} characters; cmd.exe takes {_CMD_LENGTH}"
    return None


def _check_queries(queries: Mapping[Any, Any]) -> str | None:
    """Say what is wrong with named queries; what is no WQL is refused by the kind itself."""
    if not queries:
        return "is empty"
    for name, query in queries.items():
        if not isinstance(name, str) or not name.strip():
            return f"has a query whose name is {describe(name)}; names are text"
        if not isinstance(query, str) or not query.strip():
            return f"has a query {name!r} that is {describe(query)}; a query is text"
    return None


def _check_w32probe(options: object) -> str | None:
    """Say what is wrong with the options of `w32probe`; nothing written means all of its defaults."""
    if options is None:
        return None
    if not isinstance(options, Mapping):
        return f"must be a mapping of options, or empty, not {describe(options)}"
    for key, value in options.items():
        if key == "users":
            if value not in USERS:
                return f"has `users` that is {describe(value)}; known: {', '.join(USERS)}"
        elif key == "sections":
            chosen = [value] if isinstance(value, str) else value
            if not isinstance(chosen, list | tuple) or not chosen:
                return f"has `sections` that is {describe(value)}; write a list of {', '.join(SECTIONS)}"
            for section in chosen:
                if section not in SECTIONS:
                    return f"has no section {section!r}{_meant(section, SECTIONS)}"
        else:
            return f"has no option {key!r}{_meant(key, ('users', 'sections'))}"
    return None


def _meant(word: object, known: Collection[str]) -> str:
    close = nearest(word, known) if isinstance(word, str) else None
    return f"; did you mean {close!r}?" if close else f"; known: {', '.join(known)}"


class ProbeOptions(Document):
    """Keys of a probe that are rendered per host and end in a `ProbeSpec`."""

    timeout: PositiveDuration = 0
    max_output: Size = 0
    ok_codes: Annotated[tuple[int, ...], BeforeValidator(_exit_codes)] = ()
    retries: Annotated[Whole, Field(ge=0, le=100)] = 0
    retry_delay: Duration = 0
    retry_on: Annotated[tuple[Reason, ...], BeforeValidator(_reasons)] = ()
    env: Annotated[dict[str, str | SecretRef], BeforeValidator(_environment)] = {}
    chdir: Text = ""
    stdin: str | SecretRef = ""
    codepage: Annotated[int, BeforeValidator(_codepage)] = 0
    keep: Literal["always", "on_failure", "on_change", "never"] = "always"
    priority: Literal["low", "below_normal", "normal"] = "low"
    kill_tree: Truth = True
    exclusive: Truth = False
    recheck: Annotated[PositiveDuration, AfterValidator(_recheck)] = 0
    namespace: Text = ""
    output: Literal["text", "objects"] = "text"
    args: Annotated[tuple[str, ...], BeforeValidator(_arguments)] = ()
    copy_: Annotated[Literal["auto", "smb", "winrm"], Field(alias="copy")] = "auto"
    cleanup: Literal["visit", "experiment", "never"] = "visit"
    remote_dir: Annotated[Text, AfterValidator(check_remote_dir)] = ""
    execution_policy: Literal["bypass", "unrestricted", "remotesigned", "allsigned"] = "bypass"


class DefaultsDocument(ProbeOptions):
    """The play's `defaults`: any probe key but its name and kind."""

    when: Annotated[tuple[str, ...], BeforeValidator(_when)] = ()
    tags: Tags = ()
    vars: Variables = {}
    template: bool = True
    every: Interval = 0
    filters: list[Any] = []


class ProbeDocument(DefaultsDocument):
    """One entry of `probes`, its kind taken out."""

    name: FileName


class PingDocument(Document):
    """How the pool is swept; a bare word is the method."""

    method: Literal["auto", "tcp", "icmp", "identify", "none"] = "auto"
    timeout: PositiveDuration = 0
    attempts: Annotated[Whole, Field(ge=1, le=100)] = 1

    @model_validator(mode="before")
    @classmethod
    def _bare_word(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        if value not in set(PingMethod):
            close = nearest(value, PingMethod)
            hint = f"did you mean {close!r}?" if close else f"known: {', '.join(PingMethod)}"
            raise WrongValueError(f"{describe(value)} is no way to ping", hint)
        return {"method": str(value)}


_OPTIONAL = ("schedule", "report")


class PlayDocument(Document):
    """One play; its probes are checked one by one."""

    name: Annotated[str, Field(min_length=1, max_length=200)]
    hosts: Texts
    probes: Annotated[list[Any], Field(min_length=1)]
    experiment: FileName = ""
    vars: Variables = {}
    vars_files: Texts = ()
    timezone: TimeZone = ""
    schedule: ScheduleDocument | None = None
    ping: PingDocument = PingDocument()
    concurrency: Annotated[Whole, Field(ge=1, le=100_000)] = 1
    late_sweep: Truth = False
    connect_timeout: PositiveDuration = 0
    visit_timeout: PositiveDuration = 0
    rooms: Texts = ()
    defaults: dict[str, Any] = {}
    alerts: AlertsDocument = AlertsDocument()
    report: ReportDocument | None = None

    @model_validator(mode="before")
    @classmethod
    def _parts_are_written(cls, value: Any) -> Any:
        # None is the model's "not written"; in a file it is a forgotten value.
        if isinstance(value, dict):
            return {key: {} if key in _OPTIONAL and part is None else part for key, part in value.items()}
        return value


def _belongs(model: type[BaseModel], hint: str) -> dict[str, str]:
    names = (info.alias or name for name, info in model.model_fields.items())
    return {name: hint.format(name) for name in names}


SINGLE_SHOT = Level(
    "single shot",
    SingleShotDocument,
    {},
    _belongs(ScheduleDocument, "`{}` belongs to the schedule, not to its single_shot"),
)
SCHEDULE = Level(
    "schedule",
    ScheduleDocument,
    {"single_shot": SINGLE_SHOT},
    _belongs(PlayDocument, "`{}` belongs to the play, not to its schedule")
    | _belongs(SingleShotDocument, "`{0}` belongs to single_shot: write single_shot: {{{0}: ...}}"),
)
PING = Level("ping policy", PingDocument, {}, {})
PLAY = Level(
    "play",
    PlayDocument,
    {"schedule": SCHEDULE, "ping": PING, "alerts": ALERTS, "report": REPORT},
    _belongs(DefaultsDocument, "`{0}` belongs to probes; for all of them write defaults: {{{0}: ...}}")
    | _belongs(ScheduleDocument, "`{0}` belongs to the schedule: write schedule: {{{0}: ...}}")
    | dict.fromkeys(KINDS, "what to run is listed under `probes`, each with its name"),
)
PROBE = Level(
    "probe",
    ProbeDocument,
    {},
    _belongs(PlayDocument, "`{}` belongs to the play, not to a probe"),
    besides=KINDS,
)
DEFAULTS = Level(
    "defaults",
    DefaultsDocument,
    {},
    _belongs(PlayDocument, "`{}` belongs to the play itself")
    | dict.fromkeys(KINDS, "each probe says itself what it runs")
    | {"name": "each probe has a name of its own"},
)
OPTIONS = Level("probe", ProbeOptions, {}, {})
