"""What WS-Man does on a cmd shell: Create, Command, Send, Receive, Signal, Delete, Get (MS-WSMV 3.1.4)."""

from __future__ import annotations

import asyncio
import base64
import binascii
import contextlib
import dataclasses
import re
from collections.abc import Awaitable, Callable, Iterator, Sequence

from lxml import etree

from ddcplay.lab import cmdline, enumeration, refusals, soap
from ddcplay.lab.faults import Fault
from ddcplay.lab.host import Caller, SimulatedHost
from ddcplay.lab.program import Console, Program, Sleep, Write, base_environment, codec_of
from ddcplay.lab.refusals import RefusedError
from ddcplay.lab.shells import CTRL_C_EXIT, Command, Shell
from ddcplay.lab.wine import Start, Wine, WineCommand

_RSP = f"{{{soap.RSP}}}"
_STATE = f"{soap.RSP}/CommandState"
# Pieces of 5488 base64 characters, at most 27 of them in an answer of 153600 bytes, as recorded.
_PIECE_BYTES = 4116
_PIECE_COST = 5640
_ENVELOPE_COST = 1300
_KNOWN_DIRECTORIES = ("c:\\", "c:\\windows", "c:\\users", "c:\\temp", "c:\\program files", "c:\\programdata")
_LINE_LIMIT = 8191
_SERVICE_PID = 880
_SHELL_LINE = "C:\\Windows\\system32\\WinrsHost.exe -Embedding"
_ESCAPEE = "C:\\Tools\\stays.exe --detached"
_START = re.compile(r'start\s+"[^"]*"(?:\s+/\w+)+\s+(\S.*)', re.IGNORECASE | re.DOTALL)


async def perform(host: SimulatedHost, operation: str, request: soap.Request, caller: Caller) -> bytes:
    """Carry out one request.

    Returns:
        The answer's envelope.

    Raises:
        RefusedError: the answer is a fault.
    """
    if request.not_understood:
        raise RefusedError(refusals.not_understood(request.not_understood))
    if request.timeout_s is not None and request.timeout_s < 0:
        raise RefusedError(refusals.BAD_TIMEOUT)
    handler = _HANDLERS.get(operation)
    if handler is None:
        raise RefusedError(refusals.ACTION_NOT_SUPPORTED)
    limit = host.blueprint.quotas.operations_per_user
    if operation not in ("delete", "signal") and host.shells.operations_of(caller.user) >= limit:
        raise RefusedError(_filled(refusals.OPERATION_QUOTA, limit))
    return await handler(host, request, caller)


def operation_of(request: soap.Request) -> str:
    """Name the operation of a request; `unknown` for an action this service does not know."""
    return _ACTIONS.get(request.action, "unknown")


async def _create(host: SimulatedHost, request: soap.Request, caller: Caller) -> bytes:
    quotas = host.blueprint.quotas
    if request.resource_uri != soap.CMD_SHELL:
        raise RefusedError(refusals.RESOURCE_NOT_FOUND)
    if request.body is None or request.body.tag != _RSP + "Shell":
        raise RefusedError(refusals.SCHEMA)
    if len(host.shells.owned_by(caller.user)) >= quotas.shells_per_user:
        raise RefusedError(_filled(refusals.SHELL_QUOTA, quotas.shells_per_user))
    codepage = request.options.get("WINRS_CODEPAGE", "437")
    if not codepage.isdigit() or codec_of(int(codepage)) is None:
        raise RefusedError(refusals.CODE_PAGE)
    idle_s = _idle_s(request.body, quotas.min_idle_s)
    console = Console(
        host.machine,
        host.now,
        host.owner_name,
        int(codepage),
        files=host.files,
        processes=host.processes,
        busy=host.busy,
    )
    console.env = base_environment(host.machine, host.owner_name)
    variables = request.body.iterfind(f"{_RSP}Environment/{_RSP}Variable")
    given = {variable.get("Name", ""): variable.text or "" for variable in variables}
    directory = (request.body.findtext(_RSP + "WorkingDirectory") or "").strip()
    console.env |= given
    console.cwd = directory or console.env["USERPROFILE"]
    now = asyncio.get_running_loop().time()
    given = {
        each.get("Name", ""): each.text or ""
        for each in request.body.iterfind(f"{_RSP}Environment/{_RSP}Variable")
    }
    directory = (request.body.findtext(_RSP + "WorkingDirectory") or "").strip()
    pid = host.processes.start(_SERVICE_PID, _SHELL_LINE, host.now())
    shell = Shell(soap.new_id(), caller.user, console, idle_s, caller.address, now, pid, touched=now)
    shell.given = (given, directory)
    shell.cwd_missing = host.wine is None and not _directory_exists(host, console.cwd)
    host.shells.by_id[shell.shell_id] = shell
    host.counters.shells_created += 1
    body = (
        f"<x:ResourceCreated><a:Address>{soap.text(request.to)}</a:Address><a:ReferenceParameters>"
        f"<w:ResourceURI>{soap.CMD_SHELL}</w:ResourceURI><w:SelectorSet>"
        f'<w:Selector Name="ShellId">{shell.shell_id}</w:Selector></w:SelectorSet></a:ReferenceParameters>'
        f"</x:ResourceCreated>{host.describe_shell(shell)}"
    )
    return soap.envelope("s a x w rsp p", f"{soap.X}/CreateResponse", request.message_id, body)


