"""Shells and commands behind the door; every request is judged by the specification before it is served."""

from __future__ import annotations

import base64
import re
import threading
import time
from collections import Counter
from dataclasses import dataclass, field

from dialect import Dialect
from lxml import etree
from programs import Process, answers
from shapes import (
    NS,
    RSP,
    TRANSFER,
    created,
    envelope,
    fault,
    guid,
    identity,
    not_understood,
    rewritten,
    row,
    shell_part,
)

_GUID = re.compile(r"uuid:[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")
_DURATION = re.compile(r"PT(\d+(?:\.\d{1,3})?)S")
_ACTIONS = {
    f"{TRANSFER}/Create": "Create",
    f"{TRANSFER}/Delete": "Delete",
    f"{TRANSFER}/Get": "Get",
    **{f"{NS['n']}/{name}": name for name in ("Enumerate", "Pull", "Release")},
    **{f"{RSP}/{name}": name for name in ("Command", "Send", "Receive", "Signal")},
}
_OPTIONS = {
    "Create": {"WINRS_NOPROFILE", "WINRS_CODEPAGE"},
    "Command": {"WINRS_CONSOLEMODE_STDIN", "WINRS_SKIP_CMD_SHELL"},
    "Receive": {"WSMAN_CMDSHELL_OPTION_KEEPALIVE"},
}
_KNOWN = {
    *(f"{{{NS['a']}}}{name}" for name in ("To", "ReplyTo", "Action", "MessageID")),
    *(
        f"{{{NS['w']}}}{name}"
        for name in (
            "ResourceURI",
            "MaxEnvelopeSize",
            "OperationTimeout",
            "Locale",
            "SelectorSet",
            "OptionSet",
        )
    ),
    *(f"{{{NS['p']}}}{name}" for name in ("DataLocale", "SessionId", "OperationID", "SequenceId")),
}
_WMI = "http://schemas.microsoft.com/wbem/wsman/1/wmi/root/"
_SHELL_ORDER = ("Environment", "WorkingDirectory", "Lifetime", "IdleTimeOut", "InputStreams", "OutputStreams")


