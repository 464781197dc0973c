"""A small cmd.exe: chaining, redirection, variables, and the commands a collector is likely to send.

`%COMSPEC% /C "line"` is what a remote shell runs, so the rules here are those of a command line, not of a
batch file: an undefined `%NAME%` stays as it is, and an unknown command ends with exit code 1.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from ddcplay.lab import commands, disk, powershell
from ddcplay.lab.program import Console, Program, Read, Write

_VARIABLE = re.compile(r"%([^%\s][^%]*)%")
_REDIRECT = re.compile(r"(\d?)(>>|>|<)(&\d|\s*(?:\"[^\"]*\"|[^\s\"<>]+))")
_NAME = re.compile(r'\s*(?:"([^"]*)"|([^\s"/;,=(]+\(?|[^\s]))(.*)', re.DOTALL)


@dataclass(frozen=True, slots=True)
class _Part:
    """A command and the operator before it."""

    operator: str
    text: str


def run_line(console: Console, line: str) -> Program:
    """Run a command line as `cmd /c` does and return its exit code."""
    code = 0
    for part in split_line(_expand(console, line)):
        if (part.operator == "&&" and code) or (part.operator == "||" and not code):
            continue
        code = yield from _run_pipeline(console, part.text)
        console.last_code = code
        if console.exited:
            break
    return code


def run_program(console: Console, line: str) -> Program:
    """Run a program directly (WINRS_SKIP_CMD_SHELL): no cmd.exe, so no built-in commands and no operators."""
    return (yield from _dispatch(console, line, only_programs=True, verbatim=True))


def split_line(line: str) -> Iterator[_Part]:
    """Cut a line at `&`, `&&` and `||` outside quotes and parentheses."""
    operator, start, depth, quoted, index = "", 0, 0, False, 0
    while index < len(line):
        char = line[index]
        if char == "^" and not quoted:
            index += 2
            continue
        if char == '"':
            quoted = not quoted
        elif not quoted and char == "(" and (depth or not line[start:index].strip()):
            depth += 1
        elif not quoted and char == ")" and depth:
            depth -= 1
        elif not quoted and not depth and (char == "&" or line.startswith("||", index)):
            if char == "&" and index and line[index - 1] in "<>":
                index += 1
                continue
            if line[start:index].strip():
                yield _Part(operator, line[start:index])
            operator = line[index : index + 2] if line[index : index + 2] in ("&&", "||") else "&"
            index += len(operator)
            start = index
            continue
        index += 1
    if line[start:].strip():
        yield _Part(operator, line[start:])


def _expand(console: Console, line: str) -> str:
    def value(match: re.Match[str]) -> str:
        name = match[1]
        if name.upper() == "ERRORLEVEL":
            return str(console.last_code)
        if name.upper() == "CD":
            return console.cwd
        if name.upper() in ("DATE", "TIME"):
            return commands.clock_text(console, name.upper())
        found = console.variable(name)
        return match[0] if found is None else found

    return _VARIABLE.sub(value, line)


def _run_pipeline(console: Console, text: str) -> Program:
    stages = _split_pipes(text)
    data: bytes | None = None
    for stage in stages[:-1]:
        data, _ = yield from _captured(_fed(_run_command(console, stage), data))
    return (yield from _fed(_run_command(console, stages[-1]), data))


def _split_pipes(text: str) -> list[str]:
    stages, start, quoted, depth = [], 0, False, 0
    for index, char in enumerate(text):
        if char == '"':
            quoted = not quoted
        elif char == "(" and not quoted:
            depth += 1
        elif char == ")" and not quoted:
            depth = max(0, depth - 1)
        elif char == "|" and not quoted and not depth and (not index or text[index - 1] != "^"):
            stages.append(text[start:index])
            start = index + 1
    return [*stages, text[start:]]


def _fed(program: Program, data: bytes | None) -> Program:
    """Give a program its standard input from a pipe; None leaves the process' own."""
    if data is None:
        return (yield from program)
    given: bytes | None = data or None
    answer: bytes | None = None
    while True:
        try:
            step = program.send(answer)
        except StopIteration as end:
            return int(end.value)
        if isinstance(step, Read):
            answer, given = given, None
        else:
            answer = yield step


