"""User code in its process: whatever it does costs its own call alone, and leaves nothing behind."""

from __future__ import annotations

import logging
import os
import re
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ddcplay.filtering.base import DropRecord, FilterContext, HostView, Record
from ddcplay.filtering.chain import Chain
from ddcplay.filtering.user_process import UserCodeError, UserProcess
from ddcplay.model.alert import AlertCheck, CheckRow, Severity
from ddcplay.model.playbook import FilterEntry

MIB = 1024 * 1024

SOURCE = '''
import os, re, signal, subprocess, sys, time
from ddcplay import DropRecord, Filter

class Count(Filter):
    """Counts its calls: in the object, and in the state."""
    class Options(Filter.Options):
        step: int = 1
        names: tuple[str, ...] = ()
    def __init__(self, options):
        super().__init__(options)
        self.calls = 0
        self.opened = 0
    def open(self, context):
        self.opened += 1
        context.state["opens"] = context.state.get("opens", 0) + 1
    def process(self, record, context):
        self.calls += 1
        context.state["n"] = context.state.get("n", 0) + self.options.step
        brought = {"calls": self.calls, "opened": self.opened, "was": record.data}
        return record.with_data(brought)
    def iteration_end(self, context):
        context.email("over")
    def close(self, context):
        context.email(f"closed after {self.calls}")

class Act(Filter):
    """Does what the record says."""
    def process(self, record, context):
        context.state["touched"] = True
        context.alert("touched", firing=True)
        (context.output_dir / "began").write_text(record.data)
        return getattr(self, record.data)(record, context)

    def fine(self, record, context):
        return record
    def everything(self, record, context):
        from dataclasses import replace
        context.alert("hot", "very", firing=True, key="cpu", severity="critical", after=3)
        context.email("text", subject="subject", immediate=True)
        context.log.warning("careful with %s", context.host.name)
        (context.output_dir / "own.txt").write_text("kept")
        data = {"vars": context.host.vars, "big": 2**100}
        return replace(record, stdout_bytes=b"\\xff\\x00new", data=data)
    def drops(self, record, context):
        raise DropRecord("enough")
    def raises(self, record, context):
        return self.deeper()
    def deeper(self):
        raise ValueError("bad\\nnews")
    def raises_oddly(self, record, context):
        class Odd(Exception):
            def __str__(self):
                raise RuntimeError
        raise Odd
    def hangs(self, record, context):
        time.sleep(600)
    def holds_the_interpreter(self, record, context):
        re.match(r"(a+)+$", "a" * 64 + "b")
    def eats_memory(self, record, context):
        self.rest = [b"x" * (1 << 20) for _ in range(2048)]
        return record
    def eats_memory_elsewhere(self, record, context):
        subprocess.run([sys.executable, "-c",
            "import mmap, time; m = mmap.mmap(-1, 400 << 20);"
            "[m.write(bytes(1 << 20)) for _ in range(400)]; time.sleep(600)"])
        return record
    def prints(self, record, context):
        for number in range(50_000):
            print("line", number)
        print("x" * 300_000)
        os.write(2, b"\\xff\\xfe raw\\n")
        return record
    def logs_a_lot(self, record, context):
        for number in range(5_000):
            context.log.info("line %d", number)
        return record
    def exits(self, record, context):
        sys.exit(3)
    def exits_hard(self, record, context):
        os._exit(0)
    def dies(self, record, context):
        os.kill(os.getpid(), signal.SIGSEGV)
    def returns_nothing(self, record, context):
        pass
    def returns_a_set(self, record, context):
        return record.with_data({"rows": [{"a": 1}, {"a": {1, 2}}]})
    def state_of_objects(self, record, context):
        context.state["x"] = object()
        return record
    def no_effect(self, record, context):
        context.emit("mail me")
        return record
    def wrong_effect(self, record, context):
        from ddcplay.model.effects import MailItem
        context.emit(MailItem(text=5))
        return record
    def huge(self, record, context):
        return record.with_data("x" * (70 << 20))
    def hostile(self, record, context):
        for number in range(3, 40):
            try:
                os.write(number, b"\\x00\\x00\\x00\\x04" + bytes(8) + b"nope" + os.urandom(4096))
            except OSError:
                pass
        return record
    def closes_everything(self, record, context):
        os.closerange(0, 200)
        return record
    def comes_back_twice(self, record, context):
        os.fork()
        return record
    def leaves_a_grandchild(self, record, context):
        away = subprocess.Popen(["sleep", "600"], start_new_session=True)
        near = subprocess.Popen(["sleep", "600"])
        orphan = subprocess.check_output(["sh", "-c", "setsid sleep 600 >/dev/null 2>&1 & echo $!"])
        return record.with_data([away.pid, near.pid, int(orphan)])
    def leaves_a_grandchild_and_hangs(self, record, context):
        for own in (True, False):
            pid = subprocess.Popen(["sleep", "600"], start_new_session=own).pid
            (context.output_dir / f"{pid}.pid").touch()
        time.sleep(600)
    def environment(self, record, context):
        return record.with_data([dict(os.environ), os.getcwd(), os.getsid(0), sys.stdin.read()])
'''

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="POSIX processes")


