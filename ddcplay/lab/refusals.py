"""The SOAP faults of WS-Man: codes, subcodes and texts as Windows sends them (MS-WSMV, wsmerror.h)."""

from __future__ import annotations

from dataclasses import dataclass

from ddcplay.lab import soap

_WSMAN_FAULT = "http://schemas.dmtf.org/wbem/wsman/1/wsman/fault"
_ADDRESSING_FAULT = f"{soap.A}/fault"
_DETAIL = "http://schemas.dmtf.org/wbem/wsman/1/wsman/faultDetail"
_WMI_ERROR = "http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/MSFT_WmiError"
_CMD_PLUGIN = r'provider="Shell cmd plugin" path="%systemroot%\system32\winrscmd.dll"'


@dataclass(frozen=True, slots=True)
class Refusal:
    """A request the service answers with a fault.

    Args:
        code: decimal code, e.g. 2150858793; 0 for faults without one.
        subcode: qualified name inside s:Subcode.
        message: text for people.
        receiver: s:Receiver instead of s:Sender.
        detail: last part of the w:FaultDetail URI, empty for none.
        plugin: the fault comes from the cmd shell plug-in (ProviderFault).
        wmi_form: MSFT_WmiError instead of WSManFault, without RelatesTo (the quota form).
        action: Action of the answer.
        not_understood: qualified name for s:NotUnderstood.
    """

    code: int
    subcode: str
    message: str
    receiver: bool = False
    detail: str = ""
    plugin: bool = False
    wmi_form: bool = False
    action: str = _WSMAN_FAULT
    not_understood: str = ""

    def envelope(self, relates_to: str, machine: str) -> bytes:
        """Write the fault as an answer to the request with this MessageID."""
        code = "s:MustUnderstand" if self.not_understood else "s:Receiver" if self.receiver else "s:Sender"
        subcode = f"<s:Subcode><s:Value>{self.subcode}</s:Value></s:Subcode>" if self.subcode else ""
        body = (
            f"<s:Fault><s:Code><s:Value>{code}</s:Value>{subcode}</s:Code><s:Reason>"
            f'<s:Text xml:lang="en-US">{soap.text(self.message)} </s:Text></s:Reason>'
            f"{self._details(machine)}</s:Fault>"
        )
        answer = soap.envelope("s a x e n w p", self.action, None if self.wmi_form else relates_to, body)
        if self.not_understood:
            namespace, _, name = self.not_understood[1:].partition("}")
            header = f'<s:NotUnderstood qname="q:{name}" xmlns:q={soap.attribute(namespace)}/></s:Header>'
            answer = answer.replace(b"</s:Header>", header.encode(), 1)
        return answer

    def _details(self, machine: str) -> str:
        if not self.code:
            return ""
        text = soap.text(self.message)
        if self.wmi_form:
            return (
                f'<s:Detail><p:MSFT_WmiError b:IsCIM_Error="true" xmlns:p="{_WMI_ERROR}"'
                ' xmlns:b="http://schemas.dmtf.org/wbem/wsman/1/cimbinding.xsd"'
                ' xmlns:cim="http://schemas.dmtf.org/wbem/wscim/1/common"'
                ' xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:type="p:MSFT_WmiError_Type">'
                '<p:CIMStatusCode xsi:type="cim:cimUnsignedInt">27</p:CIMStatusCode>'
                f'<p:Message xsi:type="cim:cimString">{text} </p:Message>'
                f'<p:MessageID xsi:type="cim:cimString">HRESULT 0x{self.code:08x}</p:MessageID>'
                f'<p:error_Code xsi:type="cim:cimUnsignedInt">{self.code}</p:error_Code>'
                '<p:error_Type xsi:type="cim:cimString">HRESULT</p:error_Type>'
                f'<p:error_WindowsErrorMessage xsi:type="cim:cimString">{text} </p:error_WindowsErrorMessage>'
                "</p:MSFT_WmiError></s:Detail>"
            )
        if self.plugin:
            text = f"<f:ProviderFault {_CMD_PLUGIN}>{text} </f:ProviderFault>"
        detail = f"<w:FaultDetail>{_DETAIL}/{self.detail}</w:FaultDetail>" if self.detail else ""
        return (
            f'<s:Detail>{detail}<f:WSManFault xmlns:f="{soap.F}" Code="{self.code}"'
            f" Machine={soap.attribute(machine)}><f:Message>{text} </f:Message></f:WSManFault></s:Detail>"
        )


