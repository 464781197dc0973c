"""A fleet of fake PCs in a process of its own, ordered about by JSON lines on standard input.

Written from what is known of Windows' behaviour alone, sharing no code with the client or with `ddcplay lab`,
so that a misunderstanding common to those two cannot hide here.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from dataclasses import asdict
from pathlib import Path

folder = Path(sys.argv[1])
os.environ["NTLM_USER_FILE"] = str(folder / "users")

from certificates import contexts  # noqa: E402 - the user file has to be named first
from dialect import Dialect  # noqa: E402 - same
from door import PASSWORD, USER, Site  # noqa: E402 - same
from room import Room  # noqa: E402 - same

(folder / "users").write_text(f":{USER}:{PASSWORD}\nLAB:{USER}:{PASSWORD}\n", encoding="utf-8")
tls = contexts(folder, sys.argv[2])
sites: dict[str, Site] = {}


def _open(name: str, dialect: dict[str, object]) -> int:
    listed = {key: tuple(map(tuple, value)) if key == "troubles" else value for key, value in dialect.items()}
    site = Site(Room(Dialect(**listed)), tls.get(str(dialect.get("tls"))))
    sites[name] = site
    threading.Thread(target=site.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True).start()
    return int(site.server_address[1])


for order in map(json.loads, sys.stdin):
    if order["do"] == "open":
        answer: object = _open(order["name"], order["dialect"])
    elif order["do"] == "hang_up":
        answer = sites[order["name"]].hang_up()
    elif order["do"] == "close":
        answer = sites[order["name"]].shutdown()
        sites[order["name"]].server_close()
    elif order["do"] == "shells":
        sites[order["name"]].room.shells.clear()
        answer = None
    else:
        answer = asdict(sites[order["name"]].room.journal)
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()
