"""Settings of the program: `ddcplay.yml`, then `DDCPLAY_*`, then flags; the later one wins (design §4)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from pydantic import BaseModel

from ddcplay.config.reading import Reading, stop_on
from ddcplay.config.settings_document import (
    SETTINGS,
    SettingsDocument,
    from_environment,
    refuse_near_misses,
)
from ddcplay.config.validation import validate
from ddcplay.config.values import Rendered
from ddcplay.config.words import describe
from ddcplay.config.yaml_marks import Marked, is_file, read_yaml
from ddcplay.errors import ConfigError, Place, Problem, UsageError
from ddcplay.model.inventory import SecretRef

FILE_NAME = "ddcplay.yml"
_NAMES = {
    "auth_retry": "auth_retry_s",
    "filter_timeout": "filter_timeout_s",
    "ramp": "ramp_per_s",
    "from_": "from_address",
    "timeout": "timeout_s",
    "archive": "archive_s",
    "attempts": "attempts_s",
    "samples": "samples_s",
}


@dataclass(frozen=True, slots=True)
class Retention:
    """How long data is kept, in seconds."""

    archive_s: float = 30 * 86400.0
    attempts_s: float = 90 * 86400.0
    samples_s: float = 400 * 86400.0


@dataclass(frozen=True, slots=True)
class Smtp:
    """The mail server.

    Args:
        host: name or address.
        port: 1 to 65535.
        from_address: the sender.
        username: None for no logon.
        password: a reference, None for no logon.
        starttls: encrypt before anything else is said.
        tls: `starttls`, `implicit` or `none`; None leaves it to `starttls` and to port 465 (implicit).
        ca_trust_path: PEM file of the authorities to trust; None for the system's.
        verify: check the server's certificate.
        timeout_s: for each step of a session, in seconds.
    """

    host: str
    from_address: str
    port: int = 587
    username: str | None = None
    password: SecretRef | None = None
    starttls: bool = True
    tls: str | None = None
    ca_trust_path: str | None = None
    verify: bool = True
    timeout_s: float = 30.0

    @property
    def encryption(self) -> str:
        """Return `starttls`, `implicit` (TLS from the first byte) or `none`."""
        if self.tls is not None:
            return self.tls
        if self.port == 465:
            return "implicit"
        return "starttls" if self.starttls else "none"


@dataclass(frozen=True, slots=True)
class _Layer:
    """One place settings come from; its relative paths start at `base`."""

    reading: Reading
    data: Mapping[Any, Any]
    base: Path


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that holds for the program and not for one playbook.

    Args:
        project_root: the directory of `ddcplay.yml`, else where the user stands.
        data_dir: where experiments are kept.
        inventory: absolute path or comma list; None = `inventories/` of the project.
        database: URL; a reference when it holds a password; None = SQLite beside the experiment.
        executor: plug-in of group `ddcplay.executors`.
        workers: most visits in flight over all plays.
        network_check: addresses that tell whether this machine is online.
        auth_breaker: refusals after which a credential is blocked.
        auth_retry_s: pause between trials of a blocked credential, in seconds.
        ramp_per_s: visits started per second at most.
        retention: how long data is kept.
        max_backlog: attempts that may wait for their filters.
        durability: `full` or `batch`.
        filter_timeout_s: what one filter call may take, in seconds.
        heartbeat: URL that is fetched while all is well; a reference because it is a secret.
        smtp: the mail server, None when there is none.
    """

    project_root: Path
    data_dir: Path
    inventory: str | None = None
    database: str | SecretRef | None = None
    executor: str = "threads"
    workers: int = 200
    network_check: tuple[str, ...] = ()
    auth_breaker: int = 2
    auth_retry_s: float = 3600.0
    ramp_per_s: float = 50.0
    retention: Retention = field(default_factory=Retention)
    max_backlog: int = 10_000
    durability: str = "full"
    filter_timeout_s: float = 30.0
    heartbeat: SecretRef | None = None
    smtp: Smtp | None = None


