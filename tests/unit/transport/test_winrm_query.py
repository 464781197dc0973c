"""WQL over one connection: all pages, no shell, every end told in the words of a query."""

from __future__ import annotations

import re

import pytest

from ddcplay.errors import FaultError
from ddcplay.transport.base import Command, RowsLimitError, Watch

TIMED_OUT = 2150858793
N = "http://schemas.xmlsoap.org/ws/2004/09/enumeration"
WQL = "SELECT Name FROM Win32_Process WHERE Name<>'a & b'"


@pytest.fixture
def page(say):
    """Write one answer: rows of `Name`, and the context of the next page."""

    def make(*names, context="", kind="Enumerate"):
        box = "w" if kind == "Enumerate" else "n"
        rows = "".join(f"<w:XmlFragment><Name>{name}</Name></w:XmlFragment>" for name in names)
        end = "" if context else f"<{box}:EndOfSequence/>"
        return say.soap(
            f'<n:{kind}Response xmlns:n="{N}"><n:EnumerationContext>{context}</n:EnumerationContext>'
            f"<{box}:Items>{rows}</{box}:Items>{end}</n:{kind}Response>"
        )

    return make


def names_of(rows):
    return [row["Name"] for row in rows]


def test_all_pages_come_over_one_connection_without_a_shell(standin, connected, budget, page) -> None:
    server = standin(
        script={
            "Enumerate": [page("a", "b", context="uuid:1")],
            "Pull": [page("c", context="uuid:2", kind="Pull"), page("d", kind="Pull")],
        }
    )
    connection = connected(server)
    assert names_of(connection.query(WQL, budget(5))) == ["a", "b", "c", "d"]
    connection.close()
    assert server.names() == ["Enumerate", "Pull", "Pull"]
    assert server.logons == 1
    assert [re.findall(r"<n:EnumerationContext>([^<]*)", call.text) for call in server.calls] == [
        [],
        ["uuid:1"],
        ["uuid:2"],
    ]
    assert "Name&lt;&gt;&#x27;a &amp; b&#x27;" in server.calls[0].text
    assert "/wmi/root/cimv2/*" in server.calls[0].text


def test_a_query_and_a_command_share_the_connection(standin, connected, budget, page) -> None:
    server = standin(script={"Enumerate": [page("a")]})
    connection = connected(server)
    connection.query(WQL, budget(5))
    assert connection.run(Command("ver", last=True), budget(5)).stdout == b"hello\r\n"
    assert server.logons == 1


def test_slow_rows_are_waited_for(standin, connected, budget, say, page) -> None:
    slow = say.fault(TIMED_OUT, "w:TimedOut")
    server = standin(
        script={"Enumerate": [page("a", context="uuid:1")], "Pull": [slow, slow, page("b", kind="Pull")]}
    )
    assert names_of(connected(server).query(WQL, budget(5))) == ["a", "b"]


def test_past_its_deadline_a_query_is_released(standin, connected, budget, say, page) -> None:
    slow = say.fault(TIMED_OUT, "w:TimedOut")
    server = standin(script={"Enumerate": [page("a", context="uuid:1")], "Pull": [slow] * 4000})
    server.script["Release"] = [say.soap("")]
    connection = connected(server)
    with pytest.raises(FaultError) as caught:
        connection.query(WQL, budget(0.3))
    assert (caught.value.reason, caught.value.connection_lost) == ("timeout", False)
    assert "Win32_Process" in caught.value.message
    assert server.names()[-1] == "Release"
    assert "uuid:1" in server.calls[-1].text


def test_a_mute_target_costs_the_deadline_and_no_more(standin, connected, budget, say, stopwatch) -> None:
    server = standin(script={"Enumerate": [say.mute()]})
    connection = connected(server)
    elapsed = stopwatch()
    with pytest.raises(FaultError) as caught:
        connection.query(WQL, budget(0.3))
    assert elapsed() < 4
    assert (caught.value.reason, caught.value.connection_lost) == ("timeout", True)
    with pytest.raises(FaultError, match="lost before") as again:
        connection.query(WQL, budget(5))
    assert again.value.reason == "transport"


