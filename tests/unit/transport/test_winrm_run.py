"""Running commands over one connection: the receive loop, stdin, shells, and ends that really come."""

from __future__ import annotations

import re
import threading

import pytest

from ddcplay.model.result import Reason
from ddcplay.transport.base import Command
from ddcplay.transport.wsman import STDIN_PIECE_BYTES

TIMED_OUT = 2150858793


def test_sealed_ntlm_runs_two_commands_in_one_shell(standin, connected, budget) -> None:
    server = standin()
    connection = connected(server)
    first = connection.run(Command("ver"), budget(5))
    second = connection.run(Command("hostname", last=True), budget(5))
    connection.close()
    assert (first.exit_code, first.stdout, first.reason) == (0, b"hello\r\n", None)
    assert second.accepted
    assert server.names() == ["Create", "Command", "Receive", "Signal", "Command", "Receive", "Delete"]
    assert all("multipart/encrypted" in call.headers["content-type"] for call in server.calls)
    assert connection.facts()["encryption"] == "message"


def test_one_visit_logs_on_once_over_one_tcp_connection(standin, connected, budget) -> None:
    server = standin()
    connection = connected(server)
    for _ in range(3):
        assert connection.run(Command("ver"), budget(5)).reason is None
    assert (server.logons, server.connections) == (1, 1)


def test_basic_proves_the_password_with_identify(standin, connected, budget) -> None:
    server = standin(auth="basic")
    connection = connected(server)
    assert connection.run(Command("ver"), budget(5)).reason is None
    assert server.names()[0] == "Identify"


def test_operation_timeouts_on_receive_are_no_end(standin, connected, budget, say) -> None:
    server = standin(
        script={"Receive": [*[say.fault(TIMED_OUT, "w:TimedOut")] * 3, say.output(b"x", done=7)]}
    )
    output = connected(server).run(Command("slow"), budget(5))
    assert (output.exit_code, output.stdout, output.reason) == (7, b"x", None)


def test_an_endless_command_ends_at_its_deadline_and_is_killed(
    standin, connected, budget, say, stopwatch
) -> None:
    server = standin(script={"Receive": [say.output(b"part"), *[say.fault(TIMED_OUT, "w:TimedOut")] * 400]})
    connection = connected(server)
    elapsed = stopwatch()
    output = connection.run(Command("ping -t localhost"), budget(0.4))
    assert elapsed() < 2
    assert output.reason is Reason.TIMEOUT
    assert output.stdout == b"part"
    assert (output.exit_code, output.accepted, output.connection_lost) == (None, True, False)
    assert server.names()[-2:] == ["Signal", "Delete"]


def test_after_a_timeout_the_next_command_gets_a_fresh_shell(standin, connected, budget, say) -> None:
    server = standin(script={"Receive": [say.fault(TIMED_OUT, "w:TimedOut")] * 4})
    connection = connected(server)
    assert connection.run(Command("slow"), budget(0.05)).reason is Reason.TIMEOUT
    server.script["Receive"] = []
    assert connection.run(Command("ver"), budget(5)).reason is None
    assert server.names().count("Create") == 2


def test_a_target_that_answers_nothing_at_once_is_not_asked_in_a_tight_loop(
    standin, connected, budget, say
) -> None:
    server = standin(script={"Receive": [say.output() for _ in range(500)]})
    connected(server).run(Command("slow"), budget(0.5))
    assert server.names().count("Receive") < 18


def test_a_mute_peer_is_left_in_time_and_later_commands_fail_at_once(
    standin, connected, budget, say, stopwatch
) -> None:
    server = standin(script={"Receive": [say.mute()]})
    connection = connected(server)
    elapsed = stopwatch()
    output = connection.run(Command("slow"), budget(0.3))
    assert output.reason is Reason.TIMEOUT
    assert output.connection_lost
    assert elapsed() < 0.3 + 5
    elapsed = stopwatch()
    later = connection.run(Command("ver"), budget(30))
    assert (later.reason, later.connection_lost, later.accepted) == (Reason.TRANSPORT, True, False)
    assert elapsed() < 0.1


