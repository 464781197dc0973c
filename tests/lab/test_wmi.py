"""WQL over Enumerate, Pull and Release, in the two item forms Windows uses."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from lxml import etree

from ddcplay.lab.fleet import RunningLab

pytestmark = pytest.mark.lab
N = "http://schemas.xmlsoap.org/ws/2004/09/enumeration"
W = "http://schemas.dmtf.org/wbem/wsman/1/wsman.xsd"
SHELL = b"http://schemas.microsoft.com/wbem/wsman/1/windows/shell"
CIMV2 = "http://schemas.microsoft.com/wbem/wsman/1/wmi/root/cimv2/"
WQL = "http://schemas.microsoft.com/wbem/wsman/1/WQL"


@pytest.fixture
def ask(
    lab: RunningLab, post: Callable[..., Any], envelope: Callable[..., bytes]
) -> Callable[..., etree._Element]:
    """Send an enumeration message to a host and return the answer's root."""

    def send(action: str, body: str, resource: str = CIMV2 + "*") -> etree._Element:
        data = envelope(f"{N}/{action}", body).replace(SHELL + b"/cmd", resource.encode())
        return etree.fromstring(post(lab, "clear", data).body)

    return send


def select(wql: str, count: int = 32000) -> str:
    return (
        f'<q:Enumerate xmlns:q="{N}"><ws:OptimizeEnumeration/><ws:MaxElements>{count}</ws:MaxElements>'
        f'<ws:Filter Dialect="{WQL}">{wql}</ws:Filter></q:Enumerate>'
    )


def test_named_columns_come_as_fragments_in_the_order_asked_for(
    lab: RunningLab, ask: Callable[..., etree._Element]
) -> None:
    root = ask("Enumerate", select("SELECT Size,DeviceID FROM Win32_LogicalDisk WHERE DriveType=3"))
    rows = root.findall(f".//{{{W}}}XmlFragment")
    assert [[child.tag for child in row] for row in rows] == [["Size", "DeviceID"]] * len(rows)
    disks = lab.machine("clear").disks(lab.now())
    assert [row.findtext("Size") for row in rows] == [str(disk.size_bytes) for disk in disks]
    assert root.find(f".//{{{W}}}EndOfSequence") is not None
    assert root.findtext(f".//{{{N}}}EnumerationContext") in (None, "")


def test_all_columns_come_as_a_typed_instance(lab: RunningLab, ask: Callable[..., etree._Element]) -> None:
    root = ask("Enumerate", select("select * from win32_operatingsystem"))
    name = f"{{{CIMV2}Win32_OperatingSystem}}"
    item = root.find(f".//{name}Win32_OperatingSystem")
    assert item is not None
    tags = [re.sub(r"\{.*\}", "", str(child.tag)) for child in item]
    assert tags == sorted(tags, key=str.lower)
    boot = item.findtext(f"{name}LastBootUpTime/{{http://schemas.dmtf.org/wbem/wscim/1/common}}Datetime")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{6})?Z", boot or "")


def test_a_null_is_nil_and_an_array_is_repeated(ask: Callable[..., etree._Element]) -> None:
    root = ask("Enumerate", select("SELECT IPAddress FROM Win32_NetworkAdapterConfiguration"))
    first, second = root.findall(f".//{{{W}}}XmlFragment")
    assert len(first.findall("IPAddress")) == 2
    assert second[0].get("{http://www.w3.org/2001/XMLSchema-instance}nil") == "true"


def test_pages_follow_the_context_until_the_end(lab: RunningLab, ask: Callable[..., etree._Element]) -> None:
    root = ask("Enumerate", select("SELECT ProcessId FROM Win32_Process", count=1))
    found = root.findall(f".//{{{W}}}XmlFragment")
    rounds = 0
    while context := root.findtext(f".//{{{N}}}EnumerationContext"):
        body = f'<q:Pull xmlns:q="{N}"><q:EnumerationContext>{context}</q:EnumerationContext>'
        root = ask("Pull", f"{body}<q:MaxElements>7</q:MaxElements></q:Pull>")
        found += root.findall(f".//{{{W}}}XmlFragment")
        rounds += 1
    # Commands of other tests may run on this host at the same time.
    assert len(found) >= len(lab.machine("clear").processes(lab.now()))
    ids = [item.findtext("ProcessId") for item in found]
    assert len(set(ids)) == len(ids)
    assert rounds >= 2
    assert root.find(f".//{{{N}}}EndOfSequence") is not None


def test_a_released_context_is_gone(ask: Callable[..., etree._Element]) -> None:
    root = ask("Enumerate", select("SELECT Name FROM Win32_Process", count=1))
    context = root.findtext(f".//{{{N}}}EnumerationContext")
    inside = f'xmlns:q="{N}"><q:EnumerationContext>{context}</q:EnumerationContext>'
    assert b"ReleaseResponse" in etree.tostring(ask("Release", f"<q:Release {inside}</q:Release>"))
    assert b'Code="2150858884"' in etree.tostring(ask("Pull", f"<q:Pull {inside}</q:Pull>"))


@pytest.mark.parametrize(
    ("wql", "text"),
    [
        ("SELECT * FROM Win32_Nothing", b"class does not exist"),
        ("SELECT Nothing FROM Win32_Process", b"query is not valid"),
        ("SELECT * FROM Win32_Process WHERE", b"query is not valid"),
        ("DROP TABLE x", b"query is not valid"),
    ],
)
def test_a_bad_query_is_a_fault(ask: Callable[..., etree._Element], wql: str, text: bytes) -> None:
    answer = etree.tostring(ask("Enumerate", select(wql)))
    assert b'Code="2150858778"' in answer
    assert text in answer


def test_open_shells_can_be_listed(
    lab: RunningLab, ask: Callable[..., etree._Element], open_shell: Callable[..., str]
) -> None:
    shell = open_shell(lab, "clear")
    inside = "<ws:OptimizeEnumeration/><ws:MaxElements>50</ws:MaxElements>"
    body = f'<q:Enumerate xmlns:q="{N}">{inside}</q:Enumerate>'
    assert shell.encode() in etree.tostring(ask("Enumerate", body, SHELL.decode()))
