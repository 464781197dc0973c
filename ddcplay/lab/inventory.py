"""The lab as an Ansible inventory."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ddcplay.lab.blueprint import LabConfig, LabHost, school


def inventory_yaml(config: LabConfig, endpoints: Mapping[str, tuple[str, int]], ca_path: Path | None) -> str:
    """Write the inventory of a lab; JSON strings are valid YAML, so every value is quoted safely."""
    children: dict[str, Any] = {}
    loose: list[LabHost] = []
    for host in config.hosts:
        node = {"children": children}
        for group in host.groups:
            node = node.setdefault("children", {}).setdefault(group, {})
        if host.groups:
            node.setdefault("hosts", {})[host.name] = {}
        else:
            loose.append(host)
    lines = ["all:", "  hosts:"]
    for host in config.hosts:
        lines.append(f"    {json.dumps(host.name)}:")
        lines += [
            f"      {key}: {json.dumps(value)}"
            for key, value in _variables(host, endpoints[host.name], ca_path).items()
        ]
    if children:
        lines.append("  children:")
        _write_groups(lines, children, 4)
    return "\n".join(lines) + "\n"


def _variables(host: LabHost, endpoint: tuple[str, int], ca_path: Path | None) -> dict[str, object]:
    schemes = {"negotiate": "ntlm", "basic": "basic", "certificate": "certificate"}
    clear = not host.https and (host.allow_unencrypted or "negotiate" not in host.schemes)
    found: dict[str, object] = {
        "ansible_host": endpoint[0],
        "ansible_port": endpoint[1],
        "ansible_user": host.user,
        "ansible_password": host.password,
        "ansible_connection": "winrm",
        "ansible_winrm_scheme": "https" if host.https else "http",
        "ansible_winrm_transport": next((schemes[name] for name in host.schemes if name in schemes), "ntlm"),
    }
    if clear and found["ansible_winrm_transport"] == "basic":
        found["ansible_winrm_message_encryption"] = "never"
    if host.https and ca_path is not None:
        found["ansible_winrm_ca_trust_path"] = str(ca_path)
    return found


def _write_groups(lines: list[str], groups: Mapping[str, Any], indent: int) -> None:
    pad = " " * indent
    for name, node in groups.items():
        lines.append(f"{pad}{json.dumps(name)}:")
        if node.get("hosts"):
            lines.append(f"{pad}  hosts:")
            lines += [f"{pad}    {json.dumps(host)}: {{}}" for host in node["hosts"]]
        if node.get("children"):
            lines.append(f"{pad}  children:")
            _write_groups(lines, node["children"], indent + 4)
        if not node:
            lines[-1] += " {}"


def virtual_inventory(pcs: int, rooms: int) -> str:
    """Write the inventory of PCs that exist on virtual time alone: `lab01-pc01` … in `lab01` … under `labs`.

    Args:
        pcs: how many in all.
        rooms: over how many rooms they are spread.
    """
    groups: dict[str, dict[str, dict[str, dict[str, str]]]] = {}
    for host in school(pcs, rooms).hosts:
        group = host.groups[-1]
        hosts = groups.setdefault(group, {"hosts": {}})["hosts"]
        hosts[host.name] = {"ansible_host": f"10.77.{len(groups)}.{len(hosts) + 1}"}
    labs = {
        "vars": {
            "ansible_connection": "winrm",
            "ansible_user": "LAB\\collector",
            "ansible_password": "none: nothing is contacted",
        },
        "children": groups,
    }
    return json.dumps({"all": {"children": {"labs": labs}}}, indent=2) + "\n"
