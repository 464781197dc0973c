"""A real Win32 program behind Wine's cmd.exe: what it receives, what it returns, and whether it really ends.

Left to the tests of the lines themselves, because Wine 8 reads it unlike Windows: `%NAME%` of a defined
variable (its cmd.exe takes the carets out before it fills variables in), `&&`, `||` and quotes inside a
wrapped cmd line.
"""

from __future__ import annotations

import json
import random
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from ddcplay.model.result import Reason
from ddcplay.probing.launch import launch_line, shell_line
from ddcplay.transport.base import Command
from ddcplay.units import Deadline, SystemClock

pytestmark = [pytest.mark.real, pytest.mark.lab, pytest.mark.xdist_group("wine")]

HOSTS = 5
CODES = (300, 0xC0000005, 0xFFFFFFFF, 0x80070005)
PIECES = (
    *'"%^&|<>()!\\ :=,;@~*?\t', "%%", "%none%", "100%", "\\\\", '\\"', '"" ', "^^", "&&", "||", "2>&1",
    ">nul", "a b", "C:\\x y\\", "ä€漢😀", "é", "--opt=", "", "x", "'", "`", "$(x)", "rem ",
)  # fmt: skip


def run(connection, line, seconds=30.0, **command):
    return connection.run(Command(line, **command), Deadline.after(SystemClock(), seconds))


def nasty_lists(number):
    """Yield a host's share of the exit codes, each with a nasty argument list."""
    draw = random.Random(number)
    for code in [*range(number - 1, 256, HOSTS), *CODES]:
        yield code, ["".join(draw.choices(PIECES, k=draw.randint(0, 5))) for _ in range(draw.randint(1, 5))]


def pattern(count):
    return bytes((at * 7 + at // 251) & 0xFF for at in range(count))


@pytest.mark.slow
def test_nasty_arguments_arrive_and_exit_codes_come_back_on_five_hosts(connect, place):
    def one_host(number):
        connection = connect(number)
        path = place(connection)
        wrong = []
        for code, args in nasty_lists(number):
            output = run(connection, launch_line(path, ["argv", str(code), *args], "low"))
            if (output.exit_code, output.stderr) != (code, b"") or json.loads(output.stdout) != args:
                wrong.append((code, args, output))
        return wrong

    with ThreadPoolExecutor(HOSTS) as pool:
        assert [wrong for wrong in pool.map(one_host, range(1, HOSTS + 1)) if wrong] == []


@pytest.mark.parametrize("priority", ["low", "below_normal", "normal"])
def test_both_streams_arrive_byte_for_byte_at_every_priority(connect, place, priority):
    connection = connect()
    line = launch_line(place(connection), ["both", "70000", "7"], priority)
    output = run(connection, line)
    assert (output.exit_code, output.stdout, output.stderr) == (7, pattern(70000), pattern(70000))


def test_standard_input_reaches_the_program_through_the_wrapper(connect, place):
    connection = connect()
    data = bytes(range(256)) * 700
    output = run(connection, launch_line(place(connection), ["in"], "low"), stdin=data)
    assert (output.exit_code, output.stdout, output.stderr) == (0, data, b"")


def test_a_cmd_line_with_operators_runs_inside_the_wrapper_with_its_exit_code(connect):
    output = run(connect(), shell_line("echo one & echo two>&2 & echo %OS% & exit 300", "low"))
    assert (output.exit_code, output.stdout, output.stderr) == (300, b"one \r\nWindows_NT \r\n", b"two \r\n")


def test_output_is_in_the_code_page_of_the_shell(connect):
    assert b"65001" in run(connect(), shell_line("chcp", "low")).stdout
    assert b"850" in run(connect(), shell_line("chcp", "low"), codepage=850).stdout


def test_environment_and_directory_reach_the_program(connect, place):
    connection = connect()
    line = launch_line(place(connection), ["env", "DDC_X"], "low")
    output = run(connection, line, env=(("DDC_X", "a%b ä€"),))
    assert json.loads(output.stdout) == "a%b ä€"
    assert run(connection, shell_line("cd", "low"), chdir="C:\\probes").stdout == b"C:\\probes\r\n"


def test_the_programs_facts_are_those_of_a_machine(connect, place):
    connection = connect()
    facts = json.loads(run(connection, launch_line(place(connection), ["facts"], "low")).stdout)
    assert facts["memory_bytes"] > 2**26
    assert facts["uptime_ms"] > 0
    assert 0 < facts["free_bytes"] <= facts["disk_bytes"]
    assert facts["name"]


def left(connection, mark):
    rows = connection.query("SELECT CommandLine FROM Win32_Process", Deadline.after(SystemClock(), 10))
    return [line for row in rows if mark in (line := str(row["CommandLine"]))]


@pytest.mark.parametrize("kind", ["sleep", "child", "escape"])
def test_after_the_expiry_nothing_of_a_hanging_program_runs(connect, place, kind):
    connection = connect()
    seconds = f"9{random.randrange(10**6):06d}"
    path = place(connection)
    started = time.monotonic()
    output = run(connection, launch_line(path, [kind, seconds], "low"), 3.0)
    assert time.monotonic() - started < 3.0 + 5
    assert (output.reason, output.kill_verified) == (Reason.TIMEOUT, True)
    assert output.stdout or kind == "sleep", "the child had been started"
    assert left(connection, seconds) == []


def test_a_child_outside_the_job_is_seen_when_it_is_left_alone(connect, place):
    connection = connect()
    seconds = f"20.{random.randrange(10**6):06d}"
    # Long enough for a slow machine: a child born after the first look has no parent left to be known by.
    output = run(connection, launch_line(place(connection), ["escape", seconds], "low"), 8.0, kill_tree=False)
    assert output.stdout, "the child had been started"
    assert (output.reason, output.kill_verified) == (Reason.TIMEOUT, False)
    assert len(left(connection, seconds)) == 1


def test_the_wrapped_line_is_refused_when_tampered_with(connect, place):
    """The tests above can fail: without the escaping the same program receives something else."""
    connection = connect()
    plain = f'start "" /low /b /wait "{place(connection)}" argv 0 %OS%'
    assert json.loads(run(connection, plain).stdout) == ["Windows_NT"]
