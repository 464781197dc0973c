"""Filter chains as `plan` and `check` show them."""

from __future__ import annotations

import json

from ddcplay.model.inventory import SecretRef
from ddcplay.model.playbook import FilterEntry
from ddcplay.model.result import Outcome
from ddcplay.ui.chain_view import chain_fields, chain_lines

HIDDEN = "********"


def line(name: str, options: object = None, *, full: bool = False, **more: object) -> str:
    return chain_lines([FilterEntry(name, options, label=name, **more)], full=full)[0]  # type: ignore[arg-type]


def test_a_filter_without_options_is_its_label() -> None:
    assert line("store") == "store"
    assert line("parse", {}) == "parse"


def test_options_stand_beside_it_on_one_short_line() -> None:
    assert line("parse", "json") == "parse · json"
    assert line("email", {"text": "a\nb", "immediate": True}) == "email · text: a b, immediate: true"
    long = line("alert", {"name": "low_disk", "message": "x" * 100})
    assert len(long) < 80
    assert long.endswith("…")
    assert line("alert", {"message": "x" * 100}, full=True).endswith("x" * 100)


def test_outcomes_are_named_when_it_is_not_ok_alone() -> None:
    assert line("email", on=(Outcome.OK, Outcome.FAILED)) == "email · on ok, failed"
    assert line("email", on=tuple(Outcome)) == "email · on any"


def test_user_code_shows_what_was_taken() -> None:
    name = "low_disk.py:LowDisk"
    assert line(name, file="/srv/filters/low_disk.py", builtin=False) == f"{name} · /srv/filters/low_disk.py"
    (plug_in,) = chain_lines([FilterEntry("school.filters:Slow", label="slow", builtin=False)])
    assert plug_in == "slow · school.filters:Slow"


def test_no_secret_is_shown() -> None:
    secrets = [
        FilterEntry("notify", "slack://hunter2/b", label="notify"),
        FilterEntry("notify", {"url": "plain:hunter2", "title": "disk"}, label="notify#2"),
        FilterEntry("notify", {"url": SecretRef("plain", "hunter2")}, label="notify#3"),
        FilterEntry("f.py:F", {"api_token": "hunter2", "deep": [{"password": "hunter2"}]}, builtin=False),
        FilterEntry("f.py:F", {"server": "https://me:hunter2@db.example.edu/x"}, builtin=False),
    ]
    shown = "\n".join(chain_lines(secrets, full=True)) + json.dumps(chain_fields(secrets))
    assert "hunter2" not in shown
    assert f"url: {HIDDEN}, title: disk" in shown
    assert "hunter2" not in repr(secrets)


def test_where_a_secret_is_may_be_shown() -> None:
    assert line("notify", "env:TEAMS_URL") == "notify · env:TEAMS_URL"


def test_fields_are_json_ready() -> None:
    entry = FilterEntry("store", {"key": "device"}, (Outcome.OK, Outcome.FAILED), "store#2")
    assert json.loads(json.dumps(chain_fields([entry]))) == [
        {
            "label": "store#2",
            "name": "store",
            "options": {"key": "device"},
            "on": ["ok", "failed"],
            "file": None,
            "built_in": True,
        }
    ]
