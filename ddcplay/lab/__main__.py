"""`python -m ddcplay.lab`: a simulated fleet on loopback, until Ctrl-C or the end of standard input."""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import sys
import tempfile
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

from ddcplay.errors import DdcplayError
from ddcplay.lab import blueprint, control
from ddcplay.lab.inventory import inventory_yaml
from ddcplay.lab.server import LabServer


def main() -> int:
    """Run a lab and return the exit code."""
    arguments = _parser().parse_args()
    _raise_file_limit()
    try:
        if arguments.config:
            config = blueprint.from_json(json.loads(Path(arguments.config).read_text(encoding="utf-8")))
            _run(_controlled(config, Path(arguments.config).parent))
        else:
            config = blueprint.school(
                arguments.pcs,
                arguments.rooms,
                arguments.seed,
                arguments.power,
                arguments.off_share,
                addressing=arguments.addressing,
                https=arguments.https,
            )
            with tempfile.TemporaryDirectory(prefix="ddcplay-lab-") as directory:
                _run(_standalone(config, Path(directory), arguments.inventory))
    except KeyboardInterrupt:
        return 0
    except DdcplayError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    return 0


def _run(work: Coroutine[Any, Any, None]) -> None:
    # The selector loop everywhere: doors are watched with add_reader, which Windows' default loop lacks.
    with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
        runner.run(work)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m ddcplay.lab", description=__doc__)
    parser.add_argument("--pcs", type=int, default=169, help="how many PCs (default 169)")
    parser.add_argument("--rooms", type=int, default=11, help="over how many rooms (default 11)")
    parser.add_argument("--seed", type=int, default=1, help="every fact follows from it (default 1)")
    parser.add_argument("--power", choices=("on", "off", "timetable"), default="timetable")
    parser.add_argument(
        "--off-share", type=float, default=0.0, help="share of PCs that is always off, 0 to 1"
    )
    parser.add_argument("--addressing", choices=("ports", "addresses"), default="ports")
    parser.add_argument("--https", action="store_true", help="listen with TLS and a certificate of our own")
    parser.add_argument("--inventory", default="-", help="file for the inventory (default: standard output)")
    parser.add_argument("--config", help=argparse.SUPPRESS)
    return parser


def _raise_file_limit() -> None:
    if sys.platform == "win32":
        return
    import resource  # noqa: PLC0415 - Unix only

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 20_000 if hard == resource.RLIM_INFINITY else min(hard, 20_000)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


async def _started(config: blueprint.LabConfig, directory: Path) -> LabServer:
    server = LabServer(config, directory)
    await server.start()
    # Everything built so far lives as long as the process; not looking at it again saves collector time.
    gc.collect()
    gc.freeze()
    return server


async def _controlled(config: blueprint.LabConfig, directory: Path) -> None:
    server = await _started(config, directory)
    ready: dict[str, Any] = {"ready": server.endpoints()}
    if server.certificates:
        ready["ca"] = str(server.certificates.ca)
    control.reply(ready)
    try:
        await control.obey(server)
    finally:
        await server.stop()


async def _standalone(config: blueprint.LabConfig, directory: Path, inventory: str) -> None:
    server = await _started(config, directory)
    ca = server.certificates.ca if server.certificates else None
    text = inventory_yaml(config, server.endpoints(), ca)
    if inventory == "-":
        sys.stdout.write(text)
        sys.stdout.flush()
    else:
        Path(inventory).write_text(text, encoding="utf-8")  # noqa: ASYNC240 - once, before anybody is served
    sys.stderr.write(f"{len(config.hosts)} PCs listen on loopback; Ctrl-C ends the lab\n")
    try:
        await asyncio.Event().wait()
    finally:
        await server.stop()


if __name__ == "__main__":
    raise SystemExit(main())
