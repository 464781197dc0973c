# ruff: noqa: N802 - aiosmtpd finds its hooks by these names
"""A mail server for tests, in a process of its own: `python smtp_server.py DIRECTORY OPTIONS-AS-JSON`.

Prints its port, then serves until standard input ends. Every mail it takes becomes a file `NNNN.json`
(sender, recipients) and `NNNN.eml` in DIRECTORY; every session it breaks off becomes a line of `drops.log`.
"""

from __future__ import annotations

import asyncio
import json
import random
import ssl
import sys
import warnings
from pathlib import Path
from typing import Any

from aiosmtpd.smtp import SMTP, AuthResult

STAGES = ("EHLO", "AUTH", "MAIL", "RCPT", "DATA", "BODY_LOST", "BODY_TAKEN")


class Server(SMTP):
    """Breaks off a share of its sessions at a random command."""

    def __init__(self, options: dict[str, Any], dice: random.Random, handler: Taking, **more: Any) -> None:
        super().__init__(handler, **more)
        self.drop_at = dice.choice(STAGES) if dice.random() < options.get("drop", 0) else ""
        self.log = handler.directory / "drops.log"

    def breaks_off(self, stage: str) -> bool:
        if self.drop_at != stage or self.transport is None:
            return False
        self.drop_at = ""
        with self.log.open("a") as log:
            log.write(f"{stage}\n")
        self.transport.abort()
        return True

    async def smtp_EHLO(self, hostname: str) -> None:
        if not self.breaks_off("EHLO"):
            await super().smtp_EHLO(hostname)

    async def smtp_AUTH(self, arg: str) -> None:
        if not self.breaks_off("AUTH"):
            await super().smtp_AUTH(arg)

    async def smtp_MAIL(self, arg: str) -> None:
        if not self.breaks_off("MAIL"):
            await super().smtp_MAIL(arg)

    async def smtp_RCPT(self, arg: str) -> None:
        if not self.breaks_off("RCPT"):
            await super().smtp_RCPT(arg)

    async def smtp_DATA(self, arg: str) -> None:
        if not self.breaks_off("DATA"):
            await super().smtp_DATA(arg)


class Taking:
    """Writes down what arrives; refuses what the options say."""

    def __init__(self, directory: Path, options: dict[str, Any]) -> None:
        self.directory = directory
        self.options = options

    def put(self, name: str, content: bytes) -> None:
        """Write a file that readers see whole or not at all."""
        path = self.directory / f"{name}.new"
        path.write_bytes(content)
        path.rename(self.directory / name)

    async def handle_MAIL(self, server: Server, session: Any, envelope: Any, address: str, more: Any) -> str:
        if refusal := self.options.get("refuse_sender"):
            return str(refusal)
        envelope.mail_from = address
        return "250 OK"

    async def handle_RCPT(self, server: Server, session: Any, envelope: Any, address: str, more: Any) -> str:
        if refusal := self.options.get("refuse", {}).get(address):
            return str(refusal)
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Server, session: Any, envelope: Any) -> str:
        await asyncio.sleep(self.options.get("delay_s", 0))
        poison = self.options.get("refuse_data")
        if poison and poison.encode() in envelope.content:
            return "554 5.7.1 this looks like spam"
        if server.breaks_off("BODY_LOST"):
            return "421 gone"
        number = len(list(self.directory.glob("*.eml"))) + 1
        envelope_text = json.dumps({"from": envelope.mail_from, "to": envelope.rcpt_tos})
        self.put(f"{number:04}.json", envelope_text.encode())
        self.put(f"{number:04}.eml", envelope.original_content)
        server.breaks_off("BODY_TAKEN")
        return "250 OK taken"


def authenticator(options: dict[str, Any]) -> Any:
    def check(server: Any, session: Any, envelope: Any, mechanism: str, data: Any) -> AuthResult:
        good = (data.login.decode(), data.password.decode()) == (options["user"], options["password"])
        return AuthResult(success=good, handled=False)

    return check


async def main(directory: Path, options: dict[str, Any]) -> None:
    handler, dice = Taking(directory, options), random.Random(options.get("seed", 1))
    tls = None
    if options.get("tls", "none") != "none":
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        tls.load_cert_chain(options["certificate"])
    implicit = options.get("tls") == "implicit"
    common: dict[str, Any] = {"hostname": "mail.test", "enable_SMTPUTF8": False}
    if options.get("tls") == "starttls":
        common |= {"tls_context": tls, "require_starttls": True}
    if options.get("user"):
        common |= {
            "auth_required": True,
            "auth_require_tls": options.get("tls") == "starttls",
            "authenticator": authenticator(options),
        }
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: Server(options, dice, handler, loop=loop, **common),
        "127.0.0.1",
        options.get("port", 0),
        ssl=tls if implicit else None,
    )
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await loop.run_in_executor(None, sys.stdin.read)
    server.close()


if __name__ == "__main__":
    warnings.simplefilter("ignore")  # aiosmtpd warns of logon without TLS, which some tests want
    asyncio.run(main(Path(sys.argv[1]), json.loads(sys.argv[2])))