def _captured(program: Program) -> commands.Capture:
    """Run a program and keep what it prints to stdout."""
    kept = bytearray()
    answer: bytes | None = None
    while True:
        try:
            step = program.send(answer)
        except StopIteration as end:
            return bytes(kept), int(end.value)
        if isinstance(step, Write) and step.stream == "stdout":
            kept += step.data
            answer = None
        else:
            answer = yield step


def _run_command(console: Console, text: str) -> Program:
    text = text.strip().removeprefix("@").lstrip() if text.strip().startswith("@") else text.lstrip()
    if text.startswith("(") and text.rstrip().endswith(")"):
        return (yield from run_line(console, text.strip()[1:-1]))
    condition = disk.run_if(console, text, run_line)
    if condition is not None:
        return (yield from condition)
    text, targets, source = _redirections(text)
    if not targets and source is None:
        return (yield from _dispatch(console, text))
    data = console.files.get(source.lower(), b"") if source is not None else None
    return (yield from _redirected(console, _fed(_dispatch(console, text), data), targets))


def _redirections(text: str) -> tuple[str, dict[str, str], str | None]:
    """Take the redirections out of a command: what is left, targets by stream number, source of stdin."""
    targets: dict[str, str] = {}
    source: str | None = None
    kept, position = "", 0
    for match in _REDIRECT.finditer(text):
        if text[: match.start()].count('"') % 2 or text[: match.start()].endswith("^"):
            continue
        number, sign, target = match.groups()
        begin = match.start()
        if number and begin and not text[begin - 1].isspace() and text[begin - 1] not in ">&":
            # A digit that ends a word belongs to the word: only after a blank it names a handle.
            number, begin = "", begin + 1
        kept += text[position:begin]
        position = match.end()
        if sign == "<":
            source = target.strip().strip('"')
        else:
            targets[number or "1"] = ("+" if sign == ">>" else "") + target.strip().strip('"')
    return kept + text[position:], targets, source


def _targets_opened(console: Console, targets: dict[str, str]) -> dict[str, bytes]:
    files: dict[str, bytes] = {}
    for number, target in targets.items():
        path = commands.full_path(console, target.removeprefix("+"))
        if not target.startswith("&") and number in ("1", "2"):
            files[number] = console.files.get(path.lower(), b"") if target.startswith("+") else b""
    return files


def _redirected(console: Console, program: Program, targets: dict[str, str]) -> Program:
    names = {"1": "stdout", "2": "stderr"}
    files = _targets_opened(console, targets)
    answer: bytes | None = None
    while True:
        try:
            step = program.send(answer)
        except StopIteration as end:
            code = int(end.value)
            break
        if not isinstance(step, Write):
            answer = yield step
            continue
        answer = None
        number = "1" if step.stream == "stdout" else "2"
        target = targets.get(number, "")
        if target.startswith("&"):
            number, target = target[1:], targets.get(target[1:], "")
        if target and not target.startswith("&") and number in files:
            files[number] += step.data
        elif number in names:
            yield Write("stdout" if number == "1" else "stderr", step.data)
    _keep(console, files, targets)
    return code


def _keep(console: Console, files: dict[str, bytes], targets: dict[str, str]) -> None:
    for number, data in files.items():
        path = commands.full_path(console, targets[number].removeprefix("+"))
        if not path.lower().endswith("\\nul"):
            console.files[path.lower()] = data