def gone(pid: int) -> bool:
    """Say whether a process is no more (what pid 1 has not buried yet is none)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def open_files() -> int:
    """Count our descriptors; 0 where nobody can tell."""
    listed = Path("/proc/self/fd")
    return len(list(listed.iterdir())) if listed.exists() else 0


def becomes(true: Callable[[], bool], within_s: float = 10.0) -> bool:
    end = time.monotonic() + within_s
    while not true():
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True


class Bench:
    """One UserProcess with the filters of SOURCE."""

    def __init__(self, directory: Path, log: logging.Logger, timeout_s: float = 20.0) -> None:
        self.directory = directory
        self.log = log
        (directory / "act.py").write_text(SOURCE)
        self.process = self.of(timeout_s)
        self.states: dict[str, dict[str, object]] = {}

    def of(self, timeout_s: float) -> UserProcess:
        return UserProcess(
            [self.directory],
            timeout_s=timeout_s,
            memory_bytes=200 * MIB,
            log=self.log,
            redact=lambda text: text.replace("s3cret", "***"),
            hidden=["HIDDEN_TOO"],
        )

    def context(self, state: dict[str, object] | None = None, host: str = "pc1") -> FilterContext:
        view = HostView(host, ("labs",), {"drive": "C:"}, "labs")
        return FilterContext(
            view, "e", self.directory / "out" / host, {} if state is None else state, self.log
        )

    def pid(self) -> int:
        child = self.process._child
        assert child is not None
        return child._process.pid

    def act(self, what: str) -> tuple[Record, FilterContext]:
        """Let a new `Act` do something."""
        context = self.context()
        self.last = context
        return self.process.filter(entry("Act")).process(record(what), context), context


def entry(name: str, options: object = None, file: str = "act.py") -> FilterEntry:
    return FilterEntry(f"{file}:{name}", options, label=name, builtin=False)


def record(data: object = None, stdout: bytes = b"out") -> Record:
    return Record("pc1", "usage", 1000, 1000.5, stdout_bytes=stdout, stderr_bytes=b"\x80err", data=data)


@pytest.fixture
def log(caplog) -> logging.Logger:
    caplog.set_level(logging.DEBUG)
    return logging.getLogger("test.user")


@pytest.fixture
def bench(tmp_path, log) -> Iterator[Bench]:
    before = open_files()
    made = Bench(tmp_path, log)
    yield made
    child = made.process._child
    made.process.close()
    assert child is None or gone(child._process.pid)
    if before:
        assert open_files() == before


def test_filter_over_there_is_like_any_other_in_a_chain(bench):
    chain = Chain("usage", [entry("Act"), entry("Count", {"step": 2})], bench.process.filter)
    states: dict[str, dict[str, object]] = {}

    def context_of(label: str) -> FilterContext:
        return bench.context(dict(states.get(label, {})))

    assert chain.open(context_of).states == {"Count": {"opens": 1}}
    good = chain.run(record("fine"), context_of)
    assert good.record.data == {"calls": 1, "opened": 1, "was": "fine"}
    assert good.states == {"Act": {"touched": True}, "Count": {"n": 2}}
    assert [label for label, _ in good.effects] == ["Act"]
    bad = chain.run(record("raises"), context_of)
    assert "ValueError: bad news" in bad.failure.message
    assert "in deeper: raise ValueError" in bad.failure.message
    assert (bad.states, bad.effects) == ({}, ())
    assert chain.run(record("drops"), context_of).dropped == "enough"
    assert [effect.text for _, effect in chain.close(context_of).effects] == ["closed after 1"]


def test_record_state_effects_and_logs_come_back(bench, caplog):
    made, context = bench.act("everything")
    assert made.stdout_bytes == b"\xff\x00new"
    assert made.stderr_bytes == b"\x80err"
    assert made.data == {"vars": {"drive": "C:"}, "big": 2**100}
    assert made.started_at == 1000.5
    assert context.state == {"touched": True}
    assert isinstance(context.effects[1], AlertCheck)
    assert context.effects[1].rows == (CheckRow("cpu", True, "very"),)
    assert context.effects[1].rule.after == 3
    assert context.effects[1].severity is Severity.CRITICAL
    assert context.effects[2].text == "text"
    assert context.effects[2].immediate
    assert "careful with pc1" in caplog.text
    assert (bench.directory / "out" / "pc1" / "own.txt").read_text() == "kept"


def test_unchanged_record_is_the_same_object(bench):
    given = record("fine", b"x" * MIB)
    assert bench.process.filter(entry("Act")).process(given, bench.context()) is given


def test_each_entry_has_an_object_of_its_own_and_all_share_the_process(bench):
    one, two = (bench.process.filter(entry("Count")) for _ in range(2))
    one.process(record(), bench.context())
    pid = bench.pid()
    assert one.process(record(), bench.context()).data["calls"] == 2
    assert two.process(record(), bench.context()).data["calls"] == 1
    assert bench.pid() == pid


def test_dropped_record_keeps_what_was_done_before(bench):
    with pytest.raises(DropRecord, match="enough"):
        bench.act("drops")
    assert bench.last.state == {"touched": True}
    assert len(bench.last.effects) == 1


FAULTS = {
    "raises": "ValueError: bad news",
    "raises_oddly": r"Odd: \(its text cannot be read\)",
    "eats_memory": "used more than 200 MiB",
    "eats_memory_elsewhere": "used more than 200 MiB",
    "exits": "ended its process with exit status 3",
    "exits_hard": "ended its process with exit status 0",
    "dies": "ended its process by SIGSEGV",
    "returns_nothing": "returned NoneType, not the record",
    "returns_a_set": r"record.data is no JSON: rows\[1\].a is a set",
    "state_of_objects": "context.state is no JSON: x is a object",
    "no_effect": "a str is nothing a filter can ask for",
    "wrong_effect": "valid string",
    "huge": "gave back 70 MiB; 64 MiB are allowed|used more than 200 MiB",
    "hostile": "gave back",
    "closes_everything": "closed the channel",
}


@pytest.mark.parametrize(("what", "said"), FAULTS.items(), ids=FAULTS)
def test_fault_costs_its_own_call_alone(bench, what, said):
    with pytest.raises(UserCodeError, match=said):
        bench.act(what)
    assert bench.last.state == {}
    assert bench.last.effects == []
    assert bench.act("fine")[1].state == {"touched": True}


def test_exception_names_the_users_own_lines(bench, caplog):
    with pytest.raises(UserCodeError, match=r"bad news \(.*act\.py:\d+ in deeper: raise ValueError"):
        bench.act("raises")
    assert "in raises: return self.deeper()" in caplog.text, "the way there is in the log"
    assert "user_child" not in caplog.text


@pytest.mark.parametrize("what", ["hangs", "holds_the_interpreter"])
def test_hanging_call_is_ended_at_its_time_and_the_object_is_made_again(bench, what):
    bench.process = bench.of(0.5)
    count = bench.process.filter(entry("Count"))
    first = bench.context()
    count.open(first)
    assert first.state == {"opens": 1}
    count.process(record(), bench.context())
    pid = bench.pid()
    began = time.monotonic()
    with pytest.raises(UserCodeError, match=r"took longer than 0\.5s"):
        bench.act(what)
    assert time.monotonic() - began < 5
    assert gone(pid)
    context = bench.context({"n": 10})
    again = count.process(record(), context)
    assert again.data == {"calls": 1, "opened": 1, "was": None}
    assert context.state == {"n": 11}, "what a second opening does to its state is not kept"


def test_prints_go_to_the_log_bounded_and_never_into_the_answer(bench, caplog):
    made, _ = bench.act("prints")
    assert made.data == "prints"
    bench.process.close()
    lines = [line.getMessage() for line in caplog.records if "printed" in line.getMessage()]
    assert lines[0] == "Act printed: line 0"
    assert len(lines) <= 201
    assert max(map(len, lines)) < 1100


def test_log_lines_are_bounded(bench, caplog):
    bench.act("logs_a_lot")
    assert len(caplog.records) == 200


def test_process_that_forked_answers_once(bench):
    assert bench.act("comes_back_twice")[0].data == "comes_back_twice"
    assert bench.act("fine")[0].data == "fine"


def test_grandchildren_end_with_the_process(bench):
    pids = bench.act("leaves_a_grandchild")[0].data
    assert not any(map(gone, pids))
    bench.process.close()
    assert becomes(lambda: all(map(gone, pids)))


def test_grandchildren_of_a_hanging_call_end_too(bench):
    bench.process = bench.of(1.0)
    with pytest.raises(UserCodeError, match="took longer"):
        bench.act("leaves_a_grandchild_and_hangs")
    pids = [int(path.stem) for path in (bench.directory / "out" / "pc1").glob("*.pid")]
    assert len(pids) == 2
    assert becomes(lambda: all(map(gone, pids)))


def test_process_killed_from_outside_is_started_again(bench):
    count = bench.process.filter(entry("Count"))
    count.process(record(), bench.context())
    os.kill(bench.pid(), signal.SIGKILL)
    bench.process._child._process.wait()
    assert count.process(record(), bench.context()).data["calls"] == 1


def test_call_can_be_aborted_from_another_thread_and_no_other_follows(bench):
    def abort() -> None:
        assert becomes((bench.directory / "out" / "pc1" / "began").exists)
        bench.process.abort()

    other = threading.Thread(target=abort)
    other.start()
    with pytest.raises(UserCodeError, match="ended its process by SIGKILL"):
        bench.act("hangs")
    other.join()
    with pytest.raises(UserCodeError, match="the run was left"):
        bench.act("fine")


def test_no_secret_in_the_environment_and_the_project_root_is_the_directory(bench, monkeypatch):
    monkeypatch.setenv("DDCPLAY_DATABASE", "postgresql://u:p@h/d")
    monkeypatch.setenv("WIN_PASSWORD", "has s3cret in it")
    monkeypatch.setenv("HIDDEN_TOO", "x")
    monkeypatch.setenv("HARMLESS", "y")
    environment, directory, session, stdin = bench.act("environment")[0].data
    assert not {"DDCPLAY_DATABASE", "WIN_PASSWORD", "HIDDEN_TOO"} & environment.keys()
    assert environment["HARMLESS"] == "y"
    assert Path(directory) == bench.directory
    assert session != os.getsid(0), "Ctrl-C in the terminal must not reach it"
    assert stdin == ""


def test_secrets_are_taken_out_of_messages(bench):
    with pytest.raises(UserCodeError) as caught:
        bench.process.filter(entry("Act")).process(record("s3cret"), bench.context())
    assert "s3cret" not in str(caught.value)


def test_iteration_end_and_close_leave_effects(bench):
    count = bench.process.filter(entry("Count"))
    count.open(bench.context())
    count.process(record(), bench.context())
    end = bench.context(host="")
    count.iteration_end(end)
    last = bench.context(host="")
    count.close(last)
    assert [item.text for item in (*end.effects, *last.effects)] == ["over", "closed after 1"]


def test_filter_whose_process_is_gone_has_nothing_to_close(bench):
    count = bench.process.filter(entry("Count"))
    count.open(bench.context())
    bench.process.close()
    last = bench.context()
    count.close(last)
    assert last.effects == []
    assert bench.process._child is None


def test_unreadable_input_names_the_filter_before(bench):
    with pytest.raises(UserCodeError, match="is a set") as caught:
        bench.process.filter(entry("Count")).process(record({1}), bench.context())
    assert "before it" in caught.value.hint


def check_one(bench: Bench, name: str, options: object = None, source: str = "") -> tuple[object, ...]:
    if source:
        (bench.directory / "one.py").write_text(textwrap.dedent(source))
    problems = bench.process.check([entry("Count"), entry(name, options, "one.py" if source else "act.py")])
    assert all(index == 1 for index, *_ in problems)
    assert len(problems) <= 1
    return problems[0][1:] if problems else ()


def test_check_accepts_right_options(bench):
    assert check_one(bench, "Count", {"step": 3, "names": ["a"]}) == ()


def test_check_finds_wrong_options_with_their_way(bench):
    assert check_one(bench, "Count", {"stepp": 3}) == (
        ("stepp",),
        "Count has no option 'stepp'",
        "did you mean 'step'?",
    )
    way, message, _ = check_one(bench, "Count", {"names": ["a", 5]})
    assert way == ("names", 1)
    assert "valid string" in message
    assert check_one(bench, "Count", "text")[1] == "Count takes a mapping of options, not text"


def test_check_finds_a_missing_file_class_or_module(bench):
    (problem,) = bench.process.check([entry("Count", None, "nowhere.py")])
    assert "there is no file" in problem[2]
    assert check_one(bench, "Cuont") == ((), "act.py has no class 'Cuont'", "did you mean 'Count'?")
    (problem,) = bench.process.check([FilterEntry("no_such_package.module:X", label="X")])
    assert problem[2] == "there is no module 'no_such_package'"


def test_plug_in_is_found_by_its_name(bench):
    known, unknown = FilterEntry("pick", {"picks": 1}, label="pick"), FilterEntry("pikc", label="pikc")
    problems = bench.process.check([unknown, known])
    assert problems[0][2:] == ("there is no filters plug-in 'pikc'", "did you mean 'pick'?")
    assert {index for index, *_ in problems[1:]} == {1}
    assert problems[1][2] == "names.picks: 'picks' must be JMESPath text, not a number"


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("class One:\n    pass\n", "One in one.py is no filter"),
        ("def broken(:\n", r"one\.py:1: invalid syntax"),
        ("1 / 0\n", "ZeroDivisionError: division by zero"),
        ("import nothing_of_the_kind\n", "No module named 'nothing_of_the_kind'"),
        ("import sys\nsys.exit(4)\n", "exit status 4"),
        ("raise KeyboardInterrupt\n", "KeyboardInterrupt"),
        ("One = 5\n", "One in one.py is no filter"),
    ],
)
def test_check_finds_what_is_wrong_with_a_module(bench, source, said):
    way, message, _ = check_one(bench, "One", source=source)
    assert way == ()
    assert re.search(said, message), message


def test_check_ends_an_import_that_hangs_and_goes_on(bench):
    bench.process = bench.of(0.5)
    (bench.directory / "one.py").write_text("import time\ntime.sleep(600)\n")
    problems = bench.process.check([entry("X", None, "one.py"), entry("Count", {"step": "x"})])
    assert [(index, message) for index, _, message, _ in problems] == [
        (0, "the filter took longer than 0.5s"),
        (1, "step: Input should be a valid integer"),
    ]


def test_helper_beside_a_filter_is_imported_and_hides_no_standard_module(bench):
    (bench.directory / "statistics.py").write_text("raise ImportError('the wrong one')\n")
    (bench.directory / "beside.py").write_text("WORD = 'found'\n")
    source = """
        import statistics
        from beside import WORD
        from ddcplay import Filter
        class One(Filter):
            def process(self, record, context):
                return record.with_data(WORD)
    """
    assert check_one(bench, "One", source=source) == ()
    one = bench.process.filter(entry("One", None, "one.py"))
    assert one.process(record(), bench.context()).data == "found"


def test_own_check_of_options_is_asked(bench):
    source = """
        from ddcplay import Filter
        class One(Filter):
            class Options(Filter.Options):
                low: int
            @classmethod
            def check_options(cls, options):
                yield ("low",), "too low", "raise it"
    """
    assert check_one(bench, "One", {"low": 1}, source) == (("low",), "too low", "raise it")


@pytest.mark.parametrize("what", ["hangs", "holds_the_interpreter", "leaves_a_grandchild_and_hangs"])
def test_process_ends_when_the_coordinator_is_killed_in_mid_call(bench, tmp_path, what):
    program = f"""
        import logging, threading, sys
        from pathlib import Path
        from ddcplay.filtering.base import *
        from ddcplay.filtering.user_process import UserProcess
        from ddcplay.model.playbook import FilterEntry
        here = Path({str(tmp_path)!r})
        process = UserProcess([here], timeout_s=600, log=logging.getLogger())
        one = process.filter(FilterEntry("act.py:Act", label="Act"))
        context = lambda: FilterContext(HostView("pc1"), "e", here / "out", {{}}, logging.getLogger())
        one.process(Record("pc1", "p", 1, 1.0, data="fine"), context())
        print(process._child._process.pid, flush=True)
        one.process(Record("pc1", "p", 1, 1.0, data={what!r}), context())
    """
    with subprocess.Popen([sys.executable, "-c", textwrap.dedent(program)], stdout=subprocess.PIPE) as parent:
        pid = int(parent.stdout.readline())
        pids = [pid]
        if "grandchild" in what:
            assert becomes(lambda: len(list((tmp_path / "out").glob("*.pid"))) == 2)
            pids += [
                int(path.stem)
                for path in (tmp_path / "out").glob("*.pid")
                if os.getpgid(int(path.stem)) == pid
            ]
        assert becomes(lambda: (tmp_path / "out" / "began").read_text() == what)
        parent.kill()
        assert becomes(lambda: all(map(gone, pids)))
    for path in (tmp_path / "out").glob("*.pid"):
        if not gone(int(path.stem)):
            os.kill(int(path.stem), signal.SIGKILL)  # it left the group, and nobody is left to know of it
