from __future__ import annotations

import pickle
import time
from collections.abc import Mapping

import pytest

from ddcplay.errors import ConfigError, Place, Problem
from ddcplay.model.inventory import Host, SecretRef
from ddcplay.model.plan import Plan, ProbeSpec
from ddcplay.model.playbook import Play, ProbeEntry, Unsafe
from ddcplay.model.result import Reason
from ddcplay.planning.planner import plan_play


def build(entry: ProbeEntry, rendered: Mapping[str, object], host: str) -> ProbeSpec:
    """Stand in for the validation that `config` hands in."""
    timeout = rendered.get("timeout", 60)
    if not isinstance(timeout, int | float):
        place = entry.places.get("timeout", entry.place)
        raise ConfigError(
            [Problem(place, f"probe {entry.name!r} on host {host!r}: timeout is no number", "5s")]
        )
    options = {key: value for key, value in rendered.items() if key not in {entry.kind, "timeout"}}
    return ProbeSpec(entry.name, entry.kind, rendered[entry.kind], timeout_s=timeout, options=options)


def probe(name: str = "usage", body: object = "hostname", **fields: object) -> ProbeEntry:
    places = {"command": Place("labs.yml", 9, 16), "timeout": Place("labs.yml", 10, 16)}
    values: dict[str, object] = {
        "kind": "command",
        "place": Place("labs.yml", 8, 7),
        "places": places,
        **fields,
    }
    return ProbeEntry(name=name, body=body, **values)  # type: ignore[arg-type]


def host(name: str = "pc1", *groups: str, **variables: object) -> Host:
    return Host(name, groups, variables)


def plan(
    *probes: ProbeEntry,
    hosts: tuple[Host, ...] = (Host("pc1"),),
    variables: Mapping[str, object] | None = None,
    extra: Mapping[str, object] | None = None,
    **options: object,
) -> Plan:
    play = Play("Classroom usage", "all", "classroom-usage", probes, vars=variables or {})
    values: dict[str, object] = {"room_of": lambda _: "lab1", "build_probe": build, "extra_vars": extra or {}}
    return plan_play(play, hosts, **(values | options))  # type: ignore[arg-type]


def body(result: Plan, index: int = 0) -> object:
    return result.hosts[index].probes[0].body


def test_plan_keeps_hosts_rooms_and_probes_in_order() -> None:
    result = plan(probe("a"), probe("b"), hosts=(host("pc2", "labs", "lab1"), host("pc1")))
    assert result.experiment == "classroom-usage"
    assert result.probe_names == ("a", "b")
    assert [each.host for each in result.hosts] == ["pc2", "pc1"]
    assert result.hosts[0].groups == ("labs", "lab1")
    assert result.hosts[0].room == "lab1"
    assert [spec.name for spec in result.hosts[1].probes] == ["a", "b"]


def test_variables_get_stronger_from_host_to_play_to_probe_to_command_line() -> None:
    text = probe(body="{{ h }}{{ p }}{{ b }}{{ e }}", vars={"b": "b", "e": "b"})
    result = plan(
        text,
        hosts=(host(h="h", p="h", b="h", e="h"),),
        variables={"p": "p", "b": "p", "e": "p"},
        extra={"e": "e"},
    )
    assert body(result) == "hpbe"


def test_host_variable_that_is_a_template_sees_the_stronger_variables() -> None:
    result = plan(
        probe(body="dir {{ path }}"), hosts=(host(path="{{ drive }}\\x", drive="C:"),), extra={"drive": "D:"}
    )
    assert body(result) == "dir D:\\x"


def test_magic_variables_tell_host_play_and_probe() -> None:
    names = (
        "inventory_hostname inventory_hostname_short group_names ansible_host experiment play_name probe_name"
    )
    fields = "host.name host.groups[0] host.vars.seat"
    text = "; ".join(f"{{{{ {name} }}}}" for name in f"{names} {fields}".split())
    result = plan(probe(body=text), hosts=(host("pc1.lab", "labs", "b", seat="{{ 6 + 1 }}", bad="{{ no }}"),))
    assert body(result) == (
        "pc1.lab; pc1; ['b', 'labs']; pc1.lab; classroom-usage; Classroom usage; usage; pc1.lab; labs; 7"
    )


def test_ansible_host_is_the_address_where_it_is_written() -> None:
    result = plan(
        probe(body="{{ ansible_host }}"), hosts=(host(ansible_host="{{ inventory_hostname }}.example.edu"),)
    )
    assert body(result) == result.hosts[0].target.address == "pc1.example.edu"


