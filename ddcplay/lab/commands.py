"""The commands and console programs of a simulated PC, with the texts an English Windows prints."""

from __future__ import annotations

import re
from collections.abc import Callable, Generator
from datetime import UTC, datetime

from ddcplay.lab import disk
from ddcplay.lab.program import Console, Program, Read, Sleep, Step, Write, codec_of

Capture = Generator[Step, "bytes | None", tuple[bytes, int]]
Builtin = Callable[[Console, str], Program]


def find(name: str, *, only_programs: bool = False) -> Builtin | None:
    """Return what runs under a name; built-in commands of cmd.exe are left out on request."""
    return _PROGRAMS.get(name) or (None if only_programs else _INTERNAL.get(name) or disk.INTERNAL.get(name))


def clock_text(console: Console, which: str) -> str:
    """Return `%DATE%` or `%TIME%`."""
    now = _local(console)
    return now.strftime("%a %m/%d/%Y") if which == "DATE" else now.strftime("%H:%M:%S.") + "00"


def full_path(console: Console, path: str) -> str:
    """Return an absolute path of the simulated disk."""
    path = disk.full_path(console, path)
    return path.rstrip("\\") if len(path) > 3 else path


def read_input(console: Console) -> Generator[Step, bytes | None, bytes]:
    """Read standard input to its end; without a pipe there is nothing to read."""
    data = bytearray()
    while console.piped_stdin:
        piece = yield Read()
        if piece is None:
            break
        data += piece
    return bytes(data)


def _local(console: Console) -> datetime:
    return datetime.fromtimestamp(console.now(), UTC)


def _echo(console: Console, rest: str) -> Program:
    if not rest.strip():
        yield console.out("ECHO is on.\n")
    elif rest == ".":
        yield console.out("\n")
    else:
        yield console.out(rest[1:] + "\n" if rest[0] in " ,;=\t" else rest + "\n")
    return 0


def _hostname(console: Console, _rest: str) -> Program:
    yield console.out(console.machine.computer_name + "\n")
    return 0


def _ver(console: Console, _rest: str) -> Program:
    yield console.out(f"\nMicrosoft Windows [Version {console.machine.system[1]}.4894]\n")
    return 0


def _whoami(console: Console, _rest: str) -> Program:
    yield console.out(console.user.lower() + "\n")
    return 0


def _set(console: Console, rest: str) -> Program:
    name, equals, value = rest.strip().strip('"').partition("=")
    if equals:
        for key in [key for key in console.env if key.upper() == name.upper()]:
            del console.env[key]
        if value:
            console.env[name] = value
        return 0
    rows = sorted(
        (f"{key}={text}" for key, text in console.env.items() if key.upper().startswith(name.upper())),
        key=str.upper,
    )
    if not rows:
        yield console.err(f"Environment variable {name} not defined\n")
        return 1
    yield console.out("\n".join(rows) + "\n")
    return 0


def _cd(console: Console, rest: str) -> Program:
    target = re.sub(r"^/d\s+", "", rest.strip(), flags=re.IGNORECASE)
    if not target:
        yield console.out(console.cwd + "\n")
        return 0
    if target == "..":
        console.cwd = console.cwd.rstrip("\\").rpartition("\\")[0]
    else:
        return (yield from disk.change_directory(console, target))
    if len(console.cwd) == 2:
        console.cwd += "\\"
    return 0


def _type(console: Console, rest: str) -> Program:
    data = console.files.get(full_path(console, rest).lower())
    if data is None:
        yield console.err("The system cannot find the file specified.\n")
        return 1
    yield Write("stdout", data)
    return 0


def _del(console: Console, rest: str) -> Program:
    for path in re.sub(r"(^|\s)/[a-z]", "", rest, flags=re.IGNORECASE).split():
        console.files.pop(full_path(console, path).lower(), None)
    yield from ()
    return 0


def _dir(console: Console, rest: str) -> Program:
    folder = full_path(console, re.sub(r"/[a-z:-]+", "", rest, flags=re.IGNORECASE).strip() or console.cwd)
    prefix = folder.lower().rstrip("\\") + "\\"
    names = sorted(
        path.removeprefix(prefix) for path in console.files if path.startswith(prefix) and path != prefix
    )
    if "/b" in rest.lower():
        yield console.out("".join(f"{name}\n" for name in names) or "File Not Found\n")
        return 0
    free = console.machine.disks(console.now())[0].free_bytes
    stamp = _local(console).strftime("%m/%d/%Y  %I:%M %p")
    rows = "".join(f"{stamp} {len(console.files[prefix + name]):>17,} {name}\n" for name in names)
    total = sum(len(console.files[prefix + name]) for name in names)
    yield console.out(
        f" Volume in drive {folder[0].upper()} has no label.\n Volume Serial Number is 4A2C-17E9\n\n"
        f" Directory of {folder}\n\n{rows}{len(names):>16} File(s) {total:>14,} bytes\n"
        f"{2:>16} Dir(s) {free:>15,} bytes free\n"
    )
    return 0


