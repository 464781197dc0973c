"""A very small PowerShell: enough cmdlets to test what a collector does with output, errors and exit codes.

Standard error is CLIXML, as powershell.exe writes it when it is started by a remote shell.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Generator, Iterator
from datetime import UTC, datetime
from xml.sax.saxutils import escape

from ddcplay.lab import commands, disk, objects, wmi
from ddcplay.lab.program import Console, Program, Sleep, Step, Write, codec_of

_PROGRESS = (
    '<Obj S="progress" RefId="0"><TN RefId="0"><T>System.Management.Automation.PSCustomObject</T>'
    '<T>System.Object</T></TN><MS><I64 N="SourceId">1</I64><PR N="Record">'
    "<AV>Preparing modules for first use.</AV><AI>0</AI><Nil /><PI>-1</PI><PC>-1</PC><T>Completed</T>"
    "<SR>-1</SR><SD> </SD></PR></MS></Obj>"
)
_CIM = re.compile(
    r"\(?Get-(?:CimInstance|WmiObject)\s+(?:-Class(?:Name)?\s+)?(?P<name>\w+)\)?(?:\.(?P<property>\w+))?",
    re.IGNORECASE,
)
_SOFTWARE = (
    '"DisplayName","DisplayVersion","Publisher"\n'
    '"7-Zip 24.08 (x64)","24.08","Igor Pavlov"\n'
    '"Mozilla Firefox (x64 en-US)","140.5.0","Mozilla"\n'
    '"LibreOffice 25.2","25.2.7.2","The Document Foundation"\n'
)
_OPTION = re.compile(r"\s*[-/]([A-Za-z]+)(?=\s|$)")
_FLAGS = ("noprofile", "nop", "noninteractive", "noni", "nologo", "sta", "mta")


def run(console: Console, arguments: str) -> Program:
    """Run powershell.exe with the rest of its command line and return its exit code."""
    received = disk.receive_base64(console, arguments)
    if received is not None:
        return (yield from received)
    script, from_stdin = _script(arguments)
    script = _sent_script(console, arguments) or script
    if from_stdin or "$input" in script or "[Console]::In" in script:
        data = yield from commands.read_input(console)
        given = data.decode(codec_of(console.codepage) or "utf-8", errors="replace").removeprefix("\ufeff")
        script = (
            given
            if from_stdin or re.search(r"iex|invoke-expression|scriptblock", script, re.IGNORECASE)
            else (script.replace("$input", _quote(given.rstrip("\r\n"))))
        )
    errors: list[str] = []
    code = yield from _statements(console, script, errors)
    quiet = re.search(r"\$ProgressPreference\s*=\s*['\"]?SilentlyContinue", script)
    if errors or not quiet:
        yield _clixml(console, errors, progress=not quiet)
    return code


def _sent_script(console: Console, arguments: str) -> str:
    """Return the text of the file that `-File` names, with `$args[n]` filled in; "" when there is none."""
    words = disk.split_arguments(arguments)
    at = next((n for n, word in enumerate(words) if word.lower() == "-file"), len(words))
    path = disk.find_sent(console, words[at + 1]) if at + 1 < len(words) else None
    if path is None:
        return ""
    text = console.files[path].decode("utf-8-sig", "replace")
    for number, value in enumerate(words[at + 2 :]):
        text = text.replace(f"$args[{number}]", _quote(value))
    return text


def _script(arguments: str) -> tuple[str, bool]:
    """Find the script text; the second value says that it comes from standard input."""
    rest = arguments
    while match := _OPTION.match(rest):
        name, rest = match[1].lower(), rest[match.end() :].lstrip()
        if "encodedcommand".startswith(name) or name == "ec":
            return base64.b64decode(rest.split()[0].strip('"')).decode("utf-16-le"), False
        if "command".startswith(name):
            text = rest.strip()
            return (_unquote(text), text == "-")
        if "file".startswith(name):
            return ("", True) if rest.strip() == "-" else (_unquote(rest), False)
        if name not in _FLAGS:
            rest = rest.partition(" ")[2] if " " in rest else ""
    return (_unquote(rest.strip()), not rest.strip() or rest.strip() == "-")


def _unquote(text: str) -> str:
    return (
        text[1:-1].replace('\\"', '"')
        if len(text) > 1 and text[0] == text[-1] == '"'
        else text.replace('\\"', '"')
    )


def _quote(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _split(script: str) -> Iterator[str]:
    """Cut a script at line ends and `;` outside quotes and braces."""
    start, quote, depth = 0, "", 0
    for index, char in enumerate(script):
        if quote:
            quote = "" if char == quote else quote
        elif char in "'\"":
            quote = char
        elif char in "{(":
            depth += 1
        elif char in "})":
            depth -= 1
        elif char in ";\n" and depth <= 0:
            yield script[start:index].strip()
            start = index + 1
    yield script[start:].strip()


def _statements(console: Console, script: str, errors: list[str]) -> Program:
    if re.search(r"CurrentVersion\\Uninstall", script) and "convertto-csv" in script.lower():
        yield console.out(_SOFTWARE)
        return 0
    code = 0
    variables: dict[str, str] = {}
    for statement in _split(script):
        if not statement or statement.startswith("#"):
            continue
        if ended := re.fullmatch(r"exit(?:\s+(-?\d+|\$\w+))?", statement, re.IGNORECASE):
            value = ended[1] or "0"
            return int(value) if not value.startswith("$") else console.last_code
        if assigned := re.fullmatch(r"\$([\w:]+)\s*=\s*(.*)", statement, re.DOTALL):
            _assign(console, variables, assigned[1], _value(console, variables, assigned[2]) or "")
            continue
        try:
            code = yield from _statement(console, variables, statement, errors)
        except _Ended as ended_inside:
            return ended_inside.code
    return code


class _Ended(Exception):  # noqa: N818 - it is no error: the script asked for its end
    """A script inside a statement ended PowerShell."""

    def __init__(self, code: int) -> None:
        self.code = code


def _as_json(console: Console, script: str, errors: list[str]) -> Program:
    """Run a script and write its objects as one line of JSON; what it prints goes out as it comes."""
    rows: list[objects.Value] = []
    variables: dict[str, str] = {}
    for statement in _split(script):
        if not statement or statement.startswith("#"):
            continue
        if ended := re.fullmatch(r"exit(?:\s+(-?\d+))?", statement, re.IGNORECASE):
            raise _Ended(int(ended[1] or 0))
        if assigned := re.fullmatch(r"\$([\w:]+)\s*=\s*(.*)", statement, re.DOTALL):
            _assign(console, variables, assigned[1], _value(console, variables, assigned[2]) or "")
            continue
        try:
            found = objects.objects_of(console, statement)
        except objects.NoSuchClassError:
            errors.append("Get-CimInstance : Invalid class \n")
            continue
        rows += (yield from _texts(console, variables, statement, errors)) if found is None else found
        if statement.lower().startswith("throw"):
            raise _Ended(1)
    yield console.out(objects.json_of(rows) + "\n")
    return 0


def _texts(
    console: Console, variables: dict[str, str], statement: str, errors: list[str]
) -> Generator[Step, bytes | None, list[str]]:
    """Run a statement whose lines of output are its objects; Write-Host's go to the console instead."""
    kept = bytearray()
    program = _statement(console, variables, statement, errors)
    answer: bytes | None = None
    while True:
        try:
            step = program.send(answer)
        except StopIteration:
            break
        if (
            isinstance(step, Write)
            and step.stream == "stdout"
            and not statement.lower().startswith("write-host")
        ):
            kept += step.data
            answer = None
        else:
            answer = yield step
    return kept.decode(codec_of(console.codepage) or "utf-8", "replace").splitlines()


