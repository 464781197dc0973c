"""The control channel of a lab process: one JSON object per line on standard input, one answer per line.

When standard input ends, the lab ends: it never outlives the program that started it.
"""

from __future__ import annotations

import asyncio
import json
import sys
import threading
from typing import Any

from ddcplay.lab.blueprint import faults_from_json
from ddcplay.lab.server import LabServer


def reply(answer: object) -> None:
    """Write one line for the program that started the lab."""
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


async def obey(server: LabServer) -> None:
    """Carry out requests until standard input ends or `stop` is asked for."""
    loop = asyncio.get_running_loop()
    lines: asyncio.Queue[str] = asyncio.Queue()

    def read() -> None:
        # A thread, because Windows cannot wait for a pipe in its selector.
        for line in sys.stdin:
            loop.call_soon_threadsafe(lines.put_nowait, line)
        loop.call_soon_threadsafe(lines.put_nowait, "")

    threading.Thread(target=read, name="lab-control", daemon=True).start()
    while line := await lines.get():
        request = json.loads(line)
        if request["do"] == "stop":
            break
        try:
            reply({"ok": _perform(server, request)})
        except (KeyError, ValueError, TypeError) as error:
            reply({"error": f"{type(error).__name__}: {error}"})


def _perform(server: LabServer, request: dict[str, Any]) -> Any:
    name = request.get("host")
    match request["do"]:
        case "stats":
            return server.stats(name)
        case "reset_stats":
            return server.reset_stats()
        case "faults":
            return server.set_faults(request["host"], faults_from_json(request["faults"]))
        case "power":
            return server.set_power(request["host"], on=bool(request["on"]))
        case "password":
            return server.set_password(request["host"], request["password"])
        case "files":
            return server.files(request["host"])
        case "user":
            return server.set_user(request["host"], request["user"])
        case "is_on":
            return server.is_on(request["host"])
        case "now":
            return server.now()
        case other:
            raise ValueError(f"unknown request {other!r}")