def test_probe_without_template_is_built_once_and_shared() -> None:
    built: list[str] = []

    def counting(entry: ProbeEntry, rendered: Mapping[str, object], host: str) -> ProbeSpec:
        built.append(host)
        return build(entry, rendered, host)

    result = plan(probe(), hosts=(host("pc1"), host("pc2"), host("pc3")), build_probe=counting)
    assert built == ["pc1"]
    assert result.hosts[0].probes[0] is result.hosts[2].probes[0]


def test_probe_with_a_template_is_built_for_each_host_with_types_kept() -> None:
    result = plan(
        probe(body="echo {{ n }}", options={"timeout": "{{ n }}"}), hosts=(host("a", n=1), host("b", n=2))
    )
    assert [(each.probes[0].body, each.probes[0].timeout_s) for each in result.hosts] == [
        ("echo 1", 1),
        ("echo 2", 2),
    ]


@pytest.mark.parametrize("kind", ["command", "powershell", "wmi"])
def test_code_keeps_percent_and_comment_marks(kind: str) -> None:
    text = "ls |%{% $_ %} {# no comment #} {{ x }}"
    assert body(plan(probe(kind=kind, body=text), hosts=(host(x=1),))) == "ls |%{% $_ %} {# no comment #} 1"


def test_template_false_and_unsafe_leave_text_alone() -> None:
    literal = probe("a", body="{{ x }}", template=False)
    unsafe = probe("b", body=Unsafe("{{ x }}"))
    assert [spec.body for spec in plan(literal, unsafe).hosts[0].probes] == ["{{ x }}", "{{ x }}"]


def test_when_that_does_not_hold_skips_with_its_text() -> None:
    result = plan(
        probe("a", when=("os == 'win11'", "ram_gb > 8")),
        probe("b"),
        hosts=(host("pc1", os="win11", ram_gb=16), host("pc2", os="win11", ram_gb=4)),
    )
    assert [spec.name for spec in result.hosts[0].probes] == ["a", "b"]
    assert [spec.name for spec in result.hosts[1].probes] == ["b"]
    (skip,) = result.hosts[1].skips
    assert (skip.probe, skip.reason, skip.detail) == ("a", Reason.WHEN, "ram_gb > 8")


def test_when_sees_static_facts_which_are_never_templates() -> None:
    facts = {"pc1": {"model": "{{ 1 }}", "ram": 8}}
    result = plan(probe(when=("static.ram == 8", "static.model | length == 7")), static=facts)
    assert len(result.hosts[0].probes) == 1


def test_when_with_a_skipped_probe_is_not_rendered() -> None:
    result = plan(probe(body="echo {{ only_here }}", when=("only_here is defined",)))
    assert result.hosts[0].probes == ()


@pytest.mark.parametrize(
    ("tags", "skip_tags", "expected"),
    [
        ((), (), "plain daily weekly always"),
        (("daily",), (), "daily always"),
        (("all",), (), "plain daily weekly always"),
        (("tagged",), (), "daily weekly always"),
        (("untagged",), (), "plain always"),
        (("never",), (), "always rare"),
        (("rare",), (), "always rare"),
        ((), ("daily",), "plain weekly always"),
        ((), ("always",), "plain daily weekly"),
        ((), ("all",), "always"),
        ((), ("tagged",), "plain"),
        ((), ("untagged",), "daily weekly always"),
        (("daily", "weekly"), ("weekly",), "daily always"),
    ],
)
def test_tags_choose_probes_as_in_ansible(
    tags: tuple[str, ...], skip_tags: tuple[str, ...], expected: str
) -> None:
    probes = [
        probe("plain"),
        probe("daily", tags=("daily",)),
        probe("weekly", tags=("weekly",)),
        probe("always", tags=("always",)),
        probe("rare", tags=("never", "rare")),
    ]
    assert " ".join(plan(*probes, tags=tags, skip_tags=skip_tags).probe_names) == expected


def test_unknown_tag_and_tags_that_leave_nothing_are_warned_about() -> None:
    warnings = plan(probe(tags=("daily",)), tags=("dialy",)).warnings
    assert any("no probe has the tag 'dialy'" in warning for warning in warnings)
    assert any("leave no probe" in warning for warning in warnings)


def problems(*probes: ProbeEntry, **options: object) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        plan(*probes, **options)  # type: ignore[arg-type]
    return [str(problem) for problem in caught.value.problems]