def _idle_s(body: etree._Element, minimum_s: float) -> float:
    text = body.findtext(_RSP + "IdleTimeOut")
    if text is None:
        return 7200.0
    seconds = soap.read_duration(text)
    if seconds is None or not minimum_s <= seconds <= 2147483.647:
        raise RefusedError(refusals.IDLE_TIMEOUT)
    return seconds


def _directory_exists(host: SimulatedHost, path: str) -> bool:
    if re.search("%[^%]+%", path):
        return True
    lowered = path.lower().rstrip("\\") if len(path) > 3 else path.lower()
    below = lowered.startswith(("c:\\windows\\", "c:\\users\\", "c:\\program files"))
    return (
        below or lowered in _KNOWN_DIRECTORIES or any(name.startswith(lowered + "\\") for name in host.files)
    )


@contextlib.contextmanager
def _using(host: SimulatedHost, request: soap.Request, caller: Caller) -> Iterator[Shell]:
    """Find the caller's shell, and count it as busy meanwhile."""
    shell_id = request.selectors.get("ShellId", "")
    shell = host.shells.by_id.get(shell_id) or host.shells.by_id.get(shell_id.upper())
    if shell is None or shell.owner != caller.user:
        raise RefusedError(_filled(refusals.SHELL_NOT_FOUND, shell_id))
    loop = asyncio.get_running_loop()
    shell.pending += 1
    try:
        yield shell
    finally:
        shell.pending -= 1
        shell.touched = loop.time()


async def _command(host: SimulatedHost, request: soap.Request, caller: Caller) -> bytes:
    with _using(host, request, caller) as shell:
        if request.body is None or request.body.tag != _RSP + "CommandLine":
            raise RefusedError(refusals.SCHEMA)
        if shell.running() >= host.blueprint.quotas.processes_per_shell:
            raise RefusedError(_filled(refusals.COMMAND_QUOTA, host.blueprint.quotas.processes_per_shell))
        if shell.cwd_missing:
            raise RefusedError(refusals.NO_DIRECTORY)
        parts = [request.body.findtext(_RSP + "Command") or ""]
        parts += [argument.text or "" for argument in request.body.iterfind(_RSP + "Arguments")]
        line = " ".join(parts)
        command_id = request.body.get("CommandId") or soap.new_id()
        console = dataclasses.replace(shell.console, env=dict(shell.console.env))
        direct = request.options.get("WINRS_SKIP_CMD_SHELL", "").lower() == "true"
        host.counters.commands.append(line)
        if host.wine is not None:
            shell.commands[command_id] = _on_wine(host.wine, host, shell, command_id, line)
        else:
            program = _program(host, console, line, direct=direct)
            ended = _begun(host, shell, line, direct=direct)
            shell.commands[command_id] = Command(command_id, program, ended)
        shell.started += 1
        answered = f"<rsp:CommandId>{soap.text(command_id)}</rsp:CommandId>"
        body = f"<rsp:CommandResponse>{answered}</rsp:CommandResponse>"
        return soap.envelope("s a x w rsp p", f"{soap.RSP}/CommandResponse", request.message_id, body)


