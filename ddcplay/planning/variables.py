"""The variables a host's templates see, in the precedence of design §4, with ours above them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ddcplay.model.inventory import Host
from ddcplay.model.playbook import Play, ProbeEntry
from ddcplay.planning.connection_names import SMB_PORT
from ddcplay.templating.environment import Scope

MAGIC_NAMES = frozenset(
    {
        "inventory_hostname",
        "inventory_hostname_short",
        "group_names",
        "experiment",
        "play_name",
        "probe_name",
        "host",
        "static",
    }
)
"""Names that are ours; a variable written under one of them is never seen."""

CONNECTION_PREFIX = "ansible_"
_PROBE_VARS_POSITION = 1  # below -e, above the play's


class HostVariables(Mapping[str, object]):
    """`host.vars`: the inventory's variables of a host, rendered one by one when they are asked for.

    Args:
        names: what the inventory gives the host.
        scope: where values come from.
    """

    def __init__(self, names: Mapping[str, object], scope: Scope) -> None:
        self._names = names
        self._scope = scope

    def __getitem__(self, name: str) -> object:
        if name not in self._names:
            raise KeyError(name)
        return self._scope[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


def host_scope(
    play: Play, host: Host, extra_vars: Mapping[str, object], static: Mapping[str, object]
) -> Scope:
    """Return what the templates of a play see on one host, before a probe adds its own variables.

    Args:
        play: its `vars` stand above the host's.
        host: its variables, `-e` and the play's are templates; its facts are not.
        extra_vars: `-e`, above everything.
        static: the host's last stored static facts, values that came from the target.
    """
    fallback = {"ansible_host": host.name}
    host_value: dict[str, object] = {"name": host.name, "groups": list(host.groups)}
    facts: dict[str, object] = {
        "inventory_hostname": host.name,
        "inventory_hostname_short": host.name.split(".", 1)[0],
        "group_names": sorted(host.groups) or ["ungrouped"],
        "experiment": play.experiment,
        "play_name": play.name,
        "host": host_value,
        "static": static,
    }
    scope = Scope((extra_vars, play.vars, host.vars, fallback), facts)
    host_value["vars"] = HostVariables(host.vars, scope)
    return scope


def probe_scope(scope: Scope, entry: ProbeEntry) -> Scope:
    """Return what one probe's templates see."""
    return scope.over(entry.vars, _PROBE_VARS_POSITION, {"probe_name": entry.name})


def connection_variables(variables: Mapping[str, object]) -> dict[str, object]:
    """Return the variables that say how to connect: Ansible's, and the one of ours."""
    return {
        name: value
        for name, value in variables.items()
        if name.startswith(CONNECTION_PREFIX) or name == SMB_PORT
    }
