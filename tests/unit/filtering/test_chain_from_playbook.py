"""From a playbook to what a chain wants done: language, built-in filters, user code and chain together."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from ddcplay import plugins
from ddcplay.config.playbook_file import read_playbook
from ddcplay.errors import ConfigError
from ddcplay.filtering.base import FilterContext, HostView, Record
from ddcplay.filtering.chain import Chain
from ddcplay.filtering.user_process import UserProcess
from ddcplay.model.alert import AlertCheck, CheckRow, Severity
from ddcplay.model.effects import Sample
from ddcplay.model.result import Outcome, Reason
from ddcplay.templating.environment import render_value

LOG = logging.getLogger("chain")

USER_CODE = """
from ddcplay import DropRecord, Filter


class Spare(Filter):
    class Options(Filter.Options):
        least: int = 1

    def process(self, record, context):
        context.state["seen"] = context.state.get("seen", 0) + 1
        if not record.data["disks"]:
            raise DropRecord("no disks")
        spare = min(disk["free_pct"] for disk in record.data["disks"])
        return record.with_data({**record.data, "spare": spare - self.options.least})
"""

PLAYBOOK = """
- name: Classroom usage
  hosts: labs
  probes:
    - name: usage
      command: usage.exe
      filters:
        - parse: json
        - spare.py:Spare: {least: 2}
        - store
        - alert:
            name: low_disk
            each: data.disks
            key: device
            when: "item.free_pct < 10"
            after: 3
            severity: warning
            message: "{{ host.name }} {{ item.device }}: {{ item.free_pct }} % free"
"""


@pytest.fixture
def process(tmp_path: Path):
    process = UserProcess([tmp_path], timeout_s=20, log=LOG)
    yield process
    process.close()


@pytest.fixture
def read(tmp_path, process):
    (tmp_path / "spare.py").write_text(USER_CODE)

    def read(text=PLAYBOOK):
        path = tmp_path / "labs.yml"
        path.write_text(text)
        return read_playbook(path, render=render_value, check_user_filters=process.check).plays[0].probes[0]

    return read


@pytest.fixture
def chain(read, process):
    def make(entry):
        if not entry.builtin:
            return process.filter(entry)
        cls = plugins.load("ddcplay.filters", entry.name)
        return cls(cls.Options.model_validate(cls.options_from(entry.options)))

    chain = Chain("usage", read().filters, make)
    yield chain
    chain.close(context_of(Path()))


def context_of(directory):
    return lambda _label: FilterContext(HostView("pc1"), "labs", directory, {}, LOG)


def record(stdout, **more):
    return Record("pc1", "usage", 100, 101.5, stdout_bytes=stdout, **more)


DISKS = b'{"disks": [{"device": "C:", "free_pct": 7}, {"device": "D:", "free_pct": 70}]}'


def test_a_record_is_parsed_changed_by_user_code_stored_and_checked(chain, tmp_path):
    assert chain.open(context_of(tmp_path)).failures == ()
    result = chain.run(record(DISKS), context_of(tmp_path))
    assert result.failure is None
    (stored, sample), (checked, check) = result.effects
    assert (stored, checked) == ("store", "alert")
    assert isinstance(sample, Sample)
    assert sample.data["spare"] == 5
    assert isinstance(check, AlertCheck)
    assert (check.name, check.severity, check.rule.after) == ("low_disk", Severity.WARNING, 3)
    assert [row.bad for row in check.rows] == [True, False]
    assert check.rows[0] == CheckRow("C:", True, "pc1 C:: 7 % free")
    assert result.states == {"spare.py:Spare": {"seen": 1}}


def test_user_code_that_drops_a_record_ends_the_chain(chain, tmp_path):
    chain.open(context_of(tmp_path))
    result = chain.run(record(b'{"disks": []}'), context_of(tmp_path))
    assert (result.dropped, result.effects) == ("no disks", ())
    assert result.states == {"spare.py:Spare": {"seen": 1}}


def test_user_code_that_raises_is_named_with_its_place_and_its_line(chain, tmp_path):
    chain.open(context_of(tmp_path))
    result = chain.run(record(b'{"discs": []}'), context_of(tmp_path))
    message = result.failure.message
    assert message.startswith(f"filter 'spare.py:Spare' ({tmp_path / 'labs.yml'}:9:11): ")
    assert "KeyError: 'disks'" in message
    assert 'record.data["disks"]' in message
    assert result.states == {}


def test_output_that_cannot_be_parsed_fails_the_filter_and_not_the_program(chain, tmp_path):
    chain.open(context_of(tmp_path))
    result = chain.run(record(b"usage: usage.exe [/?]"), context_of(tmp_path))
    assert result.failure.label == "parse"
    assert result.effects == ()


def test_an_attempt_that_failed_enters_no_filter(chain, tmp_path):
    chain.open(context_of(tmp_path))
    result = chain.run(record(b"half", outcome=Outcome.FAILED, reason=Reason.TIMEOUT), context_of(tmp_path))
    assert (result.failure, result.effects) == (None, ())


def test_a_wrong_option_of_user_code_is_told_with_its_place_in_the_playbook(read):
    with pytest.raises(ConfigError) as caught:
        read(PLAYBOOK.replace("least: 2", "least: two"))
    (problem,) = caught.value.problems
    assert (problem.place.line, problem.place.column) == (9, 35)
    assert "least" in problem.message