def _chcp(console: Console, rest: str) -> Program:
    if rest.strip():
        page = int(rest) if rest.strip().isdigit() else 0
        if codec_of(page) is None:
            yield console.out("Invalid code page\n")
            return 1
        console.codepage = page
    yield console.out(f"Active code page: {console.codepage}\n")
    return 0


def _exit(console: Console, rest: str) -> Program:
    match = re.search(r"(-?\d+)", rest)
    console.exited = True
    yield from ()
    return int(match[1]) if match else console.last_code


def _sleep(_console: Console, rest: str) -> Program:
    match = re.search(r"\d+(?:\.\d+)?", rest)
    yield Sleep(float(match[0]) if match else 1.0)
    return 0


def _timeout(console: Console, _rest: str) -> Program:
    # timeout.exe insists on a console, which a remote shell does not have.
    yield console.err("ERROR: Input redirection is not supported, exiting the process immediately.\n")
    return 1


def _ping(console: Console, rest: str) -> Program:
    count = re.search(r"-n\s+(\d+)", rest)
    target = rest.rsplit(maxsplit=1)[-1] if rest.split() else "127.0.0.1"
    yield console.out(f"\nPinging {target} with 32 bytes of data:\n")
    for row in range(int(count[1]) if count else 4):
        if row:
            yield Sleep(1.0)
        yield console.out(f"Reply from {target}: bytes=32 time<1ms TTL=128\n")
    return 0


def _more(console: Console, _rest: str) -> Program:
    data = yield from read_input(console)
    yield Write("stdout", data)
    return 0


def _sort(console: Console, _rest: str) -> Program:
    data = yield from read_input(console)
    yield Write("stdout", b"".join(line + b"\r\n" for line in sorted(data.splitlines(), key=bytes.lower)))
    return 0


def _findstr(console: Console, rest: str) -> Program:
    flags = "".join(re.findall(r"(?:^|\s)/(\w)", rest)).lower()
    match = re.search(r'(?:/c:)?"([^"]*)"|(?:^|\s)([^/\s]\S*)', rest, re.IGNORECASE)
    wanted = console.encode((match[1] if match[1] is not None else match[2]) if match else "")
    if "i" in flags:
        wanted = wanted.lower()
    data = yield from read_input(console)
    found = False
    for line in data.splitlines():
        hit = wanted in (line.lower() if "i" in flags else line)
        if hit != ("v" in flags):
            found = True
            yield Write("stdout", line + b"\r\n")
    return 0 if found else 1


def _systeminfo(console: Console, rest: str) -> Program:
    machine, now = console.machine, console.now()
    caption, version = machine.system
    boot = datetime.fromtimestamp(machine.booted_at(now), UTC)
    name, mhz, _, _ = machine.cpu
    rows = (
        ("Host Name", machine.computer_name),
        ("OS Name", caption),
        ("OS Version", f"{version} N/A Build {version.rpartition('.')[2]}"),
        ("OS Manufacturer", "Microsoft Corporation"),
        ("OS Configuration", "Member Workstation"),
        ("System Boot Time", boot.strftime("%m/%d/%Y, %I:%M:%S %p").lstrip("0")),
        ("System Manufacturer", "HP"),
        ("System Model", "HP ProDesk 400 G6 MT"),
        ("System Type", "x64-based PC"),
        ("Processor(s)", f"1 Processor(s) Installed.\n{'':27}[01]: {name} ~{mhz} Mhz"),
        ("Total Physical Memory", f"{machine.ram_bytes // 1024**2:,} MB"),
        ("Available Physical Memory", f"{machine.free_memory_bytes(now) // 1024**2:,} MB"),
        ("Domain", f"{machine.domain.lower()}.example"),
    )
    if re.search(r"/fo\s+csv", rest, re.IGNORECASE):
        head = ",".join(f'"{label}"' for label, _ in rows) + "\n"
        line = ",".join('"' + " ".join(value.split()) + '"' for _, value in rows) + "\n"
        yield console.out(line if re.search(r"/nh", rest, re.IGNORECASE) else head + line)
        return 0
    yield console.out("\n" + "".join(f"{label + ':':<27}{value}\n" for label, value in rows))
    return 0


