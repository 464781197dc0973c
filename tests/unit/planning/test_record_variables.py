"""What filters see of a host's variables, and what it costs a plan."""

from __future__ import annotations

import pickle
import time
from collections.abc import Mapping

import pytest

from ddcplay.errors import ConfigError, Place
from ddcplay.model.inventory import Group, Host, Inventory, SecretRef
from ddcplay.model.plan import HostPlan, ProbeSpec
from ddcplay.model.playbook import Absent, AlertPolicy, FilterEntry, Play, ProbeEntry, Vanish
from ddcplay.planning.planner import plan_play
from ddcplay.planning.refusals import refuse_unknown_groups


def build(entry: ProbeEntry, rendered: Mapping[str, object], _host: str) -> ProbeSpec:
    return ProbeSpec(entry.name, entry.kind, rendered[entry.kind])


def planned(
    *hosts: Host, variables: Mapping[str, object] | None = None, filters: tuple[FilterEntry, ...] = ()
) -> tuple[HostPlan, ...]:
    probe = ProbeEntry("who", "command", "hostname", filters=filters)
    play = Play("Usage", "all", "usage", (probe,), vars=variables or {})
    return plan_play(play, hosts, room_of=lambda _: "lab1", build_probe=build, extra_vars={"limit": 5}).hosts


STORE = (FilterEntry("store", label="store"),)


def test_filters_see_variables_as_the_play_does_with_their_types() -> None:
    host = Host("pc1", ("lab1",), {"seat": 4, "limit": 1, "tag": "{{ owner }}-{{ inventory_hostname }}"})
    (plan,) = planned(host, variables={"owner": "it", "racks": [1, {"a": "{{ seat }}"}]}, filters=STORE)
    assert dict(plan.vars) == {
        "seat": 4,
        "limit": 5,
        "tag": "it-pc1",
        "owner": "it",
        "racks": [1, {"a": 4}],
        "ansible_host": "pc1",
    }


def test_magic_names_and_secrets_are_left_out() -> None:
    variables = {
        "host": "mine",
        "static": 1,
        "ansible_password": "hunter2",
        "ansible_user": "admin",
        "api_token": "hunter2",
        "mail": SecretRef("env", "MAIL"),
        "nested": {"deep": [SecretRef("env", "MAIL")]},
        "from_env": "{{ lookup('env', 'MAIL_PASSWORD') }}",
        "passed_on": "{{ mail }}",
    }
    (plan,) = planned(Host("pc1", (), variables), filters=STORE)
    assert dict(plan.vars) == {"ansible_user": "admin", "ansible_host": "pc1", "limit": 5}


@pytest.mark.parametrize(
    "text", ["{{ nowhere }}", "{{ broken }}", "{{ 1 / 0 }}", "{{", "{{ 'a' * 9999999 }}"]
)
def test_a_variable_that_cannot_be_rendered_is_left_out(text: str) -> None:
    (plan,) = planned(Host("pc1", (), {"broken": text, "seat": 4}), filters=STORE)
    assert "broken" not in plan.vars
    assert plan.vars["seat"] == 4


def test_a_play_without_filters_gathers_none() -> None:
    assert planned(Host("pc1", (), {"seat": 4}))[0].vars == {}


def test_a_plan_travels_with_plain_values() -> None:
    (plan,) = planned(Host("pc1", (), {"seat": "{{ 4 }}"}), filters=STORE)
    copied = pickle.loads(pickle.dumps(plan))
    assert copied == plan
    assert type(copied.vars) is dict
    assert copied.vars["seat"] == 4


def test_a_large_pool_is_planned_without_rendering_what_nobody_asked_for() -> None:
    variables = {f"name_{index}": f"{{{{ inventory_hostname }}}}-{index}" for index in range(50)}
    hosts = [Host(f"pc{index}", (), dict(variables)) for index in range(2_000)]
    begin = time.process_time()
    plain = planned(*hosts)
    middle = time.process_time()
    filtered = planned(*hosts, filters=STORE)
    # Generous: eager rendering takes about a hundred times as long.
    assert time.process_time() - middle < 3 * (middle - begin) + 0.2
    assert len(plain) == len(filtered) == 2_000
    assert filtered[7].vars["name_3"] == "pc7-3"


# Rules about groups


def inventory() -> Inventory:
    hosts = {"pc1": Host("pc1", ("labs",))}
    groups = {"labs": Group("labs", ("pc1",)), "all": Group("all", children=("labs",))}
    return Inventory(hosts, groups)


def play_with(policy: AlertPolicy, *filters: FilterEntry) -> Play:
    probes = [ProbeEntry(name, "command", "hostname", filters=filters) for name in ("a", "b")]
    return Play("Usage", "all", "usage", tuple(probes), alerts=policy, place=Place("labs.yml", 1, 3))


def share(of: object) -> FilterEntry:
    options = {"name": "full", "when": "data", "share": {"of": of, "over": "30%"}}
    return FilterEntry("alert", options, label="alert", place=Place("labs.yml", 9, 11))


def test_rules_about_groups_that_are_there_are_fine() -> None:
    policy = AlertPolicy(absent=Absent(60, "labs"), vanish=Vanish(50))
    refuse_unknown_groups(play_with(policy, share("labs:!pc9"), share(None)), inventory())


def test_every_rule_about_a_group_nobody_has_is_refused_once_with_its_place() -> None:
    policy = AlertPolicy(absent=Absent(60, "lab"), vanish=Vanish(50, "rooms"))
    with pytest.raises(ConfigError) as caught:
        refuse_unknown_groups(play_with(policy, share("labz")), inventory())
    lines = [str(problem).splitlines()[0] for problem in caught.value.problems]
    assert [line.partition(" of: ")[0] for line in lines] == [
        "labs.yml:1:3: play 'Usage', absent,",
        "labs.yml:1:3: play 'Usage', vanish,",
        "labs.yml:9:11: filter 'alert', share,",
    ]
    assert "'labz'" in lines[2]
