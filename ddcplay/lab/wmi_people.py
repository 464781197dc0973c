"""WMI classes about logons; dead ones and the window manager's stand among them, as in Windows."""

from __future__ import annotations

from ddcplay.lab.cim import Reference, Row, precise
from ddcplay.lab.machine import Machine


def logon_sessions(machine: Machine, now: float) -> list[Row]:
    """Win32_LogonSession."""
    return [
        {
            "AuthenticationPackage": "NTLM" if logon.type == 3 else "Negotiate",
            "LogonId": str(logon.number),
            "LogonType": logon.type,
            "StartTime": precise(logon.start),
        }
        for logon in machine.logons(now)
    ]


def logged_on_users(machine: Machine, now: float) -> list[Row]:
    """Win32_LoggedOnUser: account (Antecedent) and logon session (Dependent)."""
    return [
        {
            "Antecedent": Reference("Win32_Account", (("Domain", logon.domain), ("Name", logon.user))),
            "Dependent": Reference("Win32_LogonSession", (("LogonId", str(logon.number)),)),
        }
        for logon in machine.logons(now)
    ]