def test_rows_beyond_the_bound_are_not_fetched(standin, connected, budget, say, page) -> None:
    server = standin(script={"Enumerate": [page("a", "b" * 40, context="uuid:1")], "Release": [say.soap("")]})
    with pytest.raises(RowsLimitError) as caught:
        connected(server).query(WQL, budget(5), max_bytes=40)
    assert (caught.value.reason, names_of(caught.value.rows)) == ("output_limit", ["a"])
    assert server.names() == ["Enumerate", "Release"]


def test_a_closed_idle_connection_is_rebuilt_for_a_query(standin, connected, budget, page) -> None:
    server = standin(script={"Enumerate": [page("a"), page("b")]}, drop_after=["Enumerate"])
    connection = connected(server)
    connection.query(WQL, budget(5))
    assert server.dropped.wait(2)
    assert names_of(connection.query(WQL, budget(5))) == ["b"]


def test_a_page_that_was_lost_is_not_asked_for_again(standin, connected, budget, say, page) -> None:
    server = standin(
        script={
            "Enumerate": [page("a", context="uuid:1")],
            "Pull": [say.cut()],
            "Release": [say.soap("")],
        }
    )
    with pytest.raises(FaultError) as caught:
        connected(server).query(WQL, budget(5))
    assert caught.value.reason == "transport"
    assert server.names().count("Pull") == 1


def test_pages_without_end_and_without_rows_are_given_up(standin, connected, budget, say, page) -> None:
    server = standin(
        script={
            "Enumerate": [page(context="uuid:1")],
            "Pull": [page(context="uuid:1", kind="Pull") for _ in range(200)],
            "Release": [say.soap("")],
        }
    )
    with pytest.raises(FaultError, match="pages without a row"):
        connected(server).query(WQL, budget(20))


def provider_fault(say, code, text, inner=None):
    """The recorded form of WMI's own trouble: a fault inside the provider's part of a fault."""
    nested = (
        f'<f:ProviderFault provider="WMI Provider" path="%systemroot%\\system32\\WsmWmiPl.dll">'
        f'<f:WSManFault xmlns:f="http://schemas.microsoft.com/wbem/wsman/1/wsmanfault" '
        f'Code="{inner or code}" Machine="PC01"><f:Message>{text} </f:Message></f:WSManFault>'
        "<f:ExtendedError>"
        '<p:__ExtendedStatus xmlns:p="urn:x"><p:Operation>ExecQuery</p:Operation></p:__ExtendedStatus>'
        "</f:ExtendedError></f:ProviderFault>"
    )
    return say.soap(
        "<s:Fault><s:Code><s:Value>s:Sender</s:Value><s:Subcode><s:Value>n:CannotProcessFilter</s:Value>"
        f'</s:Subcode></s:Code><s:Reason><s:Text xml:lang="en-US">It failed. </s:Text></s:Reason><s:Detail>'
        f'<f:WSManFault xmlns:f="http://schemas.microsoft.com/wbem/wsman/1/wsmanfault" '
        f'Code="{code}" Machine="PC01"><f:Message>{nested}</f:Message></f:WSManFault></s:Detail></s:Fault>',
        status=500,
    )


@pytest.fixture
def refused(standin, connected, budget, say):
    """Ask a target that answers with a fault of WMI's; return what became of it."""

    def ask(code, text, inner):
        server = standin(script={"Enumerate": [provider_fault(say, code, text, inner)]})
        with pytest.raises(FaultError) as caught:
            connected(server).query(WQL, budget(5))
        return caught.value

    return ask