def test_a_trickling_peer_is_left_in_time(standin, connected, budget, say, stopwatch) -> None:
    server = standin(script={"Receive": [say.trickle()]})
    connection = connected(server)
    elapsed = stopwatch()
    assert connection.run(Command("slow"), budget(0.2)).reason is Reason.TIMEOUT
    assert elapsed() < 0.2 + 5


def test_a_peer_that_trickles_the_body_is_left_in_time(standin, connected, budget, say, stopwatch) -> None:
    start = b"HTTP/1.1 200 \r\nContent-Type: x\r\nContent-Length: 900000\r\n\r\n"
    server = standin(script={"Command": [say.trickle(start=start)]})
    connection = connected(server)
    elapsed = stopwatch()
    output = connection.run(Command("slow"), budget(0.2))
    assert (output.reason, output.accepted) == (Reason.TIMEOUT, True)
    assert elapsed() < 0.2 + 5


def test_a_peer_silent_beyond_the_read_timeout_is_a_transport_fault(standin, connected, budget, say) -> None:
    server = standin(script={"Receive": [say.mute()]})
    connection = connected(server, operation_timeout_s=0.5, read_timeout_s=0.6)
    output = connection.run(Command("slow"), budget(60))
    assert (output.reason, output.connection_lost) == (Reason.TRANSPORT, True)


def test_abort_from_another_thread_ends_the_wait(standin, connected, budget, say, stopwatch) -> None:
    server = standin(script={"Receive": [say.mute()]})
    connection = connected(server)
    elapsed = stopwatch()
    threading.Timer(0.05, connection.abort).start()
    output = connection.run(Command("slow"), budget(30))
    assert output.reason is Reason.TRANSPORT
    assert elapsed() < 2


def test_bytes_of_a_stream_are_joined_before_anyone_decodes_them(standin, connected, budget, say) -> None:
    euro = "€".encode()
    server = standin(
        script={
            "Receive": [say.output(euro[:1], b"e"), say.output(euro[1:2]), say.output(euro[2:], b"f", done=0)]
        }
    )
    output = connected(server).run(Command("x"), budget(5))
    assert (output.stdout.decode(), output.stderr) == ("€", b"ef")


@pytest.mark.parametrize(
    ("told", "expected"),
    [("-1", 4294967295), ("4294967295", 4294967295), ("-1073741510", 3221225786), ("3221225786", 3221225786)],
)
def test_exit_codes_are_unsigned(standin, connected, budget, say, told, expected) -> None:
    server = standin(script={"Receive": [say.output(done=told)]})
    output = connected(server).run(Command("x"), budget(5))
    assert (output.exit_code, output.reason) == (expected, None)


@pytest.mark.parametrize("told", ["", "many", "99999999999", "1_0", "٣"])
def test_a_missing_or_absurd_exit_code_is_said_and_output_kept(standin, connected, budget, say, told) -> None:
    server = standin(script={"Receive": [say.output(b"kept", done=told)]})
    output = connected(server).run(Command("x"), budget(5))
    assert (output.exit_code, output.stdout, output.reason) == (None, b"kept", Reason.TRANSPORT)


def test_done_without_any_stream_is_the_end(standin, connected, budget, say) -> None:
    server = standin(script={"Receive": [say.output(state="Pending"), say.output(done=0)]})
    output = connected(server).run(Command("x"), budget(5))
    assert (output.exit_code, output.stdout) == (0, b"")


def test_too_much_output_is_cut_and_the_command_ended(standin, connected, budget, say) -> None:
    server = standin(script={"Receive": [say.output(b"y" * 600), say.output(b"y" * 600)]})
    output = connected(server).run(Command("yes", max_output_bytes=1000), budget(5))
    assert (output.reason, len(output.stdout)) == (Reason.OUTPUT_LIMIT, 1000)
    assert server.names()[-2:] == ["Signal", "Delete"]


def test_output_of_exactly_the_limit_is_fine(standin, connected, budget, say) -> None:
    server = standin(script={"Receive": [say.output(b"y" * 1000, done=0)]})
    assert connected(server).run(Command("x", max_output_bytes=1000), budget(5)).reason is None