def _on_wine(wine: Wine, host: SimulatedHost, shell: Shell, command_id: str, line: str) -> Command:
    def started(pid: int) -> None:
        host.wine_commands[pid] = shell.pid

    given, directory = shell.given
    return WineCommand(command_id, Start(wine, line, shell.console.codepage, given, directory, started))


def _begun(host: SimulatedHost, shell: Shell, line: str, *, direct: bool) -> Callable[[], None]:
    """Enter the processes of a command into the PC's table; returns what takes them out again."""
    table, now = host.processes, host.now()
    root = table.start(shell.pid, line if direct else f'{shell.console.env["ComSpec"]} /C "{line}"', now)
    started = _START.match(line)
    last = table.start(root, started[1], now) if started else root
    escapee = host.faults.take("escapee", "command")
    if escapee is not None:
        table.start(last, _ESCAPEE, now, outside=True, protected=escapee.value > 0)
    return lambda: table.end(root)


def _program(host: SimulatedHost, console: Console, line: str, *, direct: bool) -> Program:
    if direct and not cmdline.is_program(line):
        raise RefusedError(refusals.NO_PROGRAM)
    hang = host.faults.take("hang", "command")
    huge = host.faults.take("huge_output", "command")
    return _with_faults(console, line, hang, huge, direct=direct)


def _with_faults(
    console: Console, line: str, hang: Fault | None, huge: Fault | None, *, direct: bool
) -> Program:
    if huge is not None:
        block = (b"0123456789abcdef" * 4)[:62] + b"\r\n"
        for _ in range(int(huge.value * 16)):
            yield Write("stdout", block * 1024)
    if len(line) > _LINE_LIMIT:
        yield console.err("The command line is too long.\n")
        return 1
    code = yield from (cmdline.run_program(console, line) if direct else cmdline.run_line(console, line))
    while hang is not None:
        yield Sleep(3600.0)
    return code


async def _send(host: SimulatedHost, request: soap.Request, caller: Caller) -> bytes:
    with _using(host, request, caller) as shell:
        if request.body is None or request.body.tag != _RSP + "Send":
            raise RefusedError(refusals.SCHEMA)
        for stream in request.body.iterfind(_RSP + "Stream"):
            command = _find(shell, stream.get("CommandId"))
            try:
                data = base64.b64decode(stream.text or "")
            except binascii.Error:
                raise RefusedError(refusals.SCHEMA) from None
            if command.exit_code is not None and data:
                raise RefusedError(refusals.PIPE_ENDED)
            command.send(data, end=stream.get("End", "").lower() in ("true", "1"))
        return soap.envelope(
            "s a x w rsp p", f"{soap.RSP}/SendResponse", request.message_id, "<rsp:SendResponse/>"
        )


async def _receive(host: SimulatedHost, request: soap.Request, caller: Caller) -> bytes:
    with _using(host, request, caller) as shell:
        stream = None if request.body is None else request.body.find(_RSP + "DesiredStream")
        if stream is None:
            raise RefusedError(refusals.SCHEMA)
        command = _find(shell, stream.get("CommandId"))
        longest = host.blueprint.quotas.max_timeout_s
        if not await command.news(min(request.timeout_s or longest, longest)):
            raise RefusedError(refusals.TIMED_OUT)
        if command.gone:
            raise RefusedError(refusals.ABORTED)
        pieces = command.fetch(*_sizes(host, request))
        done = command.exit_code is not None and not command.output
        if done:
            shell.commands.pop(command.command_id, None)
            shell.ended.add(command.command_id)
        body = _streams(host, command, pieces, done=done)
        return soap.envelope("s a w rsp p", f"{soap.RSP}/ReceiveResponse", request.message_id, body)


