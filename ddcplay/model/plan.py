"""What will be done: rendered, validated, picklable, and free of secrets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ddcplay.model.inventory import SecretRef
from ddcplay.model.result import Reason


@dataclass(frozen=True, slots=True)
class ProbeSpec:
    """One probe, rendered for one host.

    Args:
        name: unique in the play.
        kind: which `Probe` runs it.
        body: the rendered value of the kind's key.
        timeout_s: the attempt's budget per try.
        max_output_bytes: per stream; beyond it the command is ended and what came is kept.
        ok_codes: exit codes that count as ok.
        retries: further tries after a retryable failure.
        retry_delay_s: pause between tries.
        retry_on: reasons that may be retried.
        env: environment of the remote process; a secret stays a reference until the visit.
        chdir: working directory of the remote process.
        stdin: bytes fed to the process, None for none; a secret stays a reference until the visit.
        codepage: console code page of the remote shell.
        keep: `always on_failure on_change never`: what the default archive keeps.
        kill_tree: children are ended too after an expiry.
        priority: Windows' priority class, `low` (IDLE), `below_normal` or `normal`.
        options: settings that only this kind knows.
        exclusive: it runs only while nobody is logged on interactively.
        recheck_s: how often an exclusive probe that runs looks again.
    """

    name: str
    kind: str
    body: object
    timeout_s: float = 60.0
    max_output_bytes: int = 1024 * 1024
    ok_codes: tuple[int, ...] = (0,)
    retries: int = 0
    retry_delay_s: float = 5.0
    retry_on: tuple[Reason, ...] = (Reason.TRANSPORT,)
    env: tuple[tuple[str, str | SecretRef], ...] = ()
    chdir: str | None = None
    stdin: bytes | SecretRef | None = None
    codepage: int = 65001
    keep: str = "always"
    kill_tree: bool = True
    priority: str = "low"
    options: Mapping[str, object] = field(default_factory=dict)
    exclusive: bool = False
    recheck_s: float = 30.0


@dataclass(frozen=True, slots=True)
class Target:
    r"""Where a host is and how to log on to it; every name is the inventory's, every secret a reference.

    Args:
        host: inventory name.
        address: `ansible_host`, else the inventory name; a name or an IP literal without brackets.
        connection: `winrm`, `psrp`, `ssh` or `local`.
        port: None when nothing is written: the transport tries 5986 with a valid certificate, then 5985.
        scheme: `http`, `https`, or None when nothing is written.
        path: URL path without the leading slash.
        user: account name as written (`u`, `DOM\u`, `u@REALM`, `.\u`), None when nothing is written.
        password: reference, None when nothing is written.
        auth: `ansible_winrm_transport` in order, empty = Kerberos when a ticket fits, else NTLM.
        message_encryption: `auto`, `always` or `never`.
        cert_validation: check the server's certificate.
        ca_trust_path: PEM file of extra authorities, None for the system's store.
        cert_pem: client certificate file.
        cert_key_pem: client key file.
        send_cbt: send channel binding over HTTPS.
        operation_timeout_s: WS-Man OperationTimeout of one message.
        read_timeout_s: how long one answer may take beyond that is a dead peer.
        kerberos_hostname_override: host part of the service principal name.
        kerberos_delegation: forward the ticket.
        service: service class of the principal name.
        proxy: proxy URL, None for none (the environment is never read).
        shared_secret: the password stands for several hosts (group or play level), not for this host alone.
        options: further connection variables, for transports that need them.
    """

    host: str
    address: str
    connection: str = "winrm"
    port: int | None = None
    scheme: str | None = None
    path: str = "wsman"
    user: str | None = None
    password: SecretRef | None = None
    auth: tuple[str, ...] = ()
    message_encryption: str = "auto"
    cert_validation: bool = True
    ca_trust_path: str | None = None
    cert_pem: str | None = None
    cert_key_pem: str | None = None
    send_cbt: bool = True
    operation_timeout_s: float = 20.0
    read_timeout_s: float = 30.0
    kerberos_hostname_override: str | None = None
    kerberos_delegation: bool = False
    service: str = "HTTP"
    proxy: str | None = None
    shared_secret: bool = True
    options: Mapping[str, object] = field(default_factory=dict)

    def ports(self) -> tuple[int, ...]:
        """Return the TCP ports the sweep tries, best first."""
        if self.port is not None:
            return (self.port,)
        if self.connection == "ssh":
            return (22,)
        return {"http": (5985,), "https": (5986,)}.get(self.scheme or "", (5986, 5985))


@dataclass(frozen=True, slots=True)
class Skip:
    """A probe that will not run on a host, and why."""

    probe: str
    reason: Reason
    detail: str = ""


@dataclass(frozen=True, slots=True)
class HostPlan:
    """Everything a play does on one host.

    Args:
        host: inventory name.
        groups: the host's groups.
        room: the group that reports and tables show it under.
        target: how to reach it.
        probes: in order.
        skips: probes that `when` (or tags of the host) left out; they get a `skipped` row.
        vars: what its filters see under `vars`: plain values, no secrets; empty for a play without filters.
    """

    host: str
    groups: tuple[str, ...]
    room: str
    target: Target
    probes: tuple[ProbeSpec, ...]
    skips: tuple[Skip, ...] = ()
    vars: Mapping[str, object] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class Plan:
    """One play over its hosts, ready to run; the same object serves `plan`, `check` and `run`.

    Args:
        experiment: the play's experiment.
        probe_names: all probes of the play after tags, in order (trace files and tables follow it).
        hosts: in inventory order.
        warnings: what `check` prints and `run` mentions once.
    """

    experiment: str
    probe_names: tuple[str, ...]
    hosts: tuple[HostPlan, ...]
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Visit:
    """One host in one iteration: connect, its probes in order, disconnect; picklable.

    Args:
        experiment: the experiment's name.
        iteration: id of the iteration.
        target: how to reach the host; `port` may have been narrowed to what the sweep saw open.
        probes: in order.
        connect_timeout_s: counts inside the first attempt's budget.
        visit_timeout_s: budget of the whole visit.
        open_ports: ports the sweep saw open, best first; empty when it did not look.
    """

    experiment: str
    iteration: int
    target: Target
    probes: tuple[ProbeSpec, ...]
    connect_timeout_s: float
    visit_timeout_s: float
    open_ports: tuple[int, ...] = ()