def test_same_mistake_on_many_hosts_is_told_once_with_their_number() -> None:
    hosts = tuple(host(f"pc{n}", **({"drive": "C:"} if n == 4 else {})) for n in range(5))
    (told,) = problems(probe(body="dir {{ drive }}"), hosts=hosts)
    assert told.startswith("labs.yml:9:16: probe 'usage', command: variable 'drive' is undefined")
    assert "(on 4 hosts: pc0, pc1, pc2, …)" in told


def test_mistake_of_one_host_names_it() -> None:
    (told,) = problems(probe(body="{{ x }}"), hosts=(host("pc1", x=1), host("pc2")))
    assert "(on host pc2)" in told


def test_mistake_of_all_hosts_says_so_and_different_mistakes_stay_apart() -> None:
    told = problems(
        probe("a", body="{{ x }}"),
        probe("b", options={"timeout": "{{ t }}"}),
        hosts=(host("p1", t="x"), host("p2", t="x")),
    )
    assert len(told) == 2
    assert "'x' is undefined (on all 2 hosts)" in told[0]
    assert told[1].startswith("labs.yml:10:16: probe 'b': timeout is no number (on all 2 hosts)")


def test_mistake_without_a_template_is_told_once() -> None:
    (told,) = problems(probe(options={"timeout": "soon"}), hosts=(host("pc1"), host("pc2")))
    assert "timeout is no number" in told


def test_wrong_condition_is_told_once_without_hosts() -> None:
    (told,) = problems(probe(when=("{{ x }}",)), hosts=(host("pc1"), host("pc2")))
    assert "without braces" in told
    assert "host" not in told


def test_secret_goes_to_env_and_stdin_but_never_to_a_command() -> None:
    pc = host(admin_password=SecretRef("env", "ADMIN_PW"))
    result = plan(probe(options={"env": {"PW": "{{ admin_password }}"}}), hosts=(pc,))
    assert result.hosts[0].probes[0].options["env"] == {"PW": SecretRef("env", "ADMIN_PW")}
    (told,) = problems(probe(body="net use /user:a {{ admin_password }}"), hosts=(pc,))
    assert "env:ADMIN_PW" in told
    assert "`stdin:`" in told
    (told,) = problems(probe(options={"args": ["{{ admin_password }}"]}), hosts=(pc,))
    assert "args" in told


def test_plan_holds_no_secret_and_crosses_a_process_border() -> None:
    pc = host(ansible_user="u", ansible_password=SecretRef("env", "ADMIN_PW"))
    result = plan(probe(), hosts=(pc,))
    assert result.hosts[0].target.password == SecretRef("env", "ADMIN_PW")
    assert pickle.loads(pickle.dumps(result)) == result


def test_connection_variables_may_come_from_play_and_command_line() -> None:
    result = plan(
        probe(),
        hosts=(host(ansible_user="h", ansible_port=5985),),
        variables={"ansible_user": "p"},
        extra={"ansible_port": 5986},
    )
    target = result.hosts[0].target
    assert (target.user, target.port, target.scheme) == ("p", 5986, "https")


def test_wrong_connection_variable_is_told_once_for_all_hosts() -> None:
    hosts = (host("pc1", ansible_port="http"), host("pc2", ansible_port="http"))
    (told,) = problems(probe(), hosts=hosts)
    assert "ansible_port: 'http' is no port number (on all 2 hosts)" in told


def test_variable_under_one_of_our_names_is_warned_about() -> None:
    warnings = plan(probe(), variables={"host": "x"}, hosts=(host(ansible_winrm_kinit_cmd="k"),)).warnings
    assert any("'host' (vars) is never seen" in warning for warning in warnings)
    assert any("ansible_winrm_kinit_cmd has no effect" in warning for warning in warnings)


def test_own_password_of_a_host_is_not_shared() -> None:
    result = plan(probe(), hosts=(host("pc1"), host("pc2")), per_host_secret=lambda name: name == "pc2")
    assert [each.target.shared_secret for each in result.hosts] == [True, False]


def test_ten_thousand_hosts_with_two_probes_are_planned_within_a_second() -> None:
    hosts = tuple(
        host(f"pc{n}", "labs", f"lab{n % 50}", ansible_user="u", ansible_port=5985) for n in range(10_000)
    )
    started = time.process_time()
    result = plan(probe("a"), probe("b", kind="wmi", body="SELECT Name FROM Win32_BIOS"), hosts=hosts)
    assert time.process_time() - started < 1.0
    assert len(result.hosts) == 10_000
