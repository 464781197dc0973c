"""The answers as text: recorded Windows shapes, and the same content as somebody else would write it."""

from __future__ import annotations

import uuid
from xml.sax.saxutils import escape

from lxml import etree

NS = {
    "s": "http://www.w3.org/2003/05/soap-envelope",
    "a": "http://schemas.xmlsoap.org/ws/2004/08/addressing",
    "x": "http://schemas.xmlsoap.org/ws/2004/09/transfer",
    "n": "http://schemas.xmlsoap.org/ws/2004/09/enumeration",
    "e": "http://schemas.xmlsoap.org/ws/2004/08/eventing",
    "w": "http://schemas.dmtf.org/wbem/wsman/1/wsman.xsd",
    "p": "http://schemas.microsoft.com/wbem/wsman/1/wsman.xsd",
    "rsp": "http://schemas.microsoft.com/wbem/wsman/1/windows/shell",
    "f": "http://schemas.microsoft.com/wbem/wsman/1/wsmanfault",
    "wsmid": "http://schemas.dmtf.org/wbem/wsman/identity/1/wsmanidentity.xsd",
}
RSP, TRANSFER = NS["rsp"], NS["x"]
_OTHER = {"s": "env", "a": "wsa", "x": "wst", "w": "wsman", "p": "ms", "rsp": "wsmv", "f": "flt", "n": "wsen"}
_PREFIXES = {
    "Receive": "s a w rsp p",
    "Delete": "s a w p",
    "Enumerate": "s a n w",
    "Pull": "s a n w",
    "Fault": "s a x e n w p",
}
_TEXTS = {
    "en-US": "The WS-Management service cannot complete the operation. ",
    "de-DE": "Der WS-Verwaltungsdienst kann den Vorgang nicht durchführen: Größenüberschreitung. ",
    "zh-CN": "WinRM 客户端无法在指定时间内完成操作。 ",
}


def guid() -> str:
    return str(uuid.uuid4()).upper()


def envelope(kind: str, action: str, relates_to: str | None, body: str, language: str) -> str:
    names = _PREFIXES.get(kind, "s a x w rsp p").split()
    spaces = " ".join(f'xmlns:{name}="{NS[name]}"' for name in names)
    extra = f"<p:OperationID>uuid:{guid()}</p:OperationID>" if "p" in names else ""
    related = f"<a:RelatesTo>{escape(relates_to)}</a:RelatesTo>" if relates_to is not None else ""
    return (
        f'<s:Envelope xml:lang="{language}" {spaces}><s:Header><a:Action>{action}</a:Action>'
        f"<a:MessageID>uuid:{guid()}</a:MessageID>"
        f"{extra}<a:To>{NS['a']}/role/anonymous</a:To>{related}</s:Header>"
        f"<s:Body>{body}</s:Body></s:Envelope>"
    )


def created(shell_id: str, to: str, *, old: bool) -> str:
    head = (
        f"<x:ResourceCreated><a:Address>{escape(to)}</a:Address><a:ReferenceParameters>"
        f"<w:ResourceURI>{RSP}/cmd</w:ResourceURI>"
        f'<w:SelectorSet><w:Selector Name="ShellId">{shell_id}</w:Selector></w:SelectorSet>'
        "</a:ReferenceParameters></x:ResourceCreated>"
    )
    if old:
        return head
    return head + shell_part(shell_id)


def shell_part(shell_id: str) -> str:
    return (
        f'<rsp:Shell xmlns:rsp="{RSP}"><rsp:ShellId>{shell_id}</rsp:ShellId>'
        f"<rsp:ResourceUri>{RSP}/cmd</rsp:ResourceUri><rsp:Owner>PC1\\lab</rsp:Owner>"
        "<rsp:ClientIP>127.0.0.1</rsp:ClientIP><rsp:IdleTimeOut>PT7200.000S</rsp:IdleTimeOut>"
        "<rsp:InputStreams>stdin</rsp:InputStreams><rsp:OutputStreams>stdout stderr</rsp:OutputStreams>"
        "<rsp:ShellRunTime>P0DT0H0M0S</rsp:ShellRunTime><rsp:ShellInactivity>P0DT0H0M0S</rsp:ShellInactivity>"
        "</rsp:Shell>"
    )


def row(number: int) -> str:
    """One item of `SELECT a,b`, as recorded: children without a namespace."""
    return (
        f'<w:XmlFragment xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xmlns:w="{NS["w"]}">'
        f"<ProcessId>{number}</ProcessId><ParentProcessId>0</ParentProcessId>"
        "<CreationDate><Datetime>2026-11-22T10:00:00.376625Z</Datetime></CreationDate>"
        '<CommandLine xsi:nil="true"/><Name>System &amp; co ü</Name></w:XmlFragment>'
    )