@pytest.mark.parametrize(
    ("code", "text", "inner", "reason", "told", "hint"),
    [
        (2150858778, "The specified class does not exist in the given namespace.", None, "wql",
         "WBEM_E_INVALID_CLASS", "spelling"),
        (2150858778, "Classe non valide. HRESULT = 0x80041010", None, "wql",
         "WBEM_E_INVALID_CLASS", "spelling"),
        (2150858778, "The query is not valid.", None, "wql", "WBEM_E_INVALID_QUERY", "spelling"),
        (2150858778, "x", 0x80041017, "wql", "WBEM_E_INVALID_QUERY", "spelling"),
        (2150858778, "something new", None, "wql", "something new", "ddcplay probe"),
        (2150859012, "Access denied.", None, "wql", "access to WMI is denied", "Remote Enable"),
        (2147942405, "Access is denied.", None, "wql", "access to WMI is denied", "WinRMRemoteWMIUsers__"),
        (5, "Access is denied.", None, "wql", "access to WMI is denied", "Remote Enable"),
        (2150858752, "cannot find the resource", None, "wql", "no namespace root/cimv2", "namespace"),
        (2150859010, "could not perform", None, "wql", "cannot do this here", "RAID"),
        (2150858778, "x", 0x8004106C, "quota", "WBEM_E_QUOTA_VIOLATION", "fewer"),
        (2147749999, "x", None, "wql", "2147749999", "winrm helpmsg"),
        (2150859174, "1500 concurrent operations", None, "quota", "2150859174", "MaxConcurrent"),
        (2150858884, "the context is not valid", None, "transport", "2150858884", "winrm helpmsg"),
    ],
)  # fmt: skip
def test_a_fault_names_the_class_and_the_wbem_error(refused, code, text, inner, reason, told, hint) -> None:
    fault = refused(code, text, inner)
    assert fault.reason == reason
    assert "query of Win32_Process" in fault.message
    assert told in fault.message
    assert hint in fault.hint


def test_the_wmi_form_of_a_fault_is_read_too(standin, connected, budget, say) -> None:
    text = "The WMI service returned an error. HRESULT 0x80041003"
    server = standin(script={"Enumerate": [say.wmi_fault(2150859012, text)]})
    with pytest.raises(FaultError, match="WBEM_E_ACCESS_DENIED") as caught:
        connected(server).query(WQL, budget(5))
    assert caught.value.reason == "wql"


def test_a_namespace_that_is_none_is_refused_before_anything_is_sent(standin, connected, budget) -> None:
    server = standin()
    with pytest.raises(FaultError, match="namespace") as caught:
        connected(server).query(WQL, budget(5), "cimv2")
    assert caught.value.reason == "wql"
    assert server.names() == []


def test_a_watch_looks_between_receives_and_ends_the_command(standin, connected, budget, say, page) -> None:
    slow = say.fault(TIMED_OUT, "w:TimedOut")
    server = standin(
        script={
            "Receive": [say.output(b"part"), *[slow] * 4000],
            "Enumerate": [page(), page("somebody")],
        }
    )
    connection = connected(server)
    watch = Watch(lambda deadline: "there!" if connection.query(WQL, deadline) else None, 0.1)
    output = connection.run(Command("long", watch=watch), budget(10))
    assert (output.reason, output.stdout) == ("user_logged_on", b"part")
    assert output.detail == "there!; the command was ended"
    assert server.names()[-2:] == ["Signal", "Delete"]
    assert _texts(server, "Enumerate").count("a &amp; b") == 2
    waits = re.findall(r"OperationTimeout>PT([\d.]+)S", _texts(server, "Receive"))
    assert max(map(float, waits)) <= 0.5  # Windows takes no less


def test_a_look_that_fails_once_is_repeated_and_twice_ends_the_command(
    standin, connected, budget, say, page
) -> None:
    slow, bad = say.fault(TIMED_OUT, "w:TimedOut"), say.fault(2150858778)
    server = standin(script={"Receive": [slow] * 4000, "Enumerate": [bad, page(), bad, bad, page()]})
    connection = connected(server)
    watch = Watch(lambda deadline: "there" if connection.query(WQL, deadline) else None, 0.05)
    output = connection.run(Command("long", watch=watch), budget(10))
    assert output.reason == "wql"
    assert _texts(server, "Enumerate").count("a &amp; b") == 4


def _texts(server, name):
    """Everything that was sent under a name before the command was ended."""
    until = server.names().index("Signal")
    return "".join(call.text for call in server.calls[:until] if call.name == name)


def test_a_look_that_is_never_answered_is_no_timeout_of_the_probe(standin, connected, budget, say) -> None:
    server = standin(
        script={"Receive": [say.fault(TIMED_OUT, "w:TimedOut")] * 4000, "Enumerate": [say.mute()]}
    )
    connection = connected(server)
    watch = Watch(lambda _: connection.query(WQL, budget(0.1)) and None, 0.05)
    output = connection.run(Command("long", watch=watch), budget(30))
    assert (output.reason, output.connection_lost) == ("transport", True)
