"""Envelopes written and read: shapes, escapes, and answers from hostile peers."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from ddcplay.errors import FaultError
from ddcplay.transport import wsman_read
from ddcplay.transport.wsman import (
    ADDRESSING,
    MAX_ENVELOPE_BYTES,
    SHELL,
    SOAP,
    STDIN_PIECE_BYTES,
    TRANSFER,
    WSMAN,
    Envelopes,
    Request,
    ShellOptions,
    duration,
    identify,
)
from ddcplay.transport.wsman_fault import WsmanFaultError, one_line
from ddcplay.transport.wsman_read import MalformedAnswerError

HERE = Envelopes("http://[::1]:5985/wsman")
ASKED = Request("Receive", "uuid:0A", b"")
ID = "C0FFEE"

xml_text = st.text(
    st.characters(
        exclude_categories=("Cs",),
        exclude_characters=[chr(n) for n in range(32) if n not in (9, 10, 13)] + ["\ufffe", "\uffff"],
    )
)


def envelope(body: str, header: str = "") -> bytes:
    return (
        f'<q:Envelope xmlns:q="{SOAP}" xmlns:adr="{ADDRESSING}" xmlns:r="{SHELL}" xmlns:t="{TRANSFER}" '
        f'xmlns:m="{WSMAN}"><q:Header>{header}</q:Header><q:Body>{body}</q:Body></q:Envelope>'
    ).encode()


@given(xml_text)
def test_a_command_line_arrives_as_it_was_written_line_ends_included(line: str) -> None:
    root = etree.fromstring(HERE.command("S", line, 5, feeds_stdin=False, skip_shell=False).body)
    assert (root.findtext(f".//{{{SHELL}}}Command") or "") == line


@given(xml_text, xml_text)
def test_environments_arrive_as_they_were_written(name: str, value: str) -> None:
    root = etree.fromstring(HERE.create_shell(ShellOptions(env=((name, value),)), 5).body)
    variable = root.find(f".//{{{SHELL}}}Variable")
    assert variable is not None
    assert (variable.get("Name"), variable.text or "") == (name, value)


@given(st.text())
def test_whatever_is_written_the_envelope_is_well_formed_or_refused(line: str) -> None:
    try:
        request = HERE.command("S", line, 5, feeds_stdin=True, skip_shell=True)
    except FaultError:
        return
    etree.fromstring(request.body)


@given(st.text(st.characters(categories=("Cc",)), min_size=1))
def test_control_characters_are_refused(line: str) -> None:
    if set(line) <= set("\t\n\r") or all(ord(letter) >= 0x7F for letter in line):
        return
    if not any(ord(letter) < 32 and letter not in "\t\n\r" for letter in line):
        return
    with pytest.raises(FaultError, match=r"U\+00"):
        HERE.command("S", line, 5, feeds_stdin=False, skip_shell=False)


def test_every_request_carries_what_windows_needs() -> None:
    requests = [
        HERE.create_shell(ShellOptions(), 20),
        HERE.command("S", "ver", 20, feeds_stdin=False, skip_shell=False),
        HERE.send("S", "C", b"x", 20, end=True),
        HERE.receive("S", "C", 20),
        HERE.signal("S", "C", 20),
        HERE.delete("S", 20),
    ]
    for request in requests:
        root = etree.fromstring(request.body)
        header = root.find(f"{{{SOAP}}}Header")
        assert header is not None
        assert header.findtext(f"{{{ADDRESSING}}}MessageID") == request.message_id
        assert header.findtext(f"{{{WSMAN}}}MaxEnvelopeSize") == "153600"
        assert header.findtext(f"{{{WSMAN}}}OperationTimeout") == "PT20.000S"
        selector = header.findtext(f"{{{WSMAN}}}SelectorSet/{{{WSMAN}}}Selector")
        assert selector == (None if request.name == "Create" else "S")
    assert len({request.message_id for request in requests}) == len(requests)


def test_a_full_piece_of_stdin_fits_the_envelope() -> None:
    assert (
        len(HERE.send("S" * 36, "C" * 36, b"\xff" * STDIN_PIECE_BYTES, 20, end=True).body)
        < MAX_ENVELOPE_BYTES
    )


def test_identify_is_plain_and_shells_follow_ansible() -> None:
    assert etree.fromstring(identify().body).tag == f"{{{SOAP}}}Envelope"
    text = HERE.create_shell(ShellOptions(codepage=850), 20).body.decode()
    assert '"WINRS_NOPROFILE">FALSE<' in text
    assert '"WINRS_CODEPAGE">850<' in text
    assert "<rsp:IdleTimeOut>PT180.000S<" in text


@pytest.mark.parametrize(("seconds", "text"), [(20, "PT20.000S"), (0.1, "PT0.500S"), (1.25, "PT1.250S")])
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def read_all(body: bytes) -> None:
    content = wsman_read.read_envelope(body, ASKED)
    for read in (
        wsman_read.read_shell_id,
        wsman_read.read_command_id,
        wsman_read.read_identity,
        lambda part: wsman_read.read_received(part, ID),
    ):
        try:
            read(content)
        except FaultError:
            continue


@given(st.binary())
def test_any_bytes_give_only_our_errors(body: bytes) -> None:
    with pytest.raises(MalformedAnswerError):
        read_all(body)


names = st.sampled_from(
    (
        *(
            "r:ReceiveResponse",
            "r:Stream",
            "r:CommandState",
            "r:ExitCode",
            "r:CommandResponse",
            "r:CommandId",
        ),
        *("q:Fault", "q:Detail", "q:Code", "q:Reason", "q:Subcode", "q:Value", "t:ResourceCreated"),
        *("m:Selector", "MSFT_WmiError", "error_Code"),
    )
)
attributes = st.sampled_from(
    ["", ' Name="stdout"', ' Name="ShellId"', ' CommandId="C0FFEE"', ' State="x/CommandState/Done"']
)
texts = st.sampled_from(
    ["", "0", "-1", "AAAA", "A", "\u0663", "99999999999999999999", "&#10;", "&lt;", "uuid:1"]
)
trees = st.recursive(
    texts,
    lambda inner: st.builds(
        lambda name, attribute, parts: f"<{name}{attribute}>{''.join(parts)}</{name}>",
        names,
        attributes,
        st.lists(inner, max_size=4),
    ),
    max_leaves=20,
)


@given(trees, trees)
def test_any_arrangement_of_known_elements_gives_values_or_our_errors(body: str, header: str) -> None:
    told = ""
    try:
        read_all(envelope(body, header))
    except FaultError as fault:
        told = fault.message
    assert len(told) <= 300
    assert told.isprintable()


def test_entities_and_document_types_are_refused(tmp_path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("stolen")
    body = envelope("<r:CommandResponse><r:CommandId>&x;</r:CommandId></r:CommandResponse>")
    bomb = b'<!DOCTYPE q [<!ENTITY x SYSTEM "file://' + str(secret).encode() + b'">]>' + body
    with pytest.raises(MalformedAnswerError) as caught:
        read_all(bomb)
    assert "stolen" not in str(caught.value)


def test_oversized_answers_are_not_even_parsed() -> None:
    with pytest.raises(MalformedAnswerError, match="bytes"):
        read_all(b" " * (wsman_read.MAX_ANSWER_BYTES + 1))


def test_an_answer_to_another_request_is_refused_and_letter_case_does_not_matter() -> None:
    with pytest.raises(MalformedAnswerError, match="RelatesTo"):
        read_all(envelope("", "<adr:RelatesTo>uuid:0B</adr:RelatesTo>"))
    read_all(envelope("", "<adr:RelatesTo>UUID:0a</adr:RelatesTo>"))
    read_all(envelope(""))


def test_streams_of_other_commands_and_after_interleaving_are_told_apart() -> None:
    def stream(name: str, data: bytes, command: str = ID) -> str:
        return f'<r:Stream Name="{name}" CommandId="{command}">{base64.b64encode(data).decode()}</r:Stream>'

    streams = stream("stdout", b"a") + stream("stderr", b"b") + stream("stdout", b"c")
    streams += stream("stdout", b"evil", "OTHER") + '<r:Stream Name="stdout" CommandId="C0FFEE" End="true"/>'
    streams += '<r:CommandState CommandId="OTHER" State="x/CommandState/Done"/>'
    body = envelope(f"<r:ReceiveResponse>{streams}</r:ReceiveResponse>")
    received = wsman_read.read_received(wsman_read.read_envelope(body, ASKED), ID)
    assert (received.stdout, received.stderr, received.done) == (b"ac", b"b", False)


@pytest.mark.parametrize(
    "stream",
    [
        "<r:Stream>QQ==</r:Stream>",
        '<r:Stream Name="stdout">%%</r:Stream>',
        '<r:Stream Name="stdout">é</r:Stream>',
        '<r:Stream Name="stdin">QQ==</r:Stream>',
    ],
)
def test_a_stream_without_name_or_base64_is_malformed(stream: str) -> None:
    content = wsman_read.read_envelope(envelope(f"<r:ReceiveResponse>{stream}</r:ReceiveResponse>"), ASKED)
    with pytest.raises(MalformedAnswerError):
        wsman_read.read_received(content, ID)


def test_missing_ids_are_our_errors() -> None:
    content = wsman_read.read_envelope(envelope(""), ASKED)
    for read in (wsman_read.read_shell_id, wsman_read.read_command_id, wsman_read.read_identity):
        with pytest.raises(MalformedAnswerError):
            read(content)
    with pytest.raises(MalformedAnswerError):
        wsman_read.read_received(content, ID)


def test_the_old_shell_id_form_is_taken_from_the_selector() -> None:
    body = envelope(
        '<t:ResourceCreated><m:Selector Name="ShellId">uuid:67A7</m:Selector></t:ResourceCreated>'
    )
    assert wsman_read.read_shell_id(wsman_read.read_envelope(body, ASKED)) == "uuid:67A7"


def test_a_fault_without_code_is_named_by_its_subcode() -> None:
    body = envelope(
        "<q:Fault><q:Code><q:Value>q:MustUnderstand</q:Value></q:Code>"
        "<q:Reason><q:Text>no</q:Text></q:Reason></q:Fault>"
    )
    with pytest.raises(WsmanFaultError, match="MustUnderstand") as caught:
        wsman_read.read_envelope(body, ASKED)
    assert caught.value.reason == "transport"


@given(st.text())
def test_one_line_is_printable_and_bounded(text: str) -> None:
    line = one_line(text)
    assert len(line) <= 300
    assert line.isprintable()
