"""WS-Management envelopes as they leave us: text in, bytes out, no sockets.

Built by hand instead of through an XML library: the shapes are few and fixed, only leaves vary, and every
leaf passes `_text` or `_attribute`, which escape it and refuse what XML 1.0 cannot carry. Line ends arrive as
they were written: CR is sent as a reference, because XML parsers turn CRLF into LF. `wsman_read` reads.

Sources: MS-WSMV 3.1.4 (shell operations), DSP0226 (headers), WS-Addressing 2004/08.
"""

from __future__ import annotations

import base64
import re
import uuid
from dataclasses import dataclass
from html import escape

from ddcplay.errors import FaultError

SOAP = "http://www.w3.org/2003/05/soap-envelope"
ADDRESSING = "http://schemas.xmlsoap.org/ws/2004/08/addressing"
TRANSFER = "http://schemas.xmlsoap.org/ws/2004/09/transfer"
ENUMERATION = "http://schemas.xmlsoap.org/ws/2004/09/enumeration"
WSMAN = "http://schemas.dmtf.org/wbem/wsman/1/wsman.xsd"
WSMAN_MS = "http://schemas.microsoft.com/wbem/wsman/1/wsman.xsd"
SHELL = "http://schemas.microsoft.com/wbem/wsman/1/windows/shell"
FAULT = "http://schemas.microsoft.com/wbem/wsman/1/wsmanfault"
IDENTITY = "http://schemas.dmtf.org/wbem/wsman/identity/1/wsmanidentity.xsd"
XML = "http://www.w3.org/XML/1998/namespace"
CMD_SHELL = f"{SHELL}/cmd"
ANONYMOUS = f"{ADDRESSING}/role/anonymous"

MAX_ENVELOPE_BYTES = 153600
"""What we announce and never exceed: the limit of the oldest servers (MaxEnvelopeSizekb 150)."""
STDIN_PIECE_BYTES = 96 * 1024
"""Raw bytes per Send: 128 KiB as base64, which leaves room for headers and sealing in one envelope."""
SHELL_IDLE_S = 180.0
"""An orphaned shell ends after this; a pending Receive keeps a live one open. Windows' minimum is 60 s."""
MIN_OPERATION_S = 0.5
"""Windows' smallest OperationTimeout (MaxTimeoutms cannot be set below 500)."""

# XML 1.0 production 2 (Char): everything outside is not well-formed even as a character reference.
_NOT_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
_NAMESPACES = (
    f'xmlns:s="{SOAP}" xmlns:a="{ADDRESSING}" xmlns:w="{WSMAN}" xmlns:p="{WSMAN_MS}" '
    f'xmlns:rsp="{SHELL}" xmlns:n="{ENUMERATION}"'
)


@dataclass(frozen=True, slots=True)
class Request:
    """One envelope, ready to be sent.

    Args:
        name: the operation's short name, for messages.
        message_id: what RelatesTo of the answer must say.
        body: UTF-8 without declaration.
    """

    name: str
    message_id: str
    body: bytes


@dataclass(frozen=True, slots=True)
class ShellOptions:
    """What a remote shell is created with.

    Args:
        codepage: WINRS_CODEPAGE.
        env: environment variables.
        chdir: working directory, None for the user's profile directory.
    """

    codepage: int = 65001
    env: tuple[tuple[str, str], ...] = ()
    chdir: str | None = None


def duration(seconds: float) -> str:
    """Write seconds as xs:duration, never below what Windows accepts."""
    return f"PT{max(MIN_OPERATION_S, seconds):.3f}S"


def _checked(value: str, what: str) -> str:
    found = _NOT_XML.search(value)
    if found is not None:
        raise FaultError(
            "transport",
            f"{what} holds U+{ord(found[0]):04X}, which XML and so WinRM cannot carry; nothing was sent",
            "remove the control character, or pass the text through stdin or a script file",
        )
    return escape(value, quote=True).replace("\r", "&#13;")


