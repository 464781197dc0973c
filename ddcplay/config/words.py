"""Keys the playbook language has, will have, or has under another name than Ansible's.

One table per question, so that a message can say more than "unknown key".
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from difflib import get_close_matches
from types import MappingProxyType

from ddcplay.model.inventory import SecretRef


class WrongValueError(ValueError):
    """What a validator of ours refuses, with the fix.

    Args:
        message: what is wrong with the value.
        hint: what to write.
        at: the way from the value to the part that is wrong, to point at it.
    """

    def __init__(self, message: str, hint: str = "", at: tuple[object, ...] = ()) -> None:
        super().__init__(message)
        self.hint = hint
        self.at = at


LATER: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        # Keys of design §3 whose work is not done. Whoever does it deletes the line (and adds the key to its
        # model in documents.py where it is not there yet).
        "play": {},
        "schedule": {},
        "probe": {},
        "kind": {},
    }
)
"""Level → key → what it will do; these keys are refused with `not yet`."""

LATER_VALUES: Mapping[tuple[str, str], tuple[object, str]] = MappingProxyType({})
"""(level, key) → the value that is refused with `not yet`, and what it will do."""

ANSIBLE: Mapping[str, str] = MappingProxyType(
    {
        "tasks": "Ansible's tasks are `probes` here",
        "pre_tasks": "Ansible's tasks are `probes` here",
        "post_tasks": "Ansible's tasks are `probes` here",
        "block": "there are no blocks: list the probes one after another, with `when` on each",
        "forks": "Ansible's forks are `concurrency` here",
        "serial": "Ansible's serial is `concurrency` here",
        "throttle": "Ansible's throttle is `concurrency` here",
        "failed_when": "say which exit codes are fine with `ok_codes`, or judge the output in `filters`",
        "changed_when": "nothing is changed here: probes collect; `keep: on_change` keeps new output only",
        "gather_facts": "facts are what the probe kind `w32probe` collects",
        "setup": "facts are what the probe kind `w32probe` collects",
        "become": "not supported: the probe runs as the account that logs on (`ansible_user`)",
        "become_user": "not supported: the probe runs as the account that logs on (`ansible_user`)",
        "become_method": "not supported: the probe runs as the account that logs on (`ansible_user`)",
        "register": "each probe's output is archived and goes through its `filters`; nothing is registered",
        "loop": "there are no loops: write one probe per item, or loop inside a `powershell` probe",
        "with_items": "there are no loops: write one probe per item, or loop inside a `powershell` probe",
        "until": "a probe is tried again with `retries`, `retry_delay` and `retry_on`",
        "delay": "Ansible's delay is `retry_delay` here",
        "roles": "there are no roles: put the probes into the play, shared values into `vars_files`",
        "include_tasks": "there are no includes: put the probes into the play",
        "import_tasks": "there are no includes: put the probes into the play",
        "import_playbook": "name several playbooks on the command line instead",
        "handlers": "there are no handlers: nothing is changed here",
        "notify": "there are no handlers; people are told by `alerts`",
        "vars_prompt": "nothing is asked at run time: hand values in with `-e`",
        "strategy": "hosts always run side by side, at most `concurrency` at a time",
        "order": "hosts are visited as they answer",
        "remote_user": "the account is the inventory's: `ansible_user`",
        "connection": "the connection is the inventory's: `ansible_connection`",
        "port": "the port is the inventory's: `ansible_port`",
        "environment": "Ansible's environment is `env` here",
        "async": "visits run side by side anyway: bound each probe with `timeout`",
        "poll": "visits run side by side anyway: bound each probe with `timeout`",
        "ignore_errors": "a failed probe never stops the others; `ok_codes` says which exit codes are fine",
        "ignore_unreachable": "a host that is off is `unavailable` and never stops the others",
        "any_errors_fatal": "a failed probe never stops the others; `--fail-on` sets the exit code",
        "max_fail_percentage": "set the exit code with `--fail-on` on the command line",
        "delegate_to": "not supported: each probe runs on its own host",
        "local_action": "not supported: each probe runs on its own host",
        "run_once": "not supported: limit the play with `hosts` or `--limit`",
        "no_log": "secrets are never logged; `keep: never` archives nothing",
        "shell": "Ansible's shell is `command` (a cmd.exe line) or `powershell` here",
        "win_shell": "Ansible's win_shell is `powershell` here",
        "win_command": "Ansible's win_command is `command` here",
        "win_powershell": "Ansible's win_powershell is `powershell` here",
        "raw": "Ansible's raw is `command` here",
        "cmd": "a cmd.exe line is written under `command`",
        "ps": "PowerShell text is written under `powershell`",
        "win_copy": "nothing is changed on the targets here",
        "debug": "there is nothing to print: `ddcplay plan` shows what would run",
        "args": "options stand beside the probe's kind",
        "schedules": "it is `schedule`, one per play",
        "collections": "there are no collections here",
        "module_defaults": "values for all probes stand under `defaults`",
    }
)
"""A word of Ansible's (or a near slip) → what to write here; looked up only for keys that are unknown."""


def unknown_key(key: object, level: str, known: Collection[str], *, elsewhere: str = "") -> tuple[str, str]:
    """Word the refusal of a key.

    Args:
        key: as written; anything YAML takes as a key.
        level: where it stands, such as `play`.
        known: the keys this level has.
        elsewhere: where the key belongs, when another level has it.

    Returns:
        Message and hint.
    """
    message = f"unknown key {key!r} in the {level}"
    if not isinstance(key, str):
        return message, "keys are text here"
    if elsewhere:
        return message, elsewhere
    word = key.rpartition(".")[2] if key.startswith("ansible.") else key
    if word in ANSIBLE and level in {"play", "probe", "defaults"}:
        return message, ANSIBLE[word]
    close = nearest(key, known)
    if close:
        return message, f"did you mean {close!r}?"
    return message, f"known: {', '.join(sorted(known))}"


def nearest(word: str, known: Iterable[str], cutoff: float = 0.6) -> str | None:
    """Return the known word that looks most like `word`, if one does."""
    by_folded = {name.casefold(): name for name in known}
    # difflib is quadratic; a key of that length is no slip of the pen.
    close = get_close_matches(word.casefold(), by_folded, n=1, cutoff=cutoff) if len(word) <= 64 else []
    return by_folded[close[0]] if close else None


def describe(value: object) -> str:
    """Name a value the way its author sees it in the file."""
    if value is None:
        return "empty"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return f"the text {value[:40]!r}{'…' if len(value) > 40 else ''}"
    if isinstance(value, int | float):
        return f"the number {str(value)[:40]}"
    if isinstance(value, SecretRef):
        return "a secret"
    return "a mapping" if isinstance(value, Mapping) else "a list"
