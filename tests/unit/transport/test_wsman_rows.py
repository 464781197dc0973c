"""Rows out of recorded answer shapes: both item forms, types that lose nothing, and only errors of ours."""

from __future__ import annotations

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from ddcplay.errors import FaultError
from ddcplay.transport.wsman import Envelopes
from ddcplay.transport.wsman_enumerate import RowRequests, namespace_of
from ddcplay.transport.wsman_rows import interval_s, read_page, typed, utc_text

N = "http://schemas.xmlsoap.org/ws/2004/09/enumeration"
W = "http://schemas.dmtf.org/wbem/wsman/1/wsman.xsd"
A = "http://schemas.xmlsoap.org/ws/2004/08/addressing"
XSI = "http://www.w3.org/2001/XMLSchema-instance"
CIM = "http://schemas.dmtf.org/wbem/wscim/1/common"
CIMV2 = "http://schemas.microsoft.com/wbem/wsman/1/wmi/root/cimv2"


def page(items, kind="Enumerate", context="", end=True, box="w"):
    done = f"<{box}:EndOfSequence/>" if end else ""
    text = (
        f'<s:Body xmlns:s="urn:s" xmlns:n="{N}" xmlns:w="{W}"><n:{kind}Response>'
        f"<n:EnumerationContext>{context}</n:EnumerationContext><{box}:Items>{items}</{box}:Items>{done}"
        f"</n:{kind}Response></s:Body>"
    )
    return read_page(etree.fromstring(text), kind)


def fragment(inside):
    """What `SELECT a,b` brings: names without a namespace."""
    return f'<w:XmlFragment xmlns:xsi="{XSI}">{inside}</w:XmlFragment>'


def instance(inside, name="Win32_Thing"):
    """What `SELECT *` brings: names in the class's own namespace."""
    return (
        f'<p:{name} xmlns:xsi="{XSI}" xmlns:p="{CIMV2}/{name}" xmlns:cim="{CIM}" xsi:type="p:{name}_Type" '
        f'xml:lang="en-US">{inside}</p:{name}>'
    )


def only_row(items):
    (row,) = page(items).rows
    return row


def test_an_instance_and_a_fragment_bring_the_same_row() -> None:
    bare = '<Name>C:</Name><Size>256060514304</Size><Free xsi:nil="true"/><On>true</On><Label></Label>'
    named = bare.replace("<", "<p:").replace("<p:/", "</p:")
    expected = {"Name": "C:", "Size": 256060514304, "Free": None, "On": True, "Label": ""}
    assert only_row(fragment(bare)) == only_row(instance(named)) == expected


def test_prefixes_are_the_targets_choice() -> None:
    text = f'<q:Y xmlns:q="{CIMV2}/Y" xmlns:z="{XSI}"><q:A z:nil="1"/><B xmlns="{CIMV2}/Y">x</B></q:Y>'
    assert only_row(text) == {"A": None, "B": "x"}


