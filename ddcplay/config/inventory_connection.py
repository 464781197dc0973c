"""What an inventory's `ansible_*` variables mean to us: which are secrets, which nobody reads.

A password must be wrapped in the moment it is read, so that no later step can print it by accident.
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass

from ddcplay.model.inventory import SecretRef
from ddcplay.model.playbook import Unsafe

_SECRET_NAME = re.compile(r"ansible_(?:\w+_)?(?:password|pass|passwd|secret|token|passphrase)")
_USER_NAME = re.compile(r"ansible_(?:\w+_)?user(?:name)?")
_SECRET_SCHEMES = frozenset({"env", "file", "keyring", "cmd", "plain"})
_FOREIGN_NAME = re.compile(
    r"ansible_(?:become|paramiko|libssh|httpapi|netconf|network_cli|persistent|docker|podman|lxc|kubectl|aws)_\w+"
    r"|ansible_become|ansible_\w+_interpreter"
)
_CONTROL = re.compile(r"[\x00-\x1f]")

_GENERAL = (
    "host port user password connection timeout pipelining scp_if_ssh shell_type shell_executable remote_tmp "
    "async_dir network_os command_timeout private_key_file host_key_checking group_priority"
)
_WINRM = (
    "host port user pass password scheme path transport realm ca_trust_path cert_pem cert_key_pem "
    "cert_key_password server_cert_validation kerberos_delegation kerberos_mode kinit_mode kinit_cmd "
    "kinit_args kinit_env_vars kerberos_hostname_override message_encryption connection_timeout "
    "operation_timeout_sec read_timeout_sec send_cbt service credssp_disable_tlsv1_2 credssp_auth_mechanism "
    "credssp_minimum_version proxy"
)
_PSRP = (
    "host port user pass password protocol path auth cert_validation ca_cert connection_timeout read_timeout "
    "operation_timeout message_encryption proxy ignore_proxy max_envelope_size max_buffer_size "
    "configuration_name reconnection_retries reconnection_backoff certificate_key_pem certificate_pem "
    "credssp_auth_mechanism credssp_disable_tlsv1_2 credssp_minimum_version negotiate_delegate "
    "negotiate_hostname_override negotiate_send_cbt negotiate_service"
)
_SSH = (
    "host port user pass password private_key_file private_key common_args extra_args executable args "
    "host_key_checking timeout pipelining retries transfer_method use_tty key_file"
)
KNOWN_VARIABLES = frozenset(
    [f"ansible_{name}" for name in _GENERAL.split()]
    + [f"ansible_winrm_{name}" for name in _WINRM.split()]
    + [f"ansible_psrp_{name}" for name in _PSRP.split()]
    + [f"ansible_ssh_{name}" for name in _SSH.split()]
    + ["ansible_ssh_private_key_passphrase"]
)
"""Names of connection variables that Ansible's winrm, psrp and ssh connections read."""


@dataclass(frozen=True, slots=True)
class Guarded:
    """A variable's value, safe to print, with what is to be told about it.

    Args:
        value: the value; a secret as `SecretRef`.
        problem: why it cannot be used, empty when it can.
        warning: what is probably not meant, empty when nothing.
        hint: what to do about the one or the other.
    """

    value: object
    problem: str = ""
    warning: str = ""
    hint: str = ""


def is_secret_name(key: str) -> bool:
    """Say whether a variable of this name holds a connection secret."""
    return _SECRET_NAME.fullmatch(key) is not None


def secret_reference(text: str) -> SecretRef:
    """Read the text form of a secret.

    `env:NAME file:PATH keyring:SERVICE/USER cmd:COMMAND plain:TEXT` (design §4); text with a template keeps
    the scheme `template` until planning renders it; any other text is the secret itself.
    """
    if "{{" in text and not isinstance(text, Unsafe):
        return SecretRef("template", text)
    scheme, colon, value = text.partition(":")
    if colon and value and scheme in _SECRET_SCHEMES:
        return SecretRef(scheme, value if scheme == "plain" else value.strip())
    return SecretRef("plain", str(text))


def guard_variable(key: str, value: object) -> Guarded:
    """Look at one variable as it is read: wrap secrets, name what nobody reads, spot eaten backslashes."""
    if not key.startswith("ansible_"):
        return Guarded(value)
    if is_secret_name(key):
        return _guard_secret(key, value)
    if _USER_NAME.fullmatch(key) and isinstance(value, str) and (control := _CONTROL.search(value)):
        return Guarded(
            value,
            warning=f"{key} holds the control character {control[0]!r}",
            hint=r"a backslash in double quotes starts an escape: write 'CORP\new' in single quotes",
        )
    if key not in KNOWN_VARIABLES and not _FOREIGN_NAME.fullmatch(key):
        near = difflib.get_close_matches(key, KNOWN_VARIABLES, n=1)
        hint = f"did you mean {near[0]}?" if near else "remove it, or name it without the prefix ansible_"
        return Guarded(value, warning=f"no connection reads {key}", hint=hint)
    return Guarded(value)


def _guard_secret(key: str, value: object) -> Guarded:
    if value is None or isinstance(value, SecretRef):
        return Guarded(value)
    if isinstance(value, str):
        scheme, _, rest = value.partition(":")
        if scheme in _SECRET_SCHEMES - {"plain"} and value != scheme and not rest.strip():
            # As a password in clear it would be sent to every host, and lock the account.
            return Guarded(
                SecretRef("plain", ""),
                problem=f"{key}: nothing stands behind '{scheme}:'",
                hint=f"name what is meant, or write plain:{scheme}: when that is the password",
            )
        return Guarded(secret_reference(value))
    if isinstance(value, int | float):
        kind = "truth value" if isinstance(value, bool) else "number"
        return Guarded(
            SecretRef("plain", str(value)),
            warning=f"{key} was read as a {kind}, not as text",
            hint="zeros may be lost: put it in quotes (on an INI host line in two pairs: '\"0123\"')",
        )
    return Guarded(
        SecretRef("plain", ""),
        problem=f"{key} must be text, not a {type(value).__name__}",
        hint="write env:NAME, file:PATH, keyring:SERVICE/USER, cmd:COMMAND or plain:TEXT",
    )