def _dispatch(console: Console, text: str, *, only_programs: bool = False, verbatim: bool = False) -> Program:
    """Run one command; `verbatim` says that cmd.exe has looked at its carets already, or never will."""
    match = _NAME.match(text if verbatim else _unescape(text))
    if match is None:
        return 0
    quoted, plain, rest = match.groups()
    raw = plain if quoted is None else quoted
    name = raw.replace("/", "\\").rpartition("\\")[2].lower() if not raw.startswith("\\") else raw.lower()
    for suffix in (".exe", ".com"):
        name = name.removesuffix(suffix)
    if name == "cmd":
        return (yield from _nested(console, rest))
    if name in ("start", "call") and not only_programs:
        run_it = _start(console, rest) if name == "start" else _dispatch(console, rest, verbatim=True)
        return (yield from run_it)
    if name in ("powershell", "pwsh"):
        return (yield from powershell.run(console, rest))
    if name.startswith("echo") and len(name) == 5 and name[4] in ".:([+":
        name, rest = "echo", " " + rest.lstrip() if rest.strip() else "."
    if name.startswith("cd") and len(raw) > 2 and raw[2] in "\\.":
        name, rest = "cd", " " + raw[2:] + rest
    sent = disk.find_sent(console, raw)
    if sent is not None:
        return (yield from disk.run_sent(console, sent, rest, run_line))
    builtin = commands.find(name, only_programs=only_programs)
    if builtin is not None:
        return (yield from builtin(console, rest))
    shown = raw if quoted is None else f'"{raw}"'
    yield console.err(
        f"'{shown}' is not recognized as an internal or external command,\noperable program or batch file.\n"
    )
    return 1


def _unescape(text: str) -> str:
    """Take the carets out: outside quotes each makes the next character an ordinary one, a quote too."""
    if "^" not in text:
        return text
    kept, quoted, escaped = [], False, False
    for char in text:
        if char == "^" and not quoted and not escaped:
            escaped = True
            continue
        quoted ^= char == '"' and not escaped
        escaped = False
        kept.append(char)
    return "".join(kept)


def _nested(console: Console, rest: str) -> Program:
    match = re.match(r"((?:\s*/[a-z](?::\S+)?)*?)\s*/[ck]\s?(.*)", rest, re.IGNORECASE | re.DOTALL)
    if match is None:
        yield console.out(f"Microsoft Windows [Version {console.machine.system[1]}]\n")
        return 0
    line = match[2].strip()
    if line.startswith('"') and ("/s" in match[1].lower() or not _names_a_program(line)):
        line = line[1:]
        last = line.rfind('"')
        line = line[:last] + line[last + 1 :] if last >= 0 else line
    inner = replace(console, env=dict(console.env), last_code=0, exited=False)
    return (yield from run_line(inner, line))


def _names_a_program(line: str) -> bool:
    """Tell the one case in which cmd keeps the quotes: exactly two of them, and they enclose a program."""
    inside = line[1:].partition('"')[0].lower()
    return line.count('"') == 2 and not set("&<>()@^|") & set(line) and inside.endswith((".exe", ".com"))


def _start(console: Console, rest: str) -> Program:
    rest = re.sub(r'^\s*"[^"]*"', "", rest)
    wait = False
    while match := re.match(r"\s*/(d\s*(?:\"[^\"]*\"|\S+)|[a-z]+)(?=\s|$|/)", rest, re.IGNORECASE):
        wait = wait or match[1].lower() in ("wait", "w")
        rest = rest[match.end() :]
    if wait:
        return (yield from _dispatch(console, rest, verbatim=True))
    # Without /wait the program lives on outside the remote shell's sight; nothing of it is seen again.
    yield from ()
    return 0


def is_program(line: str) -> bool:
    """Say whether a line names a program that can be started without cmd.exe."""
    match = _NAME.match(line)
    if match is None:
        return False
    raw = (match[2] if match[1] is None else match[1]).replace("/", "\\").rpartition("\\")[2].lower()
    name = raw.removesuffix(".exe").removesuffix(".com")
    return name in ("cmd", "powershell", "pwsh") or commands.find(name, only_programs=True) is not None
