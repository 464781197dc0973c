"""Ansible's names of connection variables, and which field of a `Target` each one sets."""

from __future__ import annotations

from collections.abc import Mapping

CONNECTIONS = ("winrm", "psrp")
LATER_CONNECTIONS = ("ssh", "local")

SMB_PORT = "ddcplay_smb_port"
"""Ansible knows no such thing: where a target's SMB is reached (445), for a gateway or a test."""

_GENERAL = {
    SMB_PORT: "smb_port",
    "ansible_host": "address",
    "ansible_port": "port",
    "ansible_user": "user",
    "ansible_password": "password",
}
_OLD = {
    "ansible_ssh_host": "address",
    "ansible_ssh_port": "port",
    "ansible_ssh_user": "user",
    "ansible_ssh_pass": "password",
    "ansible_ssh_password": "password",
}
_WINRM = {
    "host": "address",
    "port": "port",
    "user": "user",
    "password": "password",
    "pass": "password",
    "transport": "auth",
    "scheme": "scheme",
    "path": "path",
    "server_cert_validation": "cert_validation",
    "ca_trust_path": "ca_trust_path",
    "cert_pem": "cert_pem",
    "cert_key_pem": "cert_key_pem",
    "message_encryption": "message_encryption",
    "send_cbt": "send_cbt",
    "operation_timeout_sec": "operation_timeout_s",
    "read_timeout_sec": "read_timeout_s",
    "connection_timeout": "connection_timeout_s",
    "kerberos_hostname_override": "kerberos_hostname_override",
    "kerberos_delegation": "kerberos_delegation",
    "realm": "realm",
    "service": "service",
    "proxy": "proxy",
}
_PSRP = {
    "host": "address",
    "port": "port",
    "user": "user",
    "password": "password",
    "pass": "password",
    "auth": "auth",
    "protocol": "scheme",
    "path": "path",
    "cert_validation": "cert_validation",
    "ca_cert": "ca_trust_path",
    "cert_trust_path": "ca_trust_path",
    "certificate_pem": "cert_pem",
    "certificate_key_pem": "cert_key_pem",
    "message_encryption": "message_encryption",
    "negotiate_send_cbt": "send_cbt",
    "operation_timeout": "operation_timeout_s",
    "read_timeout": "read_timeout_s",
    "negotiate_hostname_override": "kerberos_hostname_override",
    "negotiate_delegate": "kerberos_delegation",
    "negotiate_service": "service",
    "proxy": "proxy",
}
# Ansible's psrp connection reads the winrm connection's password names too.
_PSRP_ALSO = {"ansible_winrm_pass": "password", "ansible_winrm_password": "password"}


def _ranked(*tables: Mapping[str, str]) -> dict[str, tuple[int, str]]:
    """Number the names, the strongest first."""
    ordered = [(name, field) for table in tables for name, field in table.items()]
    return {name: (rank, field) for rank, (name, field) in enumerate(ordered)}


def _prefixed(prefix: str, table: Mapping[str, str]) -> dict[str, str]:
    return {f"{prefix}{name}": field for name, field in table.items()}


FIELDS: Mapping[str, Mapping[str, tuple[int, str]]] = {
    "winrm": _ranked(_prefixed("ansible_winrm_", _WINRM), _GENERAL, _OLD),
    "psrp": _ranked(_prefixed("ansible_psrp_", _PSRP), _GENERAL, _PSRP_ALSO, _OLD),
}
"""Connection → variable → (rank, field); of several names for one field the lowest rank counts, as in Ansible
the connection's own name beats the general one. Another connection's names are not read: a forgotten
`ansible_psrp_cert_validation: ignore` must not weaken a winrm connection."""

_TICKET = "a Kerberos ticket is used as it is found; get it beforehand (kinit, keytab or gMSA)"
_WSMAN = "this program speaks WS-Man on every connection, not PSRP"
_CREDSSP = "CredSSP's own defaults are used"
IGNORED: Mapping[str, str] = {
    "ansible_winrm_kinit_mode": _TICKET,
    "ansible_winrm_kinit_cmd": _TICKET,
    "ansible_winrm_kinit_args": _TICKET,
    "ansible_winrm_kinit_env_vars": _TICKET,
    "ansible_winrm_kerberos_mode": _TICKET,
    "ansible_winrm_credssp_disable_tlsv1_2": _CREDSSP,
    "ansible_winrm_credssp_auth_mechanism": _CREDSSP,
    "ansible_winrm_credssp_minimum_version": _CREDSSP,
    "ansible_psrp_credssp_disable_tlsv1_2": _CREDSSP,
    "ansible_psrp_credssp_auth_mechanism": _CREDSSP,
    "ansible_psrp_credssp_minimum_version": _CREDSSP,
    "ansible_psrp_configuration_name": _WSMAN,
    "ansible_psrp_max_envelope_size": _WSMAN,
    "ansible_psrp_reconnection_retries": "the probe's `retries` count",
    "ansible_psrp_reconnection_backoff": "the probe's `retry_delay` counts",
    "ansible_psrp_connection_timeout": "the play's `connect_timeout` counts",
    "ansible_psrp_ignore_proxy": "proxies of the environment are never used",
}
"""Variable → why it has no effect."""