def _assign(console: Console, variables: dict[str, str], name: str, value: str) -> None:
    if name.lower().startswith("env:"):
        console.env[name[4:]] = value
    else:
        variables[name.lower()] = value


def _statement(console: Console, variables: dict[str, str], statement: str, errors: list[str]) -> Program:
    inside = objects.wrapped_script(statement)
    if inside is not None:
        return (yield from _as_json(console, inside, errors))
    name, _, rest = statement.partition(" ")
    lowered = name.lower()
    if lowered in ("start-sleep", "sleep"):
        amount = re.search(r"\d+(?:\.\d+)?", rest)
        seconds = float(amount[0]) if amount else 0.0
        yield Sleep(seconds / 1000 if re.search(r"-m", rest, re.IGNORECASE) else seconds)
        return 0
    if lowered in ("write-error", "throw"):
        text = (
            _value(console, variables, re.sub(r"^-Message\s+", "", rest.strip(), flags=re.IGNORECASE)) or ""
        )
        errors += [
            f"{statement} : {text}\n",
            "    + CategoryInfo          : NotSpecified: (:) [Write-Error], WriteErrorException\n",
        ]
        errors += ["    + FullyQualifiedErrorId : Microsoft.PowerShell.Commands.WriteErrorException\n", " \n"]
        return 1
    if raw := re.fullmatch(
        r"\[Console\]::(Error|Out)\.Write(Line)?\((.*)\)", statement, re.IGNORECASE | re.DOTALL
    ):
        text = (_value(console, variables, raw[3]) or "") + ("\n" if raw[2] else "")
        yield console.err(text) if raw[1].lower() == "error" else console.out(text)
        return 0
    if lowered in ("write-output", "write-host", "echo"):
        value = _value(console, variables, rest.strip())
        yield console.out(("" if value is None else value) + "\n")
        return 0
    if lowered == "get-process":
        yield console.out(_process_table(console))
        return 0
    if asked := _CIM.fullmatch(statement):
        return (yield from _cim(console, asked, errors))
    value = _value(console, variables, statement)
    if value is not None:
        yield console.out(value + "\n")
        return 0
    program = commands.find(lowered.removesuffix(".exe"), only_programs=True)
    if program is not None:
        return (yield from program(console, " " + rest))
    errors += [
        f"{name} : The term '{name}' is not recognized as the name of a cmdlet, function, script file, \n",
        "or operable program. Check the spelling of the name, or if a path was included, verify that the \n",
        "path is correct and try again.\n",
        f"    + CategoryInfo          : ObjectNotFound: ({name}:String) [], CommandNotFoundException\n",
        "    + FullyQualifiedErrorId : CommandNotFoundException\n",
        " \n",
    ]
    return 1