def test_both_datetime_forms_become_utc() -> None:
    cim = "<p:Boot><cim:Datetime>2013-04-15T16:28:38.376625Z</cim:Datetime></p:Boot>"
    bare = "<Boot><Datetime>2013-04-15T18:28:38.376625+02:00</Datetime></Boot>"
    expected = {"Boot": "2013-04-15T16:28:38.376625Z"}
    assert only_row(instance(cim)) == only_row(fragment(bare)) == expected


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("2026-01-01T00:00:00Z", "2026-01-01T00:00:00Z"),
        ("2026-01-01T00:30:00+01:00", "2025-12-31T23:30:00Z"),
        ("2026-01-01T00:30:00.500000000-0330", "2026-01-01T04:00:00.5Z"),
        ("2026-01-01T00:30:00", "2026-01-01T00:30:00"),
        ("0001-01-01T00:00:00+14:00", "0001-01-01T00:00:00+14:00"),
        ("2026-02-30T00:00:00Z", "2026-02-30T00:00:00Z"),
        ("20130415162838.376625+060", "20130415162838.376625+060"),
        ("2010-01-01", "2010-01-01"),
    ],
)
def test_a_moment_is_utc_or_stays_what_it_was(written, expected) -> None:
    assert utc_text(written) == expected


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("P0DT0H0M12S", 12),
        ("P1DT1H1M1.5S", 90061.5),
        ("PT0.250000S", 0.25),
        ("P1Y", "P1Y"),
        ("P", "P"),
        ("", ""),
    ],
)
def test_an_interval_is_seconds(written, expected) -> None:
    assert interval_s(written) == expected
    assert only_row(fragment(f"<T><Interval>{written}</Interval></T>")) == {"T": expected}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("18446744073709551615", 18446744073709551615),
        ("-9223372036854775808", -9223372036854775808),
        ("0", 0),
        ("18446744073709551616", "18446744073709551616"),
        ("-9223372036854775809", "-9223372036854775809"),
        ("007", "007"),
        ("+1", "+1"),
        ("-0", "-0"),
        (" 1", " 1"),
        ("1e5", "1e5"),
        ("0x10", "0x10"),
        ("1.50", "1.50"),
        ("1_000", "1_000"),
        ("\u0661", "\u0661"),
        ("true", True),
        ("False", "False"),
        ("", ""),
    ],
)
def test_a_text_gets_a_type_only_where_nothing_is_lost(text, expected) -> None:
    found = typed(text)
    assert found == expected
    assert type(found) is type(expected)


@given(st.text(max_size=30) | st.integers().map(str))
def test_every_value_gives_its_text_back_and_fits_json(text: str) -> None:
    found = typed(text)
    if isinstance(found, int) and not isinstance(found, bool):
        assert str(found) == text
        assert orjson.loads(orjson.dumps(found)) == found
    elif isinstance(found, str):
        assert found == text


def test_a_repeated_property_is_a_list_and_a_null_in_it_is_kept() -> None:
    text = '<IP>10.0.0.1</IP><IP>fe80::1</IP><IP xsi:nil="true"/><Name>x</Name>'
    assert only_row(fragment(text)) == {"IP": ["10.0.0.1", "fe80::1", None], "Name": "x"}


def test_an_embedded_object_is_a_mapping() -> None:
    text = '<Owner><q:Trustee xmlns:q="urn:x"><q:Name>Tom</q:Name><q:Sid>1</q:Sid></q:Trustee></Owner>'
    assert only_row(fragment(text)) == {"Owner": {"Trustee": {"Name": "Tom", "Sid": 1}}}


def test_a_reference_shows_class_and_keys() -> None:
    text = (
        f'<p:Antecedent><a:Address xmlns:a="{A}">{A}/role/anonymous</a:Address>'
        f'<a:ReferenceParameters xmlns:a="{A}"><w:ResourceURI>{CIMV2}/Win32_Account</w:ResourceURI>'
        '<w:SelectorSet><w:Selector Name="__cimnamespace">root/cimv2</w:Selector>'
        '<w:Selector Name="Domain">PC1</w:Selector>'
        '<w:Selector Name="Name">Tom</w:Selector></w:SelectorSet></a:ReferenceParameters></p:Antecedent>'
    )
    expected = {"Antecedent": {"__CLASS": "Win32_Account", "Domain": "PC1", "Name": "Tom"}}
    assert only_row(instance(text)) == expected


def test_markup_and_blanks_in_a_value_are_kept() -> None:
    text = "<Name> a &lt;b&gt; &amp;\tc </Name>"
    assert only_row(fragment(text)) == {"Name": " a <b> &\tc "}


@pytest.mark.parametrize("box", ["w", "n"])
def test_the_end_may_stand_in_either_namespace(box) -> None:
    assert page("", context="uuid:1", end=True, box=box).context == ""


def test_without_an_end_the_context_goes_on() -> None:
    found = page(fragment("<A>1</A>"), "Pull", "uuid:7", end=False, box="n")
    assert (found.context, found.rows) == ("uuid:7", ({"A": 1},))