def _fsutil(console: Console, rest: str) -> Program:
    match = re.search(r"diskfree\s+([a-z]:)", rest, re.IGNORECASE)
    wanted = match[1].upper() if match else ""
    for volume in console.machine.disks(console.now()):
        if volume.device == wanted:
            yield console.out(
                f"Total free bytes                : {volume.free_bytes:>18,}\n"
                f"Total bytes                     : {volume.size_bytes:>18,}\n"
                f"Total quota free bytes          : {volume.free_bytes:>18,}\n"
            )
            return 0
    yield console.out("Error:  The system cannot find the path specified.\n")
    return 1


def _query(console: Console, rest: str) -> Program:
    if rest.strip().lower().startswith("user"):
        return (yield from _quser(console, ""))
    yield console.err("Invalid parameter(s)\nQUERY { PROCESS | SESSION | TERMSERVER | USER }\n")
    return 1


def _ipconfig(console: Console, rest: str) -> Program:
    machine = console.machine
    text = "\nWindows IP Configuration\n\n"
    if "/all" in rest.lower():
        text += f"   Host Name . . . . . . . . . . . . : {machine.computer_name}\n\n"
    text += "\nEthernet adapter Ethernet:\n\n"
    if "/all" in rest.lower():
        text += f"   Physical Address. . . . . . . . . : {machine.mac.replace(':', '-')}\n"
    text += (
        f"   IPv4 Address. . . . . . . . . . . : {machine.address}\n"
        "   Subnet Mask . . . . . . . . . . . : 255.255.0.0\n"
        "   Default Gateway . . . . . . . . . : 10.0.0.254\n"
    )
    yield console.out(text)
    return 0


def _tasklist(console: Console, rest: str) -> Program:
    rows = console.machine.processes(console.now())
    if re.search(r"/fo\s+csv", rest, re.IGNORECASE):
        head = '"Image Name","PID","Session Name","Session#","Mem Usage"\n'
        text = "" if re.search(r"/nh", rest, re.IGNORECASE) else head
        text += "".join(
            f'"{row.name}","{row.pid}","{_session(row.session)}","{row.session}","{row.memory_kib:,} K"\n'
            for row in rows
        )
    else:
        text = (
            "\nImage Name                     PID Session Name        Session#    Mem Usage\n"
            f"{'=' * 25} {'=' * 8} {'=' * 16} {'=' * 11} {'=' * 12}\n"
        )
        text += "".join(
            f"{row.name[:25]:<25} {row.pid:>8} {_session(row.session):<16} {row.session:>11} "
            f"{row.memory_kib:>10,} K\n"
            for row in rows
        )
    yield console.out(text)
    return 0


def _taskkill(console: Console, rest: str) -> Program:
    code = 0
    for pid in map(int, re.findall(r"/pid\s+(\d+)", rest, re.IGNORECASE)):
        told = console.processes.kill(pid, tree=re.search(r"/t\b", rest, re.IGNORECASE) is not None)
        if told is None:
            code = 128
            yield console.err(f'ERROR: The process "{pid}" not found.\n')
        for process, ended in told or []:
            about = f"process with PID {process.pid} (child process of PID {process.parent})"
            if ended:
                yield console.out(f"SUCCESS: The {about} has been terminated.\n")
            else:
                code = 1
                yield console.err(f"ERROR: The {about} could not be terminated.\nReason: Access is denied.\n")
    return code


def _session(number: int) -> str:
    return "Console" if number else "Services"


def _quser(console: Console, _rest: str) -> Program:
    user = console.machine.user(console.now())
    if user is None:
        yield console.err("No User exists for *\n")
        return 1
    stamp = _local(console).strftime("%m/%d/%Y %I:%M %p")
    yield console.out(
        " USERNAME              SESSIONNAME        ID  STATE   IDLE TIME  LOGON TIME\n"
        f" {user:<22}console             1  Active      none   {stamp}\n"
    )
    return 0


def _rem(_console: Console, _rest: str) -> Program:
    yield from ()
    return 0


_INTERNAL: dict[str, Builtin] = {
    "cd": _cd,
    "chdir": _cd,
    "del": _del,
    "dir": _dir,
    "echo": _echo,
    "erase": _del,
    "exit": _exit,
    "rem": _rem,
    "set": _set,
    "type": _type,
    "ver": _ver,
}
_PROGRAMS: dict[str, Builtin] = {
    **disk.PROGRAMS,
    "chcp": _chcp,
    "findstr": _findstr,
    "fsutil": _fsutil,
    "hostname": _hostname,
    "ipconfig": _ipconfig,
    "more": _more,
    "ping": _ping,
    "query": _query,
    "quser": _quser,
    "sleep": _sleep,
    "sort": _sort,
    "systeminfo": _systeminfo,
    "taskkill": _taskkill,
    "tasklist": _tasklist,
    "timeout": _timeout,
    "whoami": _whoami,
}
