"""The key with which an experiment hides user names: made once, kept beside its data, given to its probes."""

from __future__ import annotations

import os
import secrets
from dataclasses import replace
from pathlib import Path

from ddcplay.model.plan import HostPlan, Plan, ProbeSpec
from ddcplay.store.faults import store_faults
from ddcplay.store.files import make_private_directory, open_private, write_all

FILE = "users.key"
_KIND = "w32probe"
_LENGTH = 32


def with_users_key(plan: Plan, directory: Path) -> Plan:
    """Hand the experiment's key to the probes that need one.

    Args:
        plan: of the experiment.
        directory: of the experiment; the key is made there (0600) when it has none.

    Raises:
        StoreError: it can be neither read nor made.
    """
    if not any(probe.kind == _KIND for host in plan.hosts for probe in host.probes):
        return plan
    from ddcplay.probing.w32probe_sessions import UsersKey  # noqa: PLC0415 - plays without such probes do not pay

    key = UsersKey(_key(directory))
    changed: dict[int, ProbeSpec] = {}

    def keyed(probe: ProbeSpec) -> ProbeSpec:
        if probe.kind != _KIND:
            return probe
        if id(probe) not in changed:  # one object serves all hosts, and goes on doing so
            changed[id(probe)] = replace(probe, options={**probe.options, "users_key": key})
        return changed[id(probe)]

    def completed(host: HostPlan) -> HostPlan:
        return replace(host, probes=tuple(keyed(probe) for probe in host.probes))

    return replace(plan, hosts=tuple(completed(host) for host in plan.hosts))


def _key(directory: Path) -> bytes:
    path = directory / FILE
    with store_faults("read the users' key", str(path)):
        try:
            descriptor = open_private(path, os.O_RDONLY)
        except FileNotFoundError:
            make_private_directory(directory)
            key = secrets.token_bytes(_LENGTH)
            descriptor = open_private(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
            try:
                write_all(descriptor, key)
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            return key
        try:
            return os.read(descriptor, 4096)
        finally:
            os.close(descriptor)