def _text(value: str, what: str) -> str:
    # A bare CR would reach the target as LF (XML 1.0, 2.11); as a reference CRLF arrives as it was written.
    return _checked(value, what)


def leaf_text(value: str, what: str) -> str:
    """Escape a text for a request that another module builds.

    Raises:
        FaultError: it holds what XML cannot carry.
    """
    return _text(value, what)


def _attribute(value: str, what: str) -> str:
    # Attribute values are normalised too: tab and line feed would become blanks.
    return _checked(value, what).replace("\n", "&#10;").replace("\t", "&#9;")


def _options(options: tuple[tuple[str, str], ...]) -> str:
    if not options:
        return ""
    inner = "".join(f'<w:Option Name="{name}">{value}</w:Option>' for name, value in options)
    return f"<w:OptionSet>{inner}</w:OptionSet>"


def identify() -> Request:
    """Ask what answers there; the only request without WS-Addressing headers (DSP0226, 11)."""
    body = (
        f'<s:Envelope xmlns:s="{SOAP}" xmlns:wsmid="{IDENTITY}"><s:Header/>'
        "<s:Body><wsmid:Identify/></s:Body></s:Envelope>"
    )
    return Request("Identify", "", body.encode())


@dataclass(frozen=True, slots=True)
class Envelopes:
    """Builds the requests of one connection.

    Args:
        endpoint: URL written into `a:To`; the target does not check its host part.
    """

    endpoint: str

    def build(
        self,
        name: str,
        action: str,
        body: str,
        timeout_s: float,
        shell_id: str | None = None,
        options: tuple[tuple[str, str], ...] = (),
        resource_uri: str = CMD_SHELL,
    ) -> Request:
        """Build one request; the place where enumerate, pull and release join.

        Args:
            name: short name for messages.
            action: full action URI.
            body: inner XML of s:Body, already escaped.
            timeout_s: OperationTimeout of this message.
            shell_id: selects a shell.
            options: WS-Man options, in order.
            resource_uri: what the request is about.
        """
        message_id = f"uuid:{str(uuid.uuid4()).upper()}"
        selector = ""
        if shell_id is not None:
            chosen = _text(shell_id, "the shell id")
            selector = f'<w:SelectorSet><w:Selector Name="ShellId">{chosen}</w:Selector></w:SelectorSet>'
        text = (
            f"<s:Envelope {_NAMESPACES}><s:Header>"
            f"<a:To>{_text(self.endpoint, 'the endpoint')}</a:To>"
            f'<w:ResourceURI s:mustUnderstand="true">{_text(resource_uri, "the resource")}</w:ResourceURI>'
            f'<a:ReplyTo><a:Address s:mustUnderstand="true">{ANONYMOUS}</a:Address></a:ReplyTo>'
            f'<a:Action s:mustUnderstand="true">{action}</a:Action>'
            f'<w:MaxEnvelopeSize s:mustUnderstand="true">{MAX_ENVELOPE_BYTES}</w:MaxEnvelopeSize>'
            f"<a:MessageID>{message_id}</a:MessageID>"
            '<w:Locale xml:lang="en-US" s:mustUnderstand="false"/>'
            '<p:DataLocale xml:lang="en-US" s:mustUnderstand="false"/>'
            f"{selector}{_options(options)}"
            f"<w:OperationTimeout>{duration(timeout_s)}</w:OperationTimeout>"
            f"</s:Header><s:Body>{body}</s:Body></s:Envelope>"
        )
        return Request(name, message_id, text.encode())

    def create_shell(self, options: ShellOptions, timeout_s: float) -> Request:
        """Open a shell. WINRS_NOPROFILE is FALSE as with Ansible, so `%APPDATA%` and the like are the user's.

        Raises:
            FaultError: an environment variable or the directory holds what XML cannot carry.
        """
        variables = "".join(
            f'<rsp:Variable Name="{_attribute(name, "an environment name")}">'
            f"{_text(value, f'environment variable {name}')}</rsp:Variable>"
            for name, value in options.env
        )
        environment = f"<rsp:Environment>{variables}</rsp:Environment>" if variables else ""
        directory = ""
        if options.chdir is not None:
            directory = f"<rsp:WorkingDirectory>{_text(options.chdir, 'chdir')}</rsp:WorkingDirectory>"
        body = (
            f"<rsp:Shell>{environment}{directory}<rsp:IdleTimeOut>{duration(SHELL_IDLE_S)}</rsp:IdleTimeOut>"
            "<rsp:InputStreams>stdin</rsp:InputStreams>"
            "<rsp:OutputStreams>stdout stderr</rsp:OutputStreams></rsp:Shell>"
        )
        winrs = (("WINRS_NOPROFILE", "FALSE"), ("WINRS_CODEPAGE", str(options.codepage)))
        return self.build("Create", f"{TRANSFER}/Create", body, timeout_s, options=winrs)

    def command(
        self, shell_id: str, line: str, timeout_s: float, *, feeds_stdin: bool, skip_shell: bool
    ) -> Request:
        """Start a command line.

        Args:
            shell_id: of `create_shell`.
            line: as cmd.exe (or CreateProcess with `skip_shell`) reads it; line ends arrive unchanged.
            timeout_s: OperationTimeout.
            feeds_stdin: stdin is a pipe that ends (WINRS_CONSOLEMODE_STDIN FALSE), not a console.
            skip_shell: start the program directly.

        Raises:
            FaultError: the line holds what XML cannot carry.
        """
        winrs = (
            ("WINRS_CONSOLEMODE_STDIN", "FALSE" if feeds_stdin else "TRUE"),
            ("WINRS_SKIP_CMD_SHELL", "TRUE" if skip_shell else "FALSE"),
        )
        body = (
            f"<rsp:CommandLine><rsp:Command>{_text(line, 'the command line')}</rsp:Command></rsp:CommandLine>"
        )
        return self.build("Command", f"{SHELL}/Command", body, timeout_s, shell_id, winrs)

    def send(self, shell_id: str, command_id: str, data: bytes, timeout_s: float, *, end: bool) -> Request:
        """Feed a piece of stdin, at most `STDIN_PIECE_BYTES`; `end` closes it."""
        last = ' End="true"' if end else ""
        chosen = _attribute(command_id, "the command id")
        body = (
            f'<rsp:Send><rsp:Stream Name="stdin" CommandId="{chosen}"{last}>'
            f"{base64.b64encode(data).decode()}</rsp:Stream></rsp:Send>"
        )
        return self.build("Send", f"{SHELL}/Send", body, timeout_s, shell_id)

    def receive(self, shell_id: str, command_id: str, timeout_s: float) -> Request:
        """Ask for output; the target holds the answer until there is some, at most `timeout_s`."""
        body = (
            f'<rsp:Receive><rsp:DesiredStream CommandId="{_attribute(command_id, "the command id")}">'
            "stdout stderr</rsp:DesiredStream></rsp:Receive>"
        )
        return self.build("Receive", f"{SHELL}/Receive", body, timeout_s, shell_id)

    def signal(self, shell_id: str, command_id: str, timeout_s: float, code: str = "terminate") -> Request:
        """End a command, or give back the slot of one that ended (`terminate`, `ctrl_c`, `ctrl_break`)."""
        body = (
            f'<rsp:Signal CommandId="{_attribute(command_id, "the command id")}">'
            f"<rsp:Code>{SHELL}/signal/{code}</rsp:Code></rsp:Signal>"
        )
        return self.build("Signal", f"{SHELL}/Signal", body, timeout_s, shell_id)

    def delete(self, shell_id: str, timeout_s: float) -> Request:
        """Close a shell; what still runs in it is ended."""
        return self.build("Delete", f"{TRANSFER}/Delete", "", timeout_s, shell_id)