def load_settings(start: Path, environ: Mapping[str, str], overrides: Mapping[str, object]) -> Settings:
    """Gather the settings.

    Args:
        start: where the user stands; `ddcplay.yml` is looked for here and upwards.
        environ: the environment; `DDCPLAY_DATA_DIR`, `DDCPLAY_SMTP_HOST` … are read.
        overrides: flags, by the names of the settings; None means not given. `project_root` (`-C DIR`) names
            the directory of `ddcplay.yml` itself. Relative paths start at `start`, those of the file and of
            the environment at the project root.

    Raises:
        ConfigError: everything that is wrong, with file and line, variable or flag.
        UsageError: `-C` names no directory.
    """
    start = start.absolute()
    root = _project_root(start, overrides.get("project_root"))
    layers = (_of_file(root), _of_environment(environ, root), _of_flags(overrides, start))
    documents = [(_checked(layer), layer) for layer in layers]
    problems = [problem for layer in layers for problem in layer.reading.problems]
    stop_on(problems, layers[0].reading.marked.file)
    merged = _merged(documents)
    smtp = _smtp(merged.pop("smtp", {}), layers)
    retention = Retention(**merged.pop("retention", {}))
    merged.setdefault("data_dir", root / "data")
    return Settings(project_root=root, smtp=smtp, retention=retention, **merged)


def _project_root(start: Path, chosen: object) -> Path:
    if chosen is not None:
        root = (start / str(chosen)).absolute()
        if not root.is_dir():
            raise UsageError(f"-C {chosen}: there is no such directory", "name the directory of ddcplay.yml")
        return root
    return next((folder for folder in (start, *start.parents) if is_file(folder / FILE_NAME)), start)


def _of_file(root: Path) -> _Layer:
    path = root / FILE_NAME
    marked = read_yaml(path) if is_file(path) else Marked(str(path), "", None)
    reading = Reading(marked, None, list(marked.problems))
    data = {} if marked.data is None else marked.data
    if not isinstance(data, Mapping):
        reading.report(
            marked.place(()), f"the settings must be a mapping, not {describe(data)}", "write data_dir: data"
        )
        data = {}
    return _Layer(reading, data, root)


def _of_environment(environ: Mapping[str, str], root: Path) -> _Layer:
    data, places = from_environment(environ)
    reading = Reading(Marked("the environment", "", None, places), None)
    refuse_near_misses(environ, reading)
    return _Layer(reading, data, root)


def _of_flags(overrides: Mapping[str, object], start: Path) -> _Layer:
    data = {key: value for key, value in overrides.items() if value is not None and key != "project_root"}
    places = {(key,): Place("--" + key.replace("_", "-")) for key in data}
    plain = {key: str(value) if isinstance(value, Path) else value for key, value in data.items()}
    return _Layer(Reading(Marked("the command line", "", None, places), None), plain, start)


def _checked(layer: _Layer) -> SettingsDocument:
    document = cast("SettingsDocument | None", validate(SETTINGS, layer.data, layer.reading, ()))
    return document or SettingsDocument()


def _merged(documents: list[tuple[SettingsDocument, _Layer]]) -> dict[str, Any]:
    """Lay the later documents over the earlier ones, paths made absolute where each of them starts."""
    result: dict[str, Any] = {}
    for document, layer in documents:
        for key in sorted(document.model_fields_set):
            value = getattr(document, key)
            if isinstance(value, BaseModel):
                inner = {_NAMES.get(name, name): getattr(value, name) for name in value.model_fields_set}
                if "ca_trust_path" in inner:
                    inner["ca_trust_path"] = str(layer.base / inner["ca_trust_path"])
                result[key] = {**result.get(key, {}), **inner}
            elif key == "data_dir":
                result[key] = layer.base / value
            elif key == "inventory":
                # A comma makes it a list of hosts, as `-i pc1,` does for Ansible.
                result[key] = str(value) if "," in value else str(layer.base / value)
            else:
                result[_NAMES.get(key, key)] = str(value) if isinstance(value, Rendered) else value
    return result


def _smtp(values: dict[str, Any], layers: tuple[_Layer, ...]) -> Smtp | None:
    if not values:
        return None
    values = {key: str(value) if isinstance(value, Rendered) else value for key, value in values.items()}
    missing = [key for key, name in (("host", "host"), ("from", "from_address")) if not values.get(name)]
    if missing:
        reading = next((layer.reading for layer in layers if "smtp" in layer.data), layers[0].reading)
        place = reading.marked.place(("smtp",))
        raise ConfigError([Problem(place, f"smtp has no {key!r}", f"add {key}:") for key in missing])
    return Smtp(**values)