def test_stdin_is_sent_in_pieces_with_an_end(standin, connected, budget) -> None:
    server = standin()
    data = bytes(range(256)) * 800
    output = connected(server).run(Command("sort", stdin=data), budget(5))
    assert output.reason is None
    sends = [call.text for call in server.calls if call.name == "Send"]
    assert len(sends) == -(-len(data) // STDIN_PIECE_BYTES)
    assert ['End="true"' in text for text in sends] == [False] * (len(sends) - 1) + [True]
    assert all(len(text) < 153600 for text in sends)
    started = next(call.text for call in server.calls if call.name == "Command")
    assert '"WINRS_CONSOLEMODE_STDIN">FALSE<' in started


def test_empty_stdin_is_closed_at_once(standin, connected, budget) -> None:
    server = standin()
    connected(server).run(Command("sort", stdin=b""), budget(5))
    assert server.names().count("Send") == 1


def test_a_program_that_ends_before_its_stdin_is_read_is_fine(standin, connected, budget, say) -> None:
    server = standin(script={"Send": [say.fault(2147942509)]})
    output = connected(server).run(Command("ver", stdin=b"x" * 200_000), budget(5))
    assert (output.exit_code, output.reason) == (0, None)
    assert server.names().count("Send") == 1


def test_a_busy_pipe_is_tried_again(standin, connected, budget, say) -> None:
    server = standin(script={"Send": [say.fault(170)]})
    assert connected(server).run(Command("sort", stdin=b"x"), budget(5)).reason is None
    assert server.names().count("Send") == 2


def test_a_console_is_promised_when_nothing_is_fed(standin, connected, budget) -> None:
    server = standin()
    connected(server).run(Command("ver"), budget(5))
    started = next(call.text for call in server.calls if call.name == "Command")
    assert '"WINRS_CONSOLEMODE_STDIN">TRUE<' in started


def test_another_environment_means_another_shell_and_the_first_is_deleted(standin, connected, budget) -> None:
    server = standin()
    connection = connected(server)
    connection.run(Command("a"), budget(5))
    connection.run(Command("b", env=(("X", "1"),), chdir="C:\\tmp", codepage=437), budget(5))
    assert [name for name in server.names() if name in ("Create", "Delete")] == ["Create", "Delete", "Create"]
    text = [call.text for call in server.calls if call.name == "Create"][1]
    assert '<rsp:Variable Name="X">1</rsp:Variable>' in text
    assert "<rsp:WorkingDirectory>C:\\tmp<" in text
    assert '"WINRS_CODEPAGE">437<' in text


def test_a_shell_is_recycled_before_its_operations_run_out(standin, connected, budget) -> None:
    server = standin(auth="basic")
    connection = connected(server)
    for _ in range(201):
        connection.run(Command("a"), budget(5))
    assert server.names().count("Create") == 2


def test_close_deletes_the_shell_and_a_vanished_shell_is_fine(standin, connected, budget, say) -> None:
    server = standin(script={"Delete": [say.fault(2150858843, "w:InvalidSelectors")]})
    connection = connected(server)
    connection.run(Command("a", last=True), budget(5))
    connection.close()
    assert server.names()[-1] == "Delete"


def test_close_of_a_connection_without_commands_opens_no_shell(standin, connected) -> None:
    server = standin()
    connected(server).close()
    assert server.names() == []


def test_the_shell_of_another_time_is_opened_anew_before_the_command(standin, connected, budget, say) -> None:
    server = standin(script={"Command": [say.started(), say.fault(2150858843, "w:InvalidSelectors")]})
    connection = connected(server)
    connection.run(Command("a"), budget(5))
    assert connection.run(Command("b"), budget(5)).reason is None
    assert server.names().count("Create") == 2


def test_a_shell_that_vanishes_while_the_command_runs_is_not_started_again(
    standin, connected, budget, say
) -> None:
    server = standin(script={"Receive": [say.output(b"part"), say.fault(2150858843, "w:InvalidSelectors")]})
    output = connected(server).run(Command("a"), budget(5))
    assert (output.reason, output.stdout, output.accepted) == (Reason.TRANSPORT, b"part", True)
    assert server.names().count("Command") == 1


@pytest.mark.parametrize(
    "ending", ["cut", "timed out", "no id", "no xml", "another's answer", "empty", "500 without a word"]
)
def test_a_command_of_unknown_fate_is_never_sent_again(standin, connected, budget, say, ending) -> None:
    answers = {
        "cut": say.cut(),
        "timed out": say.fault(TIMED_OUT, "w:TimedOut"),
        "no id": say.soap("<rsp:CommandResponse/>"),
        "no xml": say.http(200, b"<html>"),
        "another's answer": say.soap("<rsp:CommandResponse/>", relates="uuid:0"),
        "empty": say.http(200, b""),
        "500 without a word": say.http(500, b"", None),
    }
    server = standin(script={"Command": [answers[ending]]})
    output = connected(server).run(Command("a"), budget(5))
    assert output.accepted
    assert output.reason in (Reason.TRANSPORT, Reason.TIMEOUT)
    assert server.names().count("Command") == 1
    assert server.names()[-1] == "Delete"


def test_control_characters_are_refused_before_anything_is_sent(standin, connected, budget) -> None:
    server = standin()
    output = connected(server).run(Command("echo \x07"), budget(5))
    assert (output.reason, output.accepted) == (Reason.TRANSPORT, False)
    assert "U+0007" in output.detail
    assert "Command" not in server.names()


def test_every_command_that_ended_has_one_signal_at_most(standin, connected, budget) -> None:
    server = standin()
    connection = connected(server)
    for _ in range(5):
        connection.run(Command("a"), budget(5))
    connection.close()
    assert server.names().count("Signal") == server.names().count("Command") == 5
    assert server.names().count("Create") == server.names().count("Delete") == 1


def test_operation_timeouts_shrink_with_the_deadline(standin, connected, budget) -> None:
    server = standin()
    connected(server).run(Command("a"), budget(3))
    written = [
        float(found[1]) for call in server.calls if (found := re.search(r"PT([\d.]+)S</w:Op", call.text))
    ]
    assert written
    assert all(0.5 <= seconds <= 3 for seconds in written)


def test_round_trips_are_counted_without_the_logon(standin, connected, budget) -> None:
    output = connected(standin()).run(Command("a", last=True), budget(5))
    assert output.round_trips == 3


@pytest.mark.parametrize("status", [403, 404, 413, 503])
def test_a_command_that_was_turned_away_was_not_accepted(standin, connected, budget, say, status) -> None:
    output = connected(standin(script={"Command": [say.http(status, b"", None)]})).run(
        Command("a"), budget(5)
    )
    assert (output.reason, output.accepted) == (Reason.TRANSPORT, False)


def test_a_refused_command_was_not_accepted_and_the_shell_stays(standin, connected, budget, say) -> None:
    server = standin(
        script={"Command": [say.fault(2147942606, text="The filename or extension is too long.")]}
    )
    connection = connected(server)
    output = connection.run(Command("a"), budget(5))
    assert (output.reason, output.accepted) == (Reason.TRANSPORT, False)
    assert "8191" in output.hint
    assert connection.run(Command("b"), budget(5)).reason is None
    assert server.names().count("Create") == 1


def test_a_budget_that_is_used_up_already_sends_nothing(standin, connected, budget) -> None:
    server = standin()
    output = connected(server).run(Command("a"), budget(0))
    assert (output.reason, output.accepted, server.names()) == (Reason.TIMEOUT, False, [])


def test_a_shell_that_could_not_be_made_in_time_is_a_timeout(standin, connected, budget, say) -> None:
    server = standin(script={"Create": [say.fault(TIMED_OUT, "w:TimedOut")]})
    output = connected(server).run(Command("a"), budget(5))
    assert (output.reason, output.accepted) == (Reason.TIMEOUT, False)
    assert "Command" not in server.names()


def test_the_shell_of_a_used_up_account_is_renewed_once(standin, connected, budget, say) -> None:
    server = standin(script={"Command": [say.started(), say.fault(2150859174, text="1500 operations")]})
    connection = connected(server)
    connection.run(Command("a"), budget(5))
    assert connection.run(Command("b"), budget(5)).reason is None
    assert server.names().count("Create") == 2
    assert server.names().count("Delete") == 1
