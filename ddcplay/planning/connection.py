"""From Ansible's connection variables to a `Target`: where a host is and how to log on to it.

Names are Ansible's; three defaults are not. Without a port and a scheme nothing is assumed (the transport
tries 5986 with a valid certificate, then 5985 with message encryption), authentication is Kerberos or NTLM
instead of Basic, and Basic never goes over the wire in clear unless that is written too (design §4).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ddcplay.errors import ConfigError, Place, Problem, TemplateError
from ddcplay.model.inventory import Host, SecretRef
from ddcplay.model.plan import Target
from ddcplay.planning.connection_names import FIELDS, IGNORED
from ddcplay.planning.connection_values import READERS, WrongValueError, read_connection
from ddcplay.templating.values import is_template

Render = Callable[[str, object], object]
"""Renders one variable: its name and its value as written; secrets may come out as `SecretRef`."""

_READ_BEYOND_OPERATION_S = 10.0  # Ansible's and pypsrp's distance; at or below it a quiet command looks dead


def _never(_host: str) -> bool:
    return False


def build_target(
    host: Host,
    variables: Mapping[str, object],
    render: Render,
    *,
    per_host_secret: Callable[[str], bool] = _never,
) -> Target:
    """Read a host's connection variables.

    Args:
        host: the host; its name is the address when no `ansible_host` is written.
        variables: effective variables, as written; only names that begin with `ansible_` count.
        render: renders one of them.
        per_host_secret: says whether a host's password is its own (set at host level) instead of a group's.

    Returns:
        The target; nothing was contacted and no secret was looked up.

    Raises:
        ConfigError: something is wrong with one or several variables.
    """
    reading = _Reading(variables, render)
    connection = reading.take("ansible_connection", read_connection, "winrm")
    fields: dict[str, Any] = {"address": host.name, "connection": connection}
    for field, name in _chosen_names(variables, connection).items():
        value = reading.take(name, READERS[field], None)
        if value is not None:
            fields[field] = value
    _finish(fields, reading.problems)
    if reading.problems:
        raise ConfigError(reading.problems)
    return Target(host=host.name, shared_secret=not per_host_secret(host.name), **fields)


def ignored_warnings(names: Iterable[str]) -> tuple[str, ...]:
    """Say of which connection variables nothing is made, and why; one line per variable.

    Args:
        names: every variable name in use.
    """
    return tuple(f"{name} has no effect: {IGNORED[name]}" for name in sorted(IGNORED.keys() & set(names)))


def _chosen_names(variables: Mapping[str, object], connection: str) -> dict[str, str]:
    """Return, per field, the strongest name written: the connection's own, the general, the old one."""
    ranks = FIELDS[connection]
    found = sorted((ranks[name][0], name) for name in variables if name in ranks)
    chosen: dict[str, str] = {}
    for _, name in found:
        if variables[name] is not None:
            chosen.setdefault(ranks[name][1], name)
    return chosen


class _Reading:
    """Takes variables one by one and keeps what is wrong with them."""

    def __init__(self, variables: Mapping[str, object], render: Render) -> None:
        self._variables = variables
        self._render = render
        self.problems: list[Problem] = []

    def take(self, name: str, reader: Callable[[object], Any], default: Any) -> Any:
        """Return a variable's value as its reader reads it; a problem is noted, the default returned."""
        value = self._variables.get(name)
        if value is None:
            return default
        try:
            if is_template(value) or (isinstance(value, SecretRef) and value.scheme == "template"):
                value = self._render(name, value)
            return reader(value)
        except WrongValueError as error:
            message, hint = error.message, error.hint
        except TemplateError as error:
            message, hint = error.message, error.hint
            if isinstance(value, SecretRef) and message.startswith("not a template"):
                # The parser's words would show a piece of a password that merely holds braces.
                message, hint = "holds {{ but is no template", "use env:, file:, keyring: or cmd:"
        self.problems.append(Problem(Place("inventory"), f"{name}: {message}", hint))
        return default


def _finish(fields: dict[str, Any], problems: list[Problem]) -> None:
    """Fill in what follows from other fields, and refuse combinations that cannot work or would leak."""
    realm = fields.pop("realm", None)
    user = fields.get("user")
    if realm and user and "@" not in user and "\\" not in user:
        fields["user"] = f"{user}@{realm}"
    smb_port = fields.pop("smb_port", None)
    if smb_port is not None:
        fields["options"] = {"smb_port": smb_port}
    timeout = fields.pop("connection_timeout_s", None)
    if timeout is not None:
        fields.setdefault("operation_timeout_s", timeout)
    operation = fields.get("operation_timeout_s", Target.__dataclass_fields__["operation_timeout_s"].default)
    if "operation_timeout_s" in fields:
        fields.setdefault("read_timeout_s", operation + _READ_BEYOND_OPERATION_S)
    if fields.get("read_timeout_s", float("inf")) <= operation:
        message = f"the read timeout must be longer than the operation timeout of {operation:g} s"
        problems.append(Problem(Place("inventory"), message, "add 10 s to it"))
    _finish_scheme(fields, problems)


def _finish_scheme(fields: dict[str, Any], problems: list[Problem]) -> None:
    if fields.get("scheme") is None and "port" in fields:
        fields["scheme"] = "http" if fields["port"] == 5985 else "https"
    auth = fields.get("auth", ())
    in_clear_wanted = fields.get("message_encryption") == "never"
    if (
        fields.get("scheme") is None
        and auth
        and set(auth) <= {"basic", "certificate"}
        and not in_clear_wanted
    ):
        fields["scheme"] = "https"  # else the transport could fall back to a port where they are unprotected
    if fields.get("scheme") != "http":
        return
    if "basic" in auth and not in_clear_wanted:
        problems.append(
            Problem(
                Place("inventory"),
                "Basic over http would send the password in clear",
                "use https or ntlm/kerberos; if it must be: ansible_winrm_message_encryption: never",
            )
        )
    if "certificate" in auth:
        problems.append(
            Problem(
                Place("inventory"),
                "certificate authentication needs https",
                "remove scheme http or port 5985",
            )
        )
