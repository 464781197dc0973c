"""The door to the lab: describe a fleet, start it as a process of its own, watch and disturb it."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from ddcplay.errors import DdcplayError
from ddcplay.lab.blueprint import LabConfig, LabHost, Quotas, school, to_json
from ddcplay.lab.faults import Fault
from ddcplay.lab.inventory import inventory_yaml
from ddcplay.lab.machine import Machine

__all__ = ["Fault", "LabConfig", "LabHost", "Quotas", "RunningLab", "school", "start_lab"]

_STOP_S = 5.0


class RunningLab:
    """A lab in a process of its own; a context manager. Every method may be called from any thread.

    Args:
        config: what was started.
        process: the lab.
        ready: its first message.
    """

    def __init__(self, config: LabConfig, process: subprocess.Popen[str], ready: dict[str, Any]) -> None:
        self.config = config
        self._process = process
        self._lock = threading.Lock()
        self._endpoints = {name: (address, port) for name, (address, port) in ready["ready"].items()}
        self._certificates = Path(ready["ca"]).parent if "ca" in ready else None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        """Process id of the lab, for CPU figures."""
        return self._process.pid

    @property
    def ca_path(self) -> Path:
        """PEM file of the lab's certificate authority.

        Raises:
            DdcplayError: no host of the lab has HTTPS.
        """
        return self._certificate_file("ca.pem")

    @property
    def client_certificate(self) -> tuple[Path, Path]:
        """PEM files of a client certificate and its key, for the scheme `certificate`."""
        return self._certificate_file("client.pem"), self._certificate_file("client.key")

    def endpoint(self, name: str) -> tuple[str, int]:
        """Return address and port of a host."""
        return self._endpoints[name]

    def url(self, name: str) -> str:
        """Return the WS-Man URL of a host."""
        address, port = self._endpoints[name]
        scheme = "https" if self.host(name).https else "http"
        return f"{scheme}://{address}:{port}/wsman"

    def host(self, name: str) -> LabHost:
        """Return how a host was described."""
        return next(host for host in self.config.hosts if host.name == name)

    def machine(self, name: str) -> Machine:
        """Return the scripted PC, to compare what was collected with what is true."""
        host = self.host(name)
        room = host.groups[-1] if host.groups else ""
        return Machine(self.config.seed, name, room, host.domain, windows=host.windows)

    def inventory_yaml(self) -> str:
        """Return the lab as an Ansible inventory in YAML."""
        return inventory_yaml(self.config, self._endpoints, self.ca_path if self._certificates else None)

    def stats(self, name: str | None = None) -> dict[str, Any]:
        """Return the counters of a host; without a name the sums over all (commands: all texts).

        Keys: connections, requests, identifies, logins_accepted, logins_refused, shells_created,
        shells_deleted, shells_expired, open_shells, sends, receives, signals, queries,
        commands (list of texts).
        """
        if name is not None:
            return dict(self._ask("stats", host=name))
        total: dict[str, Any] = {}
        for row in self.stats_by_host().values():
            for key, value in row.items():
                total[key] = total[key] + value if key in total else value
        return total

    def stats_by_host(self) -> dict[str, dict[str, Any]]:
        """Return the counters of every host by name."""
        return dict(self._ask("stats"))

    def reset_stats(self) -> None:
        """Start counting anew."""
        self._ask("reset_stats")

    def set_fault(self, name: str, *faults: Fault) -> None:
        """Plant faults in a host; what was planted before is gone."""
        self._ask("faults", host=name, faults=[dataclasses.asdict(fault) for fault in faults])

    def clear_faults(self, name: str) -> None:
        """Take every fault out of a host."""
        self.set_fault(name)

    def set_power(self, name: str, on: bool) -> None:  # noqa: FBT001 - reads like a switch: set_power("pc1", True)
        """Switch a host on or off; it leaves its timetable."""
        self._ask("power", host=name, on=on)

    def files(self, name: str) -> list[str]:
        """Return the paths on a host's disk, lower case; directories that were made end in a backslash."""
        return list(self._ask("files", host=name))

    def is_on(self, name: str) -> bool:
        """Say whether a host is on."""
        return bool(self._ask("is_on", host=name))

    def set_password(self, name: str, password: str) -> None:
        """Change the password of a host's account."""
        self._ask("password", host=name, password=password)

    def set_user(self, name: str, user: str) -> None:
        """Log a user on at the console of a host, or off with ""; it leaves its timetable."""
        self._ask("user", host=name, user=user)

    def now(self) -> float:
        """Return the lab's time, Unix seconds."""
        return float(self._ask("now"))

    def stop(self) -> None:
        """End the lab; harmless when it has ended."""
        with self._lock:
            if self._process.stdin and not self._process.stdin.closed:
                with contextlib.suppress(OSError):
                    self._process.stdin.close()
            try:
                self._process.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            if self._process.stdout:
                self._process.stdout.close()

    def _ask(self, what: str, **arguments: object) -> Any:
        with self._lock:
            if self._process.stdin is None or self._process.stdout is None or self._process.stdin.closed:
                raise DdcplayError("the lab has been stopped")
            line = ""
            with contextlib.suppress(BrokenPipeError):  # the lab is gone: the empty line below says so
                self._process.stdin.write(json.dumps({"do": what, **arguments}) + "\n")
                self._process.stdin.flush()
                line = self._process.stdout.readline()
        if not line:
            raise DdcplayError("the lab process has ended", "look at lab.log in the lab's directory")
        answer = json.loads(line)
        if "error" in answer:
            raise DdcplayError(f"the lab refused {what}: {answer['error']}")
        return answer["ok"]

    def _certificate_file(self, name: str) -> Path:
        if self._certificates is None:
            raise DdcplayError("this lab has no certificates", "describe a host with https=True")
        return self._certificates / name


def start_lab(config: LabConfig, directory: Path) -> RunningLab:
    """Start a lab as a process of its own and wait until it listens.

    It ends with `stop()`, at the end of the `with` block, or when this process dies.

    Args:
        config: what to start.
        directory: for its configuration, account files, certificates and `lab.log`; made when missing.

    Raises:
        DdcplayError: the lab did not come up; the text holds what it wrote.
    """
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / "lab.json"
    path.touch(mode=0o600)
    path.write_text(json.dumps(to_json(config)), encoding="utf-8")
    log_path = directory / "lab.log"
    with log_path.open("w", encoding="utf-8") as log:
        process = subprocess.Popen(
            # -P: a file of the user's project must not stand in for a module of ours or of the library.
            [sys.executable, "-P", "-m", "ddcplay.lab", "--config", str(path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            encoding="utf-8",
            start_new_session=os.name != "nt",
        )
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        process.wait()
        process.stdout.close()
        if process.stdin:
            process.stdin.close()
        text = log_path.read_text(encoding="utf-8", errors="replace")
        raise DdcplayError(f"the lab did not start: {text.strip()[-2000:]}")
    return RunningLab(config, process, json.loads(line))
