from __future__ import annotations

from ddcplay.model.result import Reason
from ddcplay.transport.base import Command


def test_sealed_ntlm_runs_two_commands_in_one_shell(standin, connected, budget):
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


def test_basic_proves_the_password_with_identify(standin, connected, budget):
    server = standin(auth="basic")
    connection = connected(server)
    output = connection.run(Command("ver"), budget(5))
    assert output.reason is None
    assert server.names()[0] == "Identify"


def test_an_endless_command_ends_at_its_deadline_and_is_killed(standin, connected, budget, say, stopwatch):
    server = standin(script={"Receive": [say.output(b"part"), *[say.fault(2150858793, "w:TimedOut")] * 400]})
    connection = connected(server)
    elapsed = stopwatch()
    output = connection.run(Command("ping -t localhost"), budget(0.4))
    assert elapsed() < 2
    assert output.reason is Reason.TIMEOUT
    assert output.stdout == b"part"
    assert server.names()[-2:] == ["Signal", "Delete"]