def identity() -> str:
    return (
        f'<s:Envelope xml:lang="en-US" xmlns:s="{NS["s"]}"><s:Header></s:Header><s:Body>'
        f'<wsmid:IdentifyResponse xmlns:wsmid="{NS["wsmid"]}">'
        f"<wsmid:ProtocolVersion>{NS['w']}</wsmid:ProtocolVersion>"
        "<wsmid:ProductVendor>Microsoft Corporation</wsmid:ProductVendor>"
        "<wsmid:ProductVersion>OS: 10.0.14393 SP: 0.0 Stack: 3.0</wsmid:ProductVersion>"
        "</wsmid:IdentifyResponse></s:Body></s:Envelope>"
    )


_SUBCODES = {
    2150858793: ("s:Receiver", "w:TimedOut"),
    2150858843: ("s:Sender", "w:InvalidSelectors"),
    2150859173: ("s:Sender", "w:QuotaLimit"),
    2150858817: ("s:Sender", "w:SchemaValidationError"),
    87: ("s:Sender", "w:InvalidParameter"),
    5: ("s:Sender", "w:AccessDenied"),
}


def fault(code: int, relates_to: str, language: str, *, wmi: bool) -> str:
    value, subcode = _SUBCODES.get(code, ("s:Receiver", "w:InternalError"))
    text = _TEXTS[language]
    if wmi:
        detail = (
            '<p:MSFT_WmiError xmlns:p="http://schemas.microsoft.com/wbem/wsman/1/wmi/root/microsoft/'
            'windows/storage/MSFT_WmiError" xmlns:cim="http://schemas.dmtf.org/wbem/wscim/1/common" '
            'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:type="p:MSFT_WmiError_Type">'
            '<p:CIMStatusCode xsi:type="cim:cimUnsignedInt">27</p:CIMStatusCode>'
            f"<p:error_Code>{code}</p:error_Code><p:error_Type>HRESULT</p:error_Type>"
            f"<p:error_WindowsErrorMessage>{text}</p:error_WindowsErrorMessage>"
            f"<p:Message>{text}</p:Message><p:MessageID>HRESULT 0x{code:08x}</p:MessageID></p:MSFT_WmiError>"
        )
    else:
        detail = (
            f'<f:WSManFault xmlns:f="{NS["f"]}" Code="{code}" Machine="PC1">'
            f"<f:Message>{text}</f:Message></f:WSManFault>"
        )
    body = (
        f"<s:Fault><s:Code><s:Value>{value}</s:Value><s:Subcode><s:Value>{subcode}</s:Value></s:Subcode>"
        f'</s:Code><s:Reason><s:Text xml:lang="{language}">{text}</s:Text></s:Reason>'
        f"<s:Detail>{detail}</s:Detail></s:Fault>"
    )
    return envelope("Fault", f"{NS['w']}/fault", None if wmi else relates_to, body, language)


def not_understood(header: str, relates_to: str) -> str:
    body = (
        "<s:Fault><s:Code><s:Value>s:MustUnderstand</s:Value></s:Code>"
        f'<s:Reason><s:Text xml:lang="en-US">{escape(header)} is not understood</s:Text></s:Reason></s:Fault>'
    )
    return envelope("Fault", f"{NS['a']}/fault", relates_to, body, "en-US")


def rewritten(text: str) -> bytes:
    """The same content with other prefixes, attributes in other order, white space and a declaration."""
    by_uri = {uri: _OTHER.get(name, f"o{name}") for name, uri in NS.items()}
    space = {prefix: uri for uri, prefix in by_uri.items()}

    def copy(node: etree._Element, parent: etree._Element | None) -> etree._Element:
        made = etree.Element(node.tag, nsmap=space) if parent is None else etree.SubElement(parent, node.tag)
        for key, value in reversed(list(node.items())):
            made.set(key, value)
        made.text = node.text
        if node.tag == f"{{{NS['s']}}}Value" and node.text and ":" in node.text:
            prefix, _, local = node.text.partition(":")
            made.text = f"\n {_OTHER[prefix]}:{local} "
        for child in node:
            copy(child, made)
        return made

    root = copy(etree.fromstring(text.encode()), None)
    for stream in root.iter(f"{{{RSP}}}Stream"):
        if stream.text:  # base64 in lines, as MIME writes it
            whole = stream.text
            stream.text = "\n" + "\n".join(whole[at : at + 76] for at in range(0, len(whole), 76)) + "\n"
    etree.indent(root, "\t")
    return b'<?xml version="1.0" encoding="utf-8"?>\r\n<!-- answer -->\r\n' + etree.tostring(
        root, encoding="utf-8"
    )
