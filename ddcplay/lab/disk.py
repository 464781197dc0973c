"""The disk of a simulated PC as cmd.exe sees it: directories, files that arrive, and sent programs that run.

Files live in one dictionary by lower-case path; a directory that was made is a key that ends in a backslash.
A sent file that starts with `MZ` is a program: it prints its arguments as JSON, unless they ask for more.
"""

from __future__ import annotations

import base64
import hashlib
import io
import itertools
import json
import re
import tarfile
from collections.abc import Callable, Generator

from ddcplay.lab.program import Console, Program, Read, Sleep, Step, Write

TAR = "c:\\windows\\system32\\tar.exe"
Runner = Callable[[Console, str], Program]
_ALWAYS = ("c:", "c:\\windows", "c:\\users", "c:\\temp", "c:\\program files", "c:\\programdata")
_NOT_FOUND = "The system cannot find the path specified.\n"
_FILE_NOT_FOUND = "The system cannot find the file specified.\n"
_IF = re.compile(
    r'if\s+(?P<not>not\s+)?exist\s+(?:"(?P<quoted>[^"]*)"|(?P<bare>\S+))\s*(?P<rest>.*)',
    re.IGNORECASE | re.DOTALL,
)
_WORD = re.compile(r'"([^"]*)"|(\S+)')
_PART = re.compile(r"\[IO\.File\]::Create\(.*?'([^']+)'")


def full_path(console: Console, path: str) -> str:
    """Return an absolute path of the simulated disk, a trailing backslash kept."""
    path = path.strip().strip('"').replace("/", "\\")
    if re.match(r"[A-Za-z]:", path):
        return path
    if path.startswith("\\"):
        return console.cwd[:2] + path
    return f"{console.cwd.rstrip(chr(92))}\\{path}"


def exists(console: Console, path: str) -> bool:
    """Say whether a file or a directory is there; with a backslash at the end only a directory is."""
    return is_directory(console, path) or (not path.endswith("\\") and path.lower() in console.files)


def is_directory(console: Console, path: str) -> bool:
    """Say whether a directory is there: made, holding files, or part of every Windows."""
    wanted = path.lower().rstrip("\\")
    if wanted in _ALWAYS or re.fullmatch(r"c:\\windows\\[^.]*", wanted):
        return wanted not in console.files
    profile = (console.variable("USERPROFILE") or "").lower()
    if profile and wanted in (profile, f"{profile}\\appdata\\local\\temp"):
        return True
    return any(name.startswith(wanted + "\\") for name in console.files)


def run_if(console: Console, text: str, run: Runner) -> Program | None:
    """Return what an `if exist` line runs, None when the text is no such line."""
    found = _IF.match(text.strip())
    if found is None:
        return None
    path = full_path(console, found["quoted"] if found["quoted"] is not None else found["bare"])
    holds = exists(console, path) != bool(found["not"])
    then, otherwise = _branches(found["rest"])
    return run(console, then if holds else otherwise)


def _branches(rest: str) -> tuple[str, str]:
    split = re.fullmatch(
        r"\((?P<then>.*?)\)\s*else\s*\((?P<else>.*)\)\s*", rest.strip(), re.IGNORECASE | re.DOTALL
    )
    return (split["then"], split["else"]) if split else (rest, "")


def change_directory(console: Console, target: str) -> Program:
    """Go to a directory (`cd`), or complain."""
    path = full_path(console, target).rstrip("\\")
    if not is_directory(console, path):
        yield console.err(_NOT_FOUND)
        return 1
    console.cwd = path if len(path) > 2 else path + "\\"
    return 0


def _mkdir(console: Console, rest: str) -> Program:
    path = full_path(console, rest).rstrip("\\")
    if exists(console, path):
        yield console.err(f"A subdirectory or file {rest.strip()} already exists.\n")
        return 1
    console.files[path.lower() + "\\"] = b""
    return 0


def _rmdir(console: Console, rest: str) -> Program:
    everything = re.search(r"(^|\s)/s(\s|$)", rest, re.IGNORECASE) is not None
    path = (
        full_path(console, re.sub(r"(^|\s)/[sq](?=\s|$)", "", rest, flags=re.IGNORECASE)).rstrip("\\").lower()
    )
    inside = [name for name in console.files if name.startswith(path + "\\")]
    if not inside:
        yield console.err(_FILE_NOT_FOUND)
        return 2
    if (inside != [path + "\\"] and not everything) or path in console.busy:
        yield console.err("The directory is not empty.\n")
        return 145
    for name in inside:
        del console.files[name]
    return 0


def _move(console: Console, rest: str) -> Program:
    words = [
        full_path(console, a or b).lower() for a, b in _WORD.findall(rest) if not (b or "").startswith("/")
    ]
    if len(words) != 2 or words[0] not in console.files:
        yield console.err(_FILE_NOT_FOUND)
        return 1
    console.files[words[1]] = console.files.pop(words[0])
    yield console.out("        1 file(s) moved.\n")
    return 0