def _sizes(host: SimulatedHost, request: soap.Request) -> tuple[int, int]:
    """Return how many pieces of how many bytes an answer may carry."""
    if host.faults.take("split_utf8", "receive"):
        return 1, 1
    room = min(request.max_envelope or 153_600, host.blueprint.quotas.max_envelope_bytes) - _ENVELOPE_COST
    return max(1, room // _PIECE_COST), min(_PIECE_BYTES, max(3, room * 3 // 5))


def _streams(
    host: SimulatedHost, command: Command, pieces: Sequence[tuple[str, bytes]], *, done: bool
) -> str:
    command_id = soap.text(command.command_id)
    rows = [
        f'<rsp:Stream Name="{stream}" CommandId="{command_id}">{base64.b64encode(data).decode()}</rsp:Stream>'
        for stream, data in pieces
    ]
    if not done:
        state = f'<rsp:CommandState CommandId="{command_id}" State="{_STATE}/Running"></rsp:CommandState>'
        return f"<rsp:ReceiveResponse>{''.join(rows)}{state}</rsp:ReceiveResponse>"
    rows += [
        f'<rsp:Stream Name="{stream}" CommandId="{command_id}" End="true"></rsp:Stream>'
        for stream in ("stdout", "stderr")
    ]
    if host.faults.take("no_streams", "receive"):
        rows = []
    code = (
        ""
        if host.faults.take("no_exit_code", "receive")
        else f"<rsp:ExitCode>{command.exit_code}</rsp:ExitCode>"
    )
    state = f'<rsp:CommandState CommandId="{command_id}" State="{_STATE}/Done">{code}</rsp:CommandState>'
    return f"<rsp:ReceiveResponse>{''.join(rows)}{state}</rsp:ReceiveResponse>"


def _find(shell: Shell, command_id: str | None) -> Command:
    if command_id is None:
        raise RefusedError(refusals.INVALID_PARAMETER)
    command = shell.commands.get(command_id) or shell.commands.get(command_id.upper())
    if command is None:
        raise RefusedError(refusals.COMMAND_NOT_FOUND)
    return command


async def _signal(host: SimulatedHost, request: soap.Request, caller: Caller) -> bytes:
    with _using(host, request, caller) as shell:
        if request.body is None or request.body.tag != _RSP + "Signal":
            raise RefusedError(refusals.SCHEMA)
        command_id = request.body.get("CommandId")
        code = (request.body.findtext(_RSP + "Code") or "").strip().rpartition("/")[2].lower()
        if command_id is None or code not in ("terminate", "ctrl_c", "ctrl_break"):
            raise RefusedError(refusals.INVALID_PARAMETER)
        if command_id not in shell.ended:
            command = _find(shell, command_id)
            if code == "terminate":
                command.kill()
                shell.commands.pop(command.command_id, None)
                shell.ended.add(command.command_id)
            else:
                command.kill(CTRL_C_EXIT)
        return soap.envelope(
            "s a x w rsp p", f"{soap.RSP}/SignalResponse", request.message_id, "<rsp:SignalResponse/>"
        )


async def _delete(host: SimulatedHost, request: soap.Request, caller: Caller) -> bytes:
    with _using(host, request, caller) as shell:
        del host.shells.by_id[shell.shell_id]
        shell.close()
        host.counters.shells_deleted += 1
        return soap.envelope("s a w p", f"{soap.X}/DeleteResponse", request.message_id, "")


async def _get(host: SimulatedHost, request: soap.Request, caller: Caller) -> bytes:
    with _using(host, request, caller) as shell:
        return soap.envelope(
            "s a x w p", f"{soap.X}/GetResponse", request.message_id, host.describe_shell(shell, full=True)
        )


def _filled(refusal: refusals.Refusal, value: object) -> refusals.Refusal:
    return dataclasses.replace(refusal, message=refusal.message.format(value))


_Handler = Callable[[SimulatedHost, soap.Request, Caller], Awaitable[bytes]]
_ACTIONS = {
    f"{soap.X}/Create": "create",
    f"{soap.X}/Delete": "delete",
    f"{soap.X}/Get": "get",
    f"{soap.RSP}/Command": "command",
    f"{soap.RSP}/Send": "send",
    f"{soap.RSP}/Receive": "receive",
    f"{soap.RSP}/Signal": "signal",
    f"{soap.N}/Enumerate": "enumerate",
    f"{soap.N}/Pull": "pull",
    f"{soap.N}/Release": "release",
}
_HANDLERS: dict[str, _Handler] = {
    "create": _create,
    "command": _command,
    "send": _send,
    "receive": _receive,
    "signal": _signal,
    "delete": _delete,
    "get": _get,
    "enumerate": enumeration.enumerate_,
    "pull": enumeration.pull,
    "release": enumeration.release,
}