def test_a_pull_that_does_not_repeat_the_context_keeps_it() -> None:
    text = f'<b><n:PullResponse xmlns:n="{N}"><n:Items/></n:PullResponse></b>'
    assert read_page(etree.fromstring(text), "Pull", "uuid:7").context == "uuid:7"


@pytest.mark.parametrize(
    "inside",
    [
        "",
        f'<n:PullResponse xmlns:n="{N}"/>',
        f'<n:EnumerateResponse xmlns:n="{N}"><n:EnumerationContext>{"x" * 3000}</n:EnumerationContext>',
        f'<n:EnumerateResponse xmlns:n="{N}"><n:Items><r>{"<a>" * 60}{"</a>" * 60}</r></n:Items>',
    ],
)
def test_an_answer_of_another_shape_is_refused(inside) -> None:
    end = "</n:EnumerateResponse>" if "EnumerateR" in inside else ""
    with pytest.raises(FaultError) as caught:
        read_page(etree.fromstring(f"<b>{inside}{end}</b>"), "Enumerate")
    assert caught.value.reason == "transport"


NAMES = st.sampled_from(
    ["a", f"{{{N}}}EnumerateResponse", f"{{{W}}}Items", f"{{{N}}}Items", f"{{{W}}}XmlFragment", "Datetime",
     f"{{{CIM}}}Interval", f"{{{A}}}ReferenceParameters", f"{{{W}}}Selector", f"{{{N}}}EnumerationContext"]
)  # fmt: skip
LEAVES = st.text(st.characters(exclude_categories=["Cc", "Cs", "Cn"]), max_size=12) | st.sampled_from(
    ["2026-01-01T00:00:00Z", "PT1S", "true", "9" * 30]
)


@st.composite
def trees(draw, depth: int = 0) -> etree._Element:
    element = etree.Element(draw(NAMES))
    element.text = draw(LEAVES)
    for name in draw(st.sets(st.sampled_from([f"{{{XSI}}}nil", "Name"]))):
        element.set(name, draw(st.sampled_from(["true", "1", "x", ""])))
    for _ in range(draw(st.integers(0, 3)) if depth < 5 else 0):
        element.append(draw(trees(depth + 1)))
    return element


@given(st.lists(trees(), max_size=4))
def test_whatever_is_in_an_answer_only_our_error_comes_out(items) -> None:
    body = etree.Element("body")
    answer = etree.SubElement(body, f"{{{N}}}EnumerateResponse")
    etree.SubElement(answer, f"{{{W}}}Items").extend(items)
    try:
        found = read_page(body, "Enumerate")
    except FaultError:
        return
    orjson.dumps([dict(row) for row in found.rows])


@pytest.mark.parametrize(
    "written", [r"root\cimv2", "root/cimv2", r"\\.\root\cimv2", "/root/cimv2/", " root/cimv2"]
)
def test_a_namespace_may_be_written_in_every_usual_way(written) -> None:
    assert namespace_of(written) == "root/cimv2"


@pytest.mark.parametrize(
    "written", ["", "cimv2", "root/ci mv2", "root//x", "root/../x", "root/*", "root/x<y"]
)
def test_what_is_no_namespace_is_refused(written) -> None:
    with pytest.raises(ValueError, match="namespace"):
        namespace_of(written)


@given(st.text(st.characters(exclude_categories=["Cc", "Cs", "Cn"]), min_size=1))
def test_the_query_arrives_as_it_was_written(wql: str) -> None:
    request = RowRequests(Envelopes("http://pc:5985/wsman"), r"root\wmi").enumerate(wql, 10)
    root = etree.fromstring(request.body)
    assert root.findtext(f".//{{{W}}}Filter") == wql.replace("\r\n", "\n")
    assert root.find(f".//{{{W}}}OptimizeEnumeration") is not None
    resource = root.findtext(f".//{{{W}}}ResourceURI")
    assert resource == "http://schemas.microsoft.com/wbem/wsman/1/wmi/root/wmi/*"
