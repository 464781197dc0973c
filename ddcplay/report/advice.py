"""What each reason means for the person who looks after the machines, and what to do about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ddcplay.model.result import Reason


@dataclass(frozen=True, slots=True)
class Advice:
    """How a reason becomes a task.

    Args:
        rank: tasks are listed by it, the smallest first.
        title: what is wrong with the hosts, one clause.
        fix: what to do.
        lasting: one such end is enough for a task; the others must come again and again.
    """

    rank: int
    title: str
    fix: str
    lasting: bool = True


ADVICE: Mapping[Reason, Advice] = {
    Reason.AUTH_BLOCKED: Advice(
        10,
        "logins are held back, because the password was refused",
        "correct the password in the inventory: logins go on with the next iteration; "
        "they are held back so that the account is not locked out",
    ),
    Reason.AUTH: Advice(
        20,
        "the login is refused",
        "check user and password in the inventory, and that the account may use WinRM there "
        "(group Remote Management Users or Administrators); `ddcplay ping --login HOST` tries it",
    ),
    Reason.PORT_CLOSED: Advice(
        30,
        "switched on, but WinRM does not answer",
        "run `winrm quickconfig` there or set it by group policy, and let the firewall pass TCP 5985 or 5986",
    ),
    Reason.QUOTA: Advice(
        40,
        "a WinRM quota of the machine is used up",
        "look for shells other programs left open, or raise the quota that the message names (winrm/config)",
    ),
    Reason.NO_NAME: Advice(
        50,
        "the name is not in the DNS",
        "correct the name in the inventory or write `ansible_host: ADDRESS`",
    ),
    Reason.FILTER: Advice(
        60,
        "a filter could not handle what came back",
        "the outputs are kept: correct the filter, then `ddcplay replay` runs it over them again",
        lasting=False,
    ),
    Reason.EXIT_CODE: Advice(
        70,
        "the program ends with an error",
        "look at the probe's output of these hosts; codes that are fine belong into `ok_codes`",
        lasting=False,
    ),
    Reason.WQL: Advice(
        80,
        "a WMI query is refused",
        "check the class and its fields on that Windows version and the account's rights; "
        "`winmgmt /verifyrepository` finds a damaged repository",
        lasting=False,
    ),
    Reason.OUTPUT_LIMIT: Advice(
        90,
        "there was more output than `max_output` allows",
        "let the probe print less, or raise `max_output`",
        lasting=False,
    ),
    Reason.TIMEOUT: Advice(
        100,
        "no end within the timeout",
        "look whether the machine is overloaded or the probe waits for something; else raise `timeout`",
        lasting=False,
    ),
    Reason.TRANSPORT: Advice(
        110,
        "the connection breaks",
        "look at the network and the WinRM service there; `ddcplay ping --login HOST` shows how far it comes",
        lasting=False,
    ),
    Reason.LOST: Advice(
        120, "a worker of the coordinator died", "look at the coordinator's log and memory", lasting=False
    ),
}

NEVER_ON = Advice(
    200,
    "not seen switched on in the whole period",
    "dead, moved or given away? Then take them out of the inventory; else see that they are switched on",
)

OTHER: Mapping[Reason, str] = {
    Reason.NO_ANSWER: "nothing to do for machines that are switched off",
    Reason.USER_LOGGED_ON: "exclusive probes wait until nobody is logged on",
    Reason.WHEN: "the probe's `when` excludes them",
    Reason.BUSY: "somebody was logged on",
    Reason.DONE: "done before",
    Reason.HOST_IN_USE: "another visit was on the host",
    Reason.UNSUPPORTED: "the probe cannot run there",
    Reason.INTERRUPTED: "the coordinator was stopped",
}


def what_to_do(reason: Reason) -> str:
    """Return one sentence of advice for a reason."""
    return ADVICE[reason].fix if reason in ADVICE else OTHER[reason]