class RefusalError(Exception):
    """Becomes a fault."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


@dataclass
class Journal:
    complaints: list[str] = field(default_factory=list)
    operations: list[str] = field(default_factory=list)
    created: list[str] = field(default_factory=list)
    deleted: list[str] = field(default_factory=list)
    commands: list[str] = field(default_factory=list)
    options: list[dict[str, str]] = field(default_factory=list)
    seen: list[str] = field(default_factory=list)
    signals: dict[str, int] = field(default_factory=dict)
    timeouts_s: list[float] = field(default_factory=list)
    logons: int = 0
    connections: int = 0
    credentials: int = 0

    def complain(self, what: str) -> None:
        self.complaints.append(what)


class Room:
    """The WinRM service of one fake PC."""

    def __init__(self, dialect: Dialect) -> None:
        self.dialect = dialect
        self.journal = Journal()
        self.lock = threading.Lock()
        self.shells: dict[str, dict[str, object]] = {}
        self.commands: dict[tuple[str, str], Process] = {}
        self.counts: Counter[str] = Counter()
        self.urls: set[str] = set()
        self.queries: list[str] = []
        self.context = ""
        self.pulls = 0

    def serve(self, body: bytes) -> tuple[int, bytes, str]:
        """Answer one envelope: status, body, and the trouble the door has to make with it."""
        try:
            root = etree.fromstring(body)
        except etree.XMLSyntaxError as error:
            self.journal.complain(f"not well-formed: {error}")
            return 500, self._written(fault(2150858817, "", "en-US", wmi=False)), ""
        if root.find(f"{{{NS['s']}}}Body/{{{NS['wsmid']}}}Identify") is not None:
            self.journal.operations.append("Identify")
            return 200, self._written(identity()), ""
        with self.lock:
            headers, name = self._checked(root, body)
            related = headers.get("MessageID", "")
            self.counts[name] += 1
            trouble = next(
                (
                    what
                    for op, number, what in self.dialect.troubles
                    if op == name and number == self.counts[name]
                ),
                "",
            )
            if trouble in ("400", "401", "503", "500", "cut"):
                return 0, b"", trouble
            if related in self.journal.seen:
                self.journal.complain(f"{name} {related} came twice")
            self.journal.seen.append(related)
            self.journal.operations.append(name)
        if self.dialect.delay_s:
            time.sleep(self.dialect.delay_s)
        if unknown := self._not_understood(root):
            return 500, self._written(not_understood(unknown, related)), ""
        if trouble.partition(":")[0] in ("fault", "wmi_fault"):
            wmi = trouble.startswith("wmi")
            text = fault(int(trouble.partition(":")[2]), related, self.dialect.language, wmi=wmi)
            return 500, self._written(text), ""
        try:
            content = getattr(self, f"_{name.lower()}")(root.find(f"{{{NS['s']}}}Body"), headers)
        except RefusalError as refusal:
            wmi = self.dialect.shape == "w7" and refusal.code in (2150859173, 2150859174)
            return 500, self._written(fault(refusal.code, related, self.dialect.language, wmi=wmi)), trouble
        base = next(action for action, known in _ACTIONS.items() if known == name)
        action = f"{base}Response"
        other = f"uuid:{guid()}" if trouble == "relates" else related
        return 200, self._written(envelope(name, action, other, content, self.dialect.language)), trouble

    def _written(self, text: str) -> bytes:
        return rewritten(text) if self.dialect.shape == "other" else text.encode()

    def _not_understood(self, root: etree._Element) -> str:
        for block in root.find(f"{{{NS['s']}}}Header"):
            if block.get(f"{{{NS['s']}}}mustUnderstand") == "true" and block.tag not in _KNOWN:
                return str(block.tag)
        return ""

    def _checked(self, root: etree._Element, body: bytes) -> tuple[dict[str, str], str]:
        """Judge what holds for every request; return header texts by local name, and the operation."""
        complain = self.journal.complain
        if root.tag != f"{{{NS['s']}}}Envelope" or root.getroottree().docinfo.doctype:
            complain("no SOAP 1.2 envelope, or a document type")
        if [etree.QName(child).localname for child in root] != ["Header", "Body"]:
            complain("an envelope is Header then Body")
        if len(body) > self.dialect.max_envelope:
            complain(f"an envelope of {len(body)} bytes")
        header = root.find(f"{{{NS['s']}}}Header")
        names = [str(block.tag) for block in header]
        if len(set(names)) < len(names) or not set(names) <= _KNOWN:
            complain(f"header blocks: {names}")
        texts = {etree.QName(block).localname: (block.text or "") for block in header}
        for needed in (
            "To",
            "ReplyTo",
            "Action",
            "MessageID",
            "ResourceURI",
            "MaxEnvelopeSize",
            "OperationTimeout",
        ):
            if needed not in texts:
                complain(f"{needed} is missing")
        name = self._check_values(header, texts)
        self._check_options(header, name)
        selectors = {s.get("Name"): s.text for s in header.iter(f"{{{NS['w']}}}Selector")}
        free = ("Create", "Enumerate", "Pull", "Release")
        if set(selectors) != (set() if name in free else {"ShellId"}):
            complain(f"{name}: selectors {selectors}")
        texts["ShellId"] = selectors.get("ShellId") or ""
        return texts, name

    def _check_values(self, header: etree._Element, texts: dict[str, str]) -> str:
        complain = self.journal.complain
        if not _GUID.fullmatch(texts.get("MessageID", "")):
            complain(f"MessageID {texts.get('MessageID')!r}")
        if texts.get("To") not in self.urls:
            complain(f"To {texts.get('To')!r}")
        if header.findtext(f"{{{NS['a']}}}ReplyTo/{{{NS['a']}}}Address") != f"{NS['a']}/role/anonymous":
            complain("ReplyTo is not anonymous")
        if not 8192 <= int(texts.get("MaxEnvelopeSize", "0")) <= 512000:
            complain("MaxEnvelopeSize out of bounds")
        wait = _DURATION.fullmatch(texts.get("OperationTimeout", ""))
        if wait is None or not 0.5 <= float(wait[1]) <= 60:
            complain(f"OperationTimeout {texts.get('OperationTimeout')!r}")
        else:
            self.journal.timeouts_s.append(float(wait[1]))
        name = _ACTIONS.get(texts.get("Action", ""), "Unknown")
        of_wmi = name in ("Enumerate", "Pull", "Release")
        if not (texts.get("ResourceURI") or "").startswith(_WMI if of_wmi else f"{RSP}/cmd"):
            complain(f"{name}: ResourceURI {texts.get('ResourceURI')!r}")
        return name

    def _check_options(self, header: etree._Element, name: str) -> None:
        sets = header.findall(f"{{{NS['w']}}}OptionSet")
        found = {o.get("Name"): (o.text or "") for each in sets for o in each}
        if sets and not found:
            self.journal.complain(f"{name}: an OptionSet needs an Option")
        if not set(found) <= _OPTIONS.get(name, set()):
            self.journal.complain(f"{name}: options {found}")
        for key, value in found.items():
            right = value.isdigit() if key == "WINRS_CODEPAGE" else value.upper() in ("TRUE", "FALSE")
            if not right:
                self.journal.complain(f"{name}: option {key}={value!r}")
        if name in ("Create", "Command"):
            self.journal.options.append({str(k): v for k, v in found.items()})
        self._found = found

    def _shell(self, headers: dict[str, str]) -> dict[str, object]:
        if headers["ShellId"] not in self.shells:
            raise RefusalError(2150858843)
        return self.shells[headers["ShellId"]]

    def _process(self, headers: dict[str, str], command_id: str | None) -> Process:
        self._shell(headers)
        if command_id is None:
            raise RefusalError(87)
        found = self.commands.get((headers["ShellId"], command_id))
        if found is None or (found.collected and self.dialect.forgets_ended_commands):
            raise RefusalError(2150858843)
        return found

    def _create(self, body: etree._Element, headers: dict[str, str]) -> str:
        shell = body.find(f"{{{RSP}}}Shell")
        order = [_SHELL_ORDER.index(etree.QName(child).localname) for child in shell]
        if order != sorted(order):
            self.journal.complain(f"rsp:Shell order {order}")
        if shell.findtext(f"{{{RSP}}}InputStreams") != "stdin":
            self.journal.complain("InputStreams")
        if shell.findtext(f"{{{RSP}}}OutputStreams") != "stdout stderr":
            self.journal.complain("OutputStreams")
        idle = _DURATION.fullmatch(shell.findtext(f"{{{RSP}}}IdleTimeOut") or "")
        if idle is not None and float(idle[1]) < 60:
            raise RefusalError(2150859250)
        if len(self.shells) >= self.dialect.max_shells:
            raise RefusalError(2150859173)
        old = self.dialect.shape == "w7"
        shell_id = f"uuid:{guid()}" if old else guid()
        with self.lock:
            self.shells[shell_id] = {
                "env": {v.get("Name"): v.text or "" for v in shell.iter(f"{{{RSP}}}Variable")},
                "chdir": shell.findtext(f"{{{RSP}}}WorkingDirectory"),
                "codepage": self._found.get("WINRS_CODEPAGE", "437"),
            }
            self.journal.created.append(shell_id)
        return created(shell_id, headers["To"], old=old)

    def _delete(self, body: etree._Element, headers: dict[str, str]) -> str:
        if len(body):
            self.journal.complain("Delete has a body")
        self._shell(headers)
        with self.lock:
            del self.shells[headers["ShellId"]]
            self.journal.deleted.append(headers["ShellId"])
        return ""

    def _command(self, body: etree._Element, headers: dict[str, str]) -> str:
        shell = self._shell(headers)
        # Terminate gives no operation back, deleting the shell does (5.5).
        if sum(owner in self.shells for owner, _ in self.commands) >= self.dialect.max_operations:
            raise RefusalError(2150859174)
        line = body.find(f"{{{RSP}}}CommandLine")
        text = line.findtext(f"{{{RSP}}}Command") or ""
        command_id = guid()
        with self.lock:
            self.commands[headers["ShellId"], command_id] = Process(text, shell)
            self.journal.commands.append(text)
        return f"<rsp:CommandResponse><rsp:CommandId>{command_id}</rsp:CommandId></rsp:CommandResponse>"

    def _send(self, body: etree._Element, headers: dict[str, str]) -> str:
        for stream in body.iter(f"{{{RSP}}}Stream"):
            process = self._process(headers, stream.get("CommandId"))
            if stream.get("Name") != "stdin" or process.stdin_closed:
                self.journal.complain("Send to another stream, or after its end")
            process.stdin += base64.b64decode(stream.text or "", validate=True)
            process.stdin_closed = stream.get("End") == "true"
        return "<rsp:SendResponse/>"

    def _receive(self, body: etree._Element, headers: dict[str, str]) -> str:
        wanted = body.find(f"{{{RSP}}}Receive/{{{RSP}}}DesiredStream")
        if wanted.text != "stdout stderr":
            self.journal.complain(f"DesiredStream {wanted.text!r}")
        command_id = wanted.get("CommandId")
        process = self._process(headers, command_id)
        if process.collected:
            self.journal.complain("Receive after Done")
            raise RefusalError(2150858843)
        process.polls += 1
        wait_s = float(_DURATION.fullmatch(headers["OperationTimeout"])[1])
        if process.polls <= self.dialect.silent_polls or (process.needs_stdin() and not process.stdin_closed):
            time.sleep(min(wait_s, 0.5))
            raise RefusalError(2150858793)
        if not process.begun:
            process.begun = True
            process.answers = list(answers(process.run(), self.dialect.receive))
            if process.hangs:
                process.answers[-1] = ("Running", process.answers[-1][1])
        if not process.answers:
            end = time.monotonic() + wait_s
            while time.monotonic() < end and not process.signals and headers["ShellId"] in self.shells:
                time.sleep(0.02)
            raise RefusalError(2150858793 if headers["ShellId"] in self.shells else 995)
        state, pieces = process.answers.pop(0)
        return self._received(command_id, state, pieces, process)

    def _received(
        self, command_id: str, state: str, pieces: list[tuple[str, bytes]], process: Process
    ) -> str:
        data = "".join(
            f'<rsp:Stream Name="{name}" CommandId="{command_id}">{encoded}</rsp:Stream>'
            for name, encoded in ((each, base64.b64encode(piece).decode()) for each, piece in pieces)
        )
        exit_code = ""
        if state == "Done":
            process.collected = True
            code = process.exit_code & 0xFFFFFFFF
            if self.dialect.exit_code == "negative" and code >= 2**31:
                code -= 2**32
            if self.dialect.exit_code != "missing":
                exit_code = f"<rsp:ExitCode>{code}</rsp:ExitCode>"
            if self.dialect.receive in ("recorded", "interleaved"):
                data += "".join(
                    f'<rsp:Stream Name="{name}" CommandId="{command_id}" End="true"></rsp:Stream>'
                    for name in ("stdout", "stderr")
                )
        return (
            f'<rsp:ReceiveResponse>{data}<rsp:CommandState CommandId="{command_id}" '
            f'State="{RSP}/CommandState/{state}">{exit_code}</rsp:CommandState></rsp:ReceiveResponse>'
        )

    def _signal(self, body: etree._Element, headers: dict[str, str]) -> str:
        signal = body.find(f"{{{RSP}}}Signal")
        command_id = signal.get("CommandId")
        code = signal.findtext(f"{{{RSP}}}Code")
        if code not in (f"{RSP}/signal/{name}" for name in ("terminate", "ctrl_c", "ctrl_break")):
            self.journal.complain(f"Signal code {code!r}")
        with self.lock:
            told = f"{command_id} {str(code).rpartition('/')[2]}"
            self.journal.signals[told] = self.journal.signals.get(told, 0) + 1
        self._process(headers, command_id).signals += 1
        return "<rsp:SignalResponse/>"

    def _get(self, body: etree._Element, headers: dict[str, str]) -> str:
        self._shell(headers)
        return shell_part(headers["ShellId"])

    def _enumerate(self, body: etree._Element, headers: dict[str, str]) -> str:
        wanted = body.find(f"{{{NS['n']}}}Enumerate")
        order = [etree.QName(child).localname for child in wanted]
        if order != ["OptimizeEnumeration", "MaxElements", "Filter"]:
            self.journal.complain(f"n:Enumerate holds {order}")
        rule = wanted.find(f"{{{NS['w']}}}Filter")
        if rule.get("Dialect") != "http://schemas.microsoft.com/wbem/wsman/1/WQL" or rule.text is None:
            self.journal.complain("Filter without its dialect or text")
        self.queries.append(rule.text)
        if "Win32_Nothing" in rule.text:
            raise RefusalError(2150858778)
        # As recorded: the first answer holds one item and a context; the rest is pulled.
        self.context = f"uuid:{guid()}"
        return (
            f"<n:EnumerateResponse><n:EnumerationContext>{self.context}</n:EnumerationContext>"
            f"<w:Items>{row(1)}</w:Items></n:EnumerateResponse>"
        )

    def _pull(self, body: etree._Element, headers: dict[str, str]) -> str:
        if body.findtext(f"{{{NS['n']}}}Pull/{{{NS['n']}}}EnumerationContext") != self.context:
            raise RefusalError(2150858884)
        self.pulls += 1
        if self.pulls % 2:
            return (
                f"<n:PullResponse><n:EnumerationContext>{self.context}</n:EnumerationContext>"
                f"<n:Items>{row(2)}{row(3)}</n:Items></n:PullResponse>"
            )
        return (
            f"<n:PullResponse><n:Items>{row(4)}</n:Items><n:EndOfSequence></n:EndOfSequence></n:PullResponse>"
        )

    def _release(self, body: etree._Element, headers: dict[str, str]) -> str:
        return ""