class RefusedError(Exception):
    """Ends an operation with a refusal."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.message)
        self.refusal = refusal


TIMED_OUT = Refusal(
    2150858793,
    "w:TimedOut",
    "The WS-Management service cannot complete the operation within the time specified in OperationTimeout. ",
    receiver=True,
)
SHELL_NOT_FOUND = Refusal(
    2150858843,
    "w:InvalidSelectors",
    "The request for the Windows Remote Shell with ShellId {} failed because the shell was not found on the "
    "server. Possible causes are: the specified ShellId is incorrect or the shell no longer exists on the "
    "server. Provide the correct ShellId or create a new shell and retry the operation. ",
    detail="UnexpectedSelectors",
)
COMMAND_NOT_FOUND = Refusal(
    2150858843,
    "w:InvalidSelectors",
    "The request for the Windows Remote Shell with CommandId failed because the command was not found on the "
    "server. Possible causes are: the specified CommandId is incorrect or the command no longer exists. ",
    detail="UnexpectedSelectors",
)
INVALID_PARAMETER = Refusal(
    87, "w:InvalidParameter", "The parameter is incorrect. ", detail="InvalidValue", plugin=True
)
BAD_TIMEOUT = Refusal(
    2150858767,
    "a:InvalidMessageInformationHeader",
    "The WS-Management service cannot process the request. The value of a header is not valid: "
    "OperationTimeout. ",
    action=_ADDRESSING_FAULT,
)
SCHEMA = Refusal(
    2150858817,
    "w:SchemaValidationError",
    "The SOAP XML in the message does not match the corresponding XML schema definition. "
    "Change the XML and retry. ",
)
ACTION_NOT_SUPPORTED = Refusal(
    2150858771,
    "a:ActionNotSupported",
    "The WS-Management service cannot process the request because the action is not supported by the "
    "service. ",
    detail="ActionMismatch",
    action=_ADDRESSING_FAULT,
)
RESOURCE_NOT_FOUND = Refusal(
    2150858752,
    "a:DestinationUnreachable",
    "The WS-Management service cannot process the request. The service cannot find the resource identified "
    "by the resource URI and selectors. ",
    action=_ADDRESSING_FAULT,
)
SHELL_QUOTA = Refusal(
    2150859173,
    "w:QuotaLimit",
    "The WS-Management service cannot process the request. This user is allowed a maximum number of {} "
    "concurrent shells, which has been exceeded. Close existing shells or raise the quota for this user. ",
    wmi_form=True,
)
OPERATION_QUOTA = Refusal(
    2150859174,
    "w:InternalError",
    "The WS-Management service cannot process the request. The maximum number of concurrent operations for "
    "this user has been exceeded. Close existing operations for this user, or raise the quota for this user. "
    "The quota is {} concurrent operations. ",
    receiver=True,
)
COMMAND_QUOTA = Refusal(
    2150859241,
    "w:QuotaLimit",
    "The WS-Management service cannot process the request. The maximum number of {} concurrent commands per "
    "shell has been exceeded. Retry the request later or raise the quota. ",
)
BAD_FILTER = Refusal(
    2150858778,
    "n:CannotProcessFilter",
    "The WS-Management service cannot process the request. The WS-Enumeration filter is not valid. ",
    action=f"{soap.N}/fault",
)
NO_CONTEXT = Refusal(
    2150858884,
    "n:InvalidEnumerationContext",
    "The WS-Management service cannot process the request. The enumeration context is not valid. ",
    action=f"{soap.N}/fault",
)
ACCESS_DENIED = Refusal(5, "w:AccessDenied", "Access is denied. ")
NOT_SUPPORTED = Refusal(0x8004100C, "w:InternalError", "Not supported ", receiver=True, wmi_form=True)
PIPE_ENDED = Refusal(109, "w:InternalError", "The pipe has been ended. ", receiver=True, plugin=True)
NO_PROGRAM = Refusal(
    2147942402, "w:InternalError", "The system cannot find the file specified. ", receiver=True, plugin=True
)
NO_DIRECTORY = Refusal(
    2147942667, "w:InternalError", "The directory name is invalid. ", receiver=True, plugin=True
)
ABORTED = Refusal(
    995,
    "w:InternalError",
    "The I/O operation has been aborted because of either a thread exit or an application request. ",
    receiver=True,
    plugin=True,
)
CODE_PAGE = Refusal(2150859072, "w:InternalError", "The code page is not supported. ", receiver=True)
IDLE_TIMEOUT = Refusal(
    2150859250,
    "w:InvalidParameter",
    "The idle time-out of the shell is out of bounds. ",
    detail="InvalidValue",
)


def not_understood(name: str) -> Refusal:
    """Refuse a mandatory header block that nobody knows."""
    return Refusal(
        0,
        "",
        "The WS-Management service cannot process a SOAP header block that is marked mustUnderstand. ",
        action=_ADDRESSING_FAULT,
        not_understood=name,
    )