def _cim(console: Console, asked: re.Match[str], errors: list[str]) -> Program:
    found = wmi.rows_of(console.machine, console.now(), "root/cimv2", asked["name"])
    if found is None:
        errors += ["Get-CimInstance : Invalid class \n", "    + FullyQualifiedErrorId : HRESULT 0x80041010\n"]
        return 1
    for row in found[1]:
        by_name = {key.lower(): value for key, value in row.items()}
        if asked["property"]:
            yield console.out(f"{by_name.get(asked['property'].lower(), '')}\n")
        else:
            yield console.out("".join(f"{key:<28}: {value}\n" for key, value in row.items()) + "\n")
    return 0


def _value(console: Console, variables: dict[str, str], text: str) -> str | None:
    """Evaluate the few expressions this PowerShell knows; None for everything else."""
    text = text.strip()
    if re.fullmatch(r"'(?:[^']|'')*'", text, re.DOTALL):
        return text[1:-1].replace("''", "'")
    if re.fullmatch(r'"[^"]*"', text, re.DOTALL):
        return _interpolate(console, variables, text[1:-1])
    if re.fullmatch(r"-?\d+(?:\.\d+)?", text):
        return text
    if text.startswith("("):
        return _value(console, variables, text[1:-1]) if text.endswith(")") else None
    if re.fullmatch(r"\$[\w:]+", text):
        return _interpolate(console, variables, text)
    if text.lower() == "get-date":
        now = datetime.fromtimestamp(console.now(), UTC)
        return now.strftime("\n%A, %B %d, %Y %I:%M:%S %p\n\n").replace(" 0", " ")
    return None


def _interpolate(console: Console, variables: dict[str, str], text: str) -> str:
    def look_up(match: re.Match[str]) -> str:
        name = (match[1] or match[2]).lower()
        if name.startswith("env:"):
            return console.variable(name[4:]) or ""
        return variables.get(name, "")

    return re.sub(r"\$(?:\{([\w:]+)\}|([\w:]+))", look_up, text)


def _process_table(console: Console) -> str:
    head = (
        "\nHandles  NPM(K)    PM(K)      WS(K)     CPU(s)     Id  SI ProcessName\n"
        "-------  ------    -----      -----     ------     --  -- -----------\n"
    )
    rows = "".join(
        f"{row.pid % 900:>7}  {11:>6} {row.memory_kib // 2:>8} {row.memory_kib:>10} {'':>10} {row.pid:>6} "
        f"{row.session:>3} {row.name.removesuffix('.exe')}\n"
        for row in console.machine.processes(console.now())
    )
    return head + rows + "\n\n"


def _clixml(console: Console, errors: list[str], *, progress: bool) -> Write:
    records = "".join(f'<S S="Error">{_escaped(text)}</S>' for text in errors)
    document = (
        '<Objs Version="1.1.0.1" xmlns="http://schemas.microsoft.com/powershell/2004/04">'
        f"{_PROGRESS if progress else ''}{records}</Objs>"
    )
    return Write("stderr", b"#< CLIXML\r\n" + console.encode(document))


def _escaped(text: str) -> str:
    text = re.sub(r"_(?=x[0-9A-Fa-f]{4}_)", "_x005F_", escape(text))
    return re.sub(r"[\x00-\x1f]", lambda match: f"_x{ord(match[0]):04X}_", text.replace("\n", "\r\n"))