def _certutil(console: Console, rest: str) -> Program:
    words = [a or b for a, b in _WORD.findall(rest)]
    content = console.files.get(full_path(console, words[1]).lower()) if len(words) == 3 else None
    if content is None or words[0].lower() != "-hashfile" or words[2].upper() != "SHA256":
        yield console.out("CertUtil: -hashfile command FAILED: 0x80070002 (WIN32: 2 ERROR_FILE_NOT_FOUND)\n")
        return 0x80070002
    digest = hashlib.sha256(content).hexdigest()
    # German words and Windows 7's blanks: whoever reads this must look at the digits alone.
    digits = digest if int(digest[0], 16) % 2 else " ".join(re.findall("..", digest))
    yield console.out(
        f"SHA256-Hash von {words[1]}:\n{digits}\nCertUtil: -hashfile-Befehl wurde erfolgreich ausgeführt.\n"
    )
    return 0


def _tar(console: Console, rest: str) -> Program:
    data = yield from _input(console)
    if not re.match(r"\s*-x\w*f\s+-", rest):
        yield console.err("tar.exe: Must specify one of -c, -r, -t, -u, -x\n")
        return 1
    try:
        with tarfile.open(fileobj=io.BytesIO(data)) as archive:
            for member in archive:
                content = archive.extractfile(member)
                console.files[full_path(console, member.name).lower()] = content.read() if content else b""
    except tarfile.TarError:
        yield console.err("tar.exe: Error opening archive: Unrecognized archive format\n")
        return 1
    return 0


def _icacls(console: Console, rest: str) -> Program:
    name = _WORD.match(rest.strip())
    if name is None or not exists(console, full_path(console, name[1] or name[2])):
        yield console.err(_FILE_NOT_FOUND)
        return 2
    yield console.out(f"processed file: {name[1] or name[2]}\n")
    return 0


def receive_base64(console: Console, script: str) -> Program | None:
    """Return what a PowerShell line does that writes the base64 lines of its input to a file."""
    found = _PART.search(script)
    return None if found is None else _receive(console, full_path(console, found[1]).lower())


def _receive(console: Console, path: str) -> Program:
    data = yield from _input(console)
    console.files[path] = b"".join(base64.b64decode(line) for line in data.split())
    return 0


def find_sent(console: Console, name: str) -> str | None:
    """Return the path of a program or batch file that somebody put on the disk, None when there is none."""
    path = full_path(console, name).lower()
    return path if path in console.files and path != TAR else None


def run_sent(console: Console, path: str, rest: str, run: Runner) -> Program:
    """Run a file that was put on the disk."""
    content = console.files[path]
    if path.endswith((".cmd", ".bat")):
        return (yield from _batch(console, content, rest, run))
    if not content.startswith(b"MZ"):
        yield console.err(
            "This version of the file is not compatible with the version of Windows you're running.\n"
        )
        return 216
    return (yield from _program(console, path, rest))


def _batch(console: Console, content: bytes, rest: str, run: Runner) -> Program:
    values = [a or b for a, b in _WORD.findall(rest)]
    code = 0
    for line in content.decode("utf-8", "replace").splitlines():
        if not line.strip() or line.strip().lower() == "@echo off":
            continue
        for number in range(1, 10):
            value = values[number - 1] if number <= len(values) else ""
            line = line.replace(f"%~{number}", value).replace(f"%{number}", value)  # noqa: PLW2901 - as cmd does
        code = yield from run(console, line)
        if console.exited:
            break
    return code


def _program(console: Console, path: str, rest: str) -> Program:
    argv = split_arguments(rest)
    directory = path.rpartition("\\")[0]
    console.busy.add(directory)
    try:
        text = json.dumps({"argv": argv, "cwd": console.cwd}, ensure_ascii=False)
        yield Write("stdout", text.encode() + b"\r\n")
        code = 0
        for option, value in itertools.pairwise(argv):
            match option:
                case "--exit":
                    code = int(value)
                case "--stderr":
                    yield Write("stderr", value.encode() + b"\r\n")
                case "--sleep":
                    yield Sleep(float(value))
                case "--write":
                    console.files[full_path(console, value).lower()] = b"written by the program"
                case "--read":
                    yield Write("stdout", (yield from _input(console)))
                case _:
                    pass
        return code
    finally:
        console.busy.discard(directory)


def split_arguments(line: str) -> list[str]:
    r"""Split a command line as the C run-time library does (2n backslashes before a quote, `""` inside)."""
    arguments: list[str] = []
    current, quoted, begun, index = "", False, False, 0
    while index < len(line):
        char = line[index]
        slashes = len(line) - index - len(line[index:].lstrip("\\")) if char == "\\" else 0
        if slashes:
            before_quote = line[index + slashes : index + slashes + 1] == '"'
            current += "\\" * (slashes // 2 if before_quote else slashes)
            begun, index = True, index + slashes
            if before_quote and slashes % 2:
                current, index = current + '"', index + 1
            continue
        if char == '"':
            if quoted and line[index + 1 : index + 2] == '"':
                current, index = current + '"', index + 1
            else:
                quoted = not quoted
            begun = True
        elif char in " \t" and not quoted:
            if begun:
                arguments.append(current)
            current, begun = "", False
        else:
            current, begun = current + char, True
        index += 1
    return [*arguments, current] if begun else arguments


def _input(console: Console) -> Generator[Step, bytes | None, bytes]:
    data = bytearray()
    while console.piped_stdin:
        piece = yield Read()
        if piece is None:
            break
        data += piece
    return bytes(data)


INTERNAL: dict[str, Runner] = {"md": _mkdir, "mkdir": _mkdir, "move": _move, "rd": _rmdir, "rmdir": _rmdir}
PROGRAMS: dict[str, Runner] = {"certutil": _certutil, "icacls": _icacls, "tar": _tar}
