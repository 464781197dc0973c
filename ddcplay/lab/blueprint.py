"""What a lab is made of: plain values that a test writes, a process passes on, and the server builds from."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from ddcplay.lab.faults import Fault

Scheme = Literal["negotiate", "kerberos", "basic", "certificate", "credssp"]
Power = Literal["on", "off", "timetable"]
OffMode = Literal["silent", "refused"]


@dataclass(frozen=True, slots=True)
class Quotas:
    """The limits of WinRM that count (defaults of Windows Server 2012 and later)."""

    shells_per_user: int = 30
    operations_per_user: int = 1500
    processes_per_shell: int = 25
    max_timeout_s: float = 60.0
    max_envelope_bytes: int = 512_000
    min_idle_s: float = 60.0


@dataclass(frozen=True, slots=True)
class LabHost:
    """One simulated PC.

    Args:
        name: inventory name; the computer name is made from it.
        groups: inventory groups, outermost first.
        user: the only account that may log on.
        password: its password.
        domain: NetBIOS domain of the account.
        schemes: what the 401 offers; `kerberos` and `credssp` are offered but not served.
        allow_unencrypted: take clear bodies over plain HTTP (needed for Basic without TLS).
        https: listen with TLS and the lab's certificate.
        cbt: `relaxed` or `strict` channel binding over HTTPS.
        power: on, off, or as the timetable says.
        off_mode: what a PC that is off looks like: `silent` (best effort, Linux) or `refused`.
        faults: planted from the start.
        quotas: of WinRM.
        backend: what runs its commands: our small cmd.exe, or real Win32 processes under Wine.
        has_tar: tar.exe is part of the system (Windows 10 1803 and later).
        windows: `7 10 11 server`; "" for one of the newer clients, as the lot falls.
        admin: the account may read every WMI namespace; else root/cimv2 alone.
    """

    name: str
    groups: tuple[str, ...] = ()
    user: str = "lab"
    password: str = "lab-Passw0rd"
    domain: str = "LAB"
    schemes: tuple[Scheme, ...] = ("negotiate", "basic")
    allow_unencrypted: bool = False
    https: bool = False
    cbt: Literal["relaxed", "strict"] = "relaxed"
    power: Power = "on"
    off_mode: OffMode = "silent"
    faults: tuple[Fault, ...] = ()
    quotas: Quotas = Quotas()
    backend: Literal["scripted", "wine"] = "scripted"
    has_tar: bool = True
    windows: Literal["", "7", "10", "11", "server"] = ""
    admin: bool = True


@dataclass(frozen=True, slots=True)
class LabConfig:
    """A whole lab.

    Args:
        hosts: at least one, names unique.
        seed: every fact of every machine follows from it.
        addressing: `ports`: one port per host on 127.0.0.1 (works everywhere) · `addresses`: own 127.x.y.z
            address, one port for all (Linux).
        starts_at: Unix time at which the lab's clock starts; None for the real time.
        speed: lab seconds per real second.
        wine_prefix: directory of the Wine hosts' drive C:, made when missing.
    """

    hosts: tuple[LabHost, ...]
    seed: int = 1
    addressing: Literal["ports", "addresses"] = "ports"
    starts_at: float | None = None
    speed: float = 1.0
    wine_prefix: str | None = None

    def __post_init__(self) -> None:
        names = [host.name for host in self.hosts]
        if not names or len(set(names)) != len(names):
            raise ValueError("a lab needs at least one host, and every name once")
        if self.wine_prefix is None and any(host.backend == "wine" for host in self.hosts):
            raise ValueError("hosts of backend `wine` need `wine_prefix`")


def school(  # noqa: PLR0913 - a convenience constructor; every argument has its default
    pcs: int = 169,
    rooms: int = 11,
    seed: int = 1,
    power: Power = "on",
    off_share: float = 0.0,
    *,
    addressing: Literal["ports", "addresses"] = "ports",
    starts_at: float | None = None,
    speed: float = 1.0,
    **host: Any,
) -> LabConfig:
    """Describe classrooms of PCs named `lab01-pc03` in groups `lab01` … under `labs`.

    Args:
        pcs: how many in all.
        rooms: over how many rooms they are spread.
        seed: of the lab.
        power: of every PC.
        off_share: this share of the PCs, evenly spread, is off whatever `power` says; 0 to 1.
        addressing: as in `LabConfig`.
        starts_at: as in `LabConfig`.
        speed: as in `LabConfig`.
        **host: further fields of every `LabHost`.
    """
    hosts, number = [], [0] * rooms
    for index in range(pcs):
        room = index * rooms // pcs
        number[room] += 1
        off = int((index + 1) * off_share) > int(index * off_share)
        group = f"lab{room + 1:02d}"
        hosts.append(
            LabHost(f"{group}-pc{number[room]:02d}", ("labs", group), power="off" if off else power, **host)
        )
    return LabConfig(tuple(hosts), seed, addressing, starts_at, speed)


def to_json(config: LabConfig) -> dict[str, Any]:
    """Turn a lab into plain values."""
    return dataclasses.asdict(config)


def from_json(data: Mapping[str, Any]) -> LabConfig:
    """Read what `to_json` wrote."""
    return LabConfig(**{**data, "hosts": tuple(_host(row) for row in data["hosts"])})


def faults_from_json(rows: Iterable[Mapping[str, Any]]) -> tuple[Fault, ...]:
    """Read faults from plain values."""
    return tuple(Fault(**row) for row in rows)


def _host(row: Mapping[str, Any]) -> LabHost:
    return LabHost(
        **{
            **row,
            "groups": tuple(row["groups"]),
            "schemes": tuple(row["schemes"]),
            "faults": faults_from_json(row["faults"]),
            "quotas": Quotas(**row["quotas"]),
        }
    )
