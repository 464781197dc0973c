# ruff: noqa: E501 - one row per mistake, file beside message, reads best
"""Loading inventories: what is read, what is refused and with which words."""

from __future__ import annotations

import json
import pickle
import time
from pathlib import Path

import pytest

from ddcplay.config.inventory_files import (
    LoadedInventory,
    discover_inventory,
    load_inventory,
    load_inventory_with_warnings,
    read_limit,
)
from ddcplay.config.inventory_views import inventory_graph, inventory_list
from ddcplay.errors import ConfigError, UsageError
from ddcplay.model.inventory import SecretRef
from ddcplay.model.playbook import Unsafe


def _write(folder: Path, name: str, text: str) -> str:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return str(path)


def _load(folder: Path, name: str, text: str) -> LoadedInventory:
    return load_inventory_with_warnings([_write(folder, name, text)])


def _refused(folder: Path, name: str, text: str) -> str:
    source = _write(folder, name, text)
    with pytest.raises(ConfigError) as caught:
        load_inventory([source])
    assert caught.value.exit_code == 2
    assert all(problem.hint for problem in caught.value.problems)
    return str(caught.value).replace(source, name)


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("h.ini", "[lab:hosst]\npc1\n", "h.ini:1:1: section [lab:hosst] has the unknown kind 'hosst'\n    did you mean [lab:hosts]?"),
        ("h.ini", "[lab one]\n", "h.ini:1:1: [lab one] is no section"),
        ("h.ini", "[lab]\n  pc[1:\n", "h.ini:2:3: 'pc[1:' has a bracket that is not closed"),
        ("h.ini", "pc[5:1]\n", "h.ini:1:1: range [5:1] runs backwards"),
        ("h.ini", "pc[01:100]\n", "range [01:100] must write both ends with the same number of digits"),
        ("h.ini", "pc[0:9:0]\n", "has a step below 1"),
        ("h.ini", "pc[0:9999999]\n", "gives more than 100000 hosts"),
        ("h.ini", "pc[1:999][1:999]\n", "stands for more than 100000 hosts"),
        ("h.ini", "pc1 ansible_user\n", "a host line holds a word that is no name=value"),
        ("h.ini", "pc1 a='open\n", "the host line cannot be split: No closing quotation\n    close the quotes"),
        ("h.ini", "[lab]\npc1\n[labs:vars]\na=1\n", "h.ini:3:1: [labs:vars] belongs to no group\n    did you mean 'lab'?"),
        ("h.ini", "[lab]\n[all:vars]\nx\n", "h.ini:3:1: expected name=value below [all:vars]"),
        ("h.ini", "[s:children]\nlab1\n[lab]\n", "h.ini:2:1: [s:children] names the unknown group 'lab1'\n    did you mean 'lab'?"),
        ("h.ini", "[a:children]\nb\n[b:children]\na\n", "h.ini:4:1: group 'a' cannot be a child of 'b'"),
        ("h.ini", "[a:children]\na\n", "h.ini:2:1: group 'a' is its own child"),
        ("h.ini", "[a:vars]\nansible_group_priority=high\n[a]\n", "h.ini:2:1: ansible_group_priority must be a whole number"),
        ("h.yml", "all:\n  hosts:\n\tpc1:\n", "h.yml:3:1: found character that cannot start any token\n    YAML indents with blanks"),
        ("h.yml", "all:\n  hosts: [pc1]\n", "h.yml:2:10: `hosts` of group 'all' must be a mapping"),
        ("h.yml", "all:\n  children: 5\n", "h.yml:2:13: `children` of group 'all' must be a mapping"),
        ("h.yml", "all:\n  hosts:\n    101:\n", 'h.yml:3:5: host name 101 is no text\n    write it in quotes: "101"'),
        ("h.yml", "all:\n  children:\n    101:\n", "h.yml:3:5: group name 101 is no text"),
        ("h.yml", "all:\n  hosts:\n    pc1: 5\n", "h.yml:3:10: variables of host 'pc1' must be a mapping"),
        ("h.yml", "- pc1\n", "h.yml:1:1: a YAML inventory is a mapping of groups"),
        ("h.yml", "", "h.yml: a YAML inventory is a mapping of groups"),
        ("h.yml", "a:\n  children:\n    b:\n      children:\n        a:\n", "h.yml:3:5: group 'b' cannot be a child of 'a', which is below it already"),
        ("h.yml", "a:\n  hosts:\n    pc1: {d: 2026-13-45}\n", "h.yml:3:14: the value cannot be read as what it looks like"),
        ("h.yml", 'a:\n  vars: {ansible_user: "CORP\\user"}\n', "in single quotes"),
        ("h.yml", "a:\n  vars: {ansible_password: [1]}\n", "h.yml:2:10: ansible_password must be text, not a list"),
        ("h.yml", "a:\n  vars:\n    ansible_password: !vault |\n      x\n", "h.yml:3:23: vault values cannot be read, not yet"),
        ("h.yml", "$ANSIBLE_VAULT;1.1;AES256\n6162\n", "Ansible Vault files cannot be read, not yet"),
        ("h.yml", "plugin: aws_ec2\n", "h.yml:1:1: inventory plug-ins cannot be read, not yet\n    write a static copy: ansible-inventory -i h.yml --list --yaml > inventories/static.yml"),
        ("h.json", '{"_meta": {"hostvars": {}}}', "the JSON of inventory scripts cannot be read, not yet"),
        ("h.py", "print('{}')\n", "inventory scripts cannot be run, not yet"),
        ("h", "#!/bin/sh\necho\n", "inventory scripts cannot be run, not yet"),
        ("h.toml", "[all]\n", "TOML inventories cannot be read, not yet"),
        ("h.yml", "a: " + "[" * 5000, "h.yml: the file is nested too deeply"),
        ("h.yml", "- " * 5000 + "x", "the file is nested too deeply"),
    ],
)  # fmt: skip
def test_mistake_is_refused_with_its_place_and_the_fix(
    tmp_path: Path, name: str, text: str, expected: str
) -> None:
    assert expected in _refused(tmp_path, name, text)


def test_every_mistake_of_all_files_is_told_at_once(tmp_path: Path) -> None:
    first = _write(tmp_path, "a.ini", "pc[2:1]\npc[9:3]\n")
    second = _write(tmp_path, "b.yml", "x: {hosts: [1]}\n")
    missing = str(tmp_path / "none.yml")
    with pytest.raises(ConfigError) as caught:
        load_inventory([first, second, missing])
    places = [problem.place.file for problem in caught.value.problems]
    assert places == [first, first, second, missing]


def test_missing_file_is_refused_with_the_comma_hint(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"there is no such inventory\n.*-i pc7,"):
        load_inventory([str(tmp_path / "pc7")])


def test_empty_name_is_refused() -> None:
    with pytest.raises(ConfigError, match="the inventory's name is empty"):
        load_inventory([""])


def test_empty_directory_is_an_empty_inventory(tmp_path: Path) -> None:
    assert load_inventory([str(tmp_path)]).hosts == {}


def test_examples_of_the_project_are_sound_and_form_one_inventory() -> None:
    folder = Path(__file__).parents[3] / "inventories"
    loaded = load_inventory_with_warnings([str(folder / "labs.yml"), str(folder / "office.ini")])
    assert loaded.warnings == ()
    assert len(loaded.inventory.members("labs")) == 169
    assert loaded.inventory.hosts["pc101-01"].vars["ansible_port"] == 5985
    assert loaded.inventory.hosts["reception.office.example"].vars["ansible_port"] == 5986


def test_text_that_is_not_utf8_is_refused_outside_comments(tmp_path: Path) -> None:
    path = tmp_path / "h.ini"
    path.write_bytes(b"# caf\xe9\npc1\n")
    assert list(load_inventory([str(path)]).hosts) == ["pc1"]
    path.write_bytes(b"pc1 note=caf\xe9\n")
    with pytest.raises(ConfigError, match=r"h\.ini:1:13: the text is not UTF-8"):
        load_inventory([str(path)])
    path.write_bytes("pc1\n".encode("utf-16"))
    with pytest.raises(ConfigError, match="UTF-16"):
        load_inventory([str(path)])


def test_long_comma_list_is_no_path() -> None:
    source = ",".join(f"pc{number:05d}" for number in range(2000))
    assert len(load_inventory([source]).hosts) == 2000


def test_byte_order_mark_is_no_part_of_the_first_host(tmp_path: Path) -> None:
    path = tmp_path / "h.ini"
    path.write_bytes(b"\xef\xbb\xbfpc1\r\npc2\r\n")
    assert list(load_inventory([str(path)]).hosts) == ["pc1", "pc2"]


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("h.yml", "a:\n  hosts: {pc1: }\n  hosts: {pc2: }\n", "h.yml:3:3: key 'hosts' is written twice"),
        ("h.yml", "a:\n  hosts:\n    pc1: {x: {k: 1, k: 2}}\n", "h.yml:3:21: key 'k' is written twice"),
        ("h.yml", "a:\n  host: {pc1: }\n", "h.yml:2:3: unexpected key 'host' in group 'a'\n    did you mean hosts?"),
        ("h.yml", "version: 2\na: {hosts: {pc1: }}\n", "h.yml:1:1: 'version' is no group"),
        ("h.ini", "[lab-1]\npc1\n", "h.ini:1:1: group name 'lab-1' is not a valid variable name"),
        ("h.ini", "[pc1]\npc1\n", "'pc1' is both a group and a host"),
        ("h.ini", "pc1 ansible_winrm_tranport=ntlm\n", "no connection reads ansible_winrm_tranport\n    did you mean ansible_winrm_transport?"),
        ("h.yml", 'a:\n  vars:\n    ansible_user: "CORP\\new"\n', "h.yml:3:5: ansible_user holds the control character '\\n'"),
        ("h.ini", '[a]\npc1\n[a:vars]\nansible_user="CORP\\new"\n', "h.ini:4:1: ansible_user holds the control character"),
        ("h.ini", "pc1 ansible_user=CORP\\new\n", "h.ini:1:1: a backslash outside quotes is lost"),
        ("h.ini", "pc1 ansible_password=se#cret\n", "text after # is a comment, even within a word"),
        ("h.ini", "pc1 ansible_password=1234567\n", "ansible_password was read as a number, not as text"),
    ],
)  # fmt: skip
def test_what_is_probably_not_meant_is_told(tmp_path: Path, name: str, text: str, expected: str) -> None:
    loaded = _load(tmp_path, name, text)
    told = "\n".join(str(warning) for warning in loaded.warnings).replace(str(tmp_path) + "/", "")
    assert expected in told
    assert "cret" not in told
    assert "1234567" not in told


def test_a_sound_inventory_gives_no_warning(tmp_path: Path) -> None:
    text = "[labs]\npc[01:20] ansible_user='CORP\\new' # note\n[labs:vars]\nansible_winrm_transport=ntlm\n"
    assert _load(tmp_path, "h.ini", text).warnings == ()


@pytest.mark.parametrize(
    ("text", "scheme", "value"),
    [
        ("env:NAME", "env", "NAME"),
        ("file:/run/secret", "file", "/run/secret"),
        ("keyring:ddcplay/me", "keyring", "ddcplay/me"),
        ("cmd:pass show x", "cmd", "pass show x"),
        ("plain:env:NAME", "plain", "env:NAME"),
        ("hunter2:x", "plain", "hunter2:x"),
        ("{{ lookup('env', 'X') }}", "template", "{{ lookup('env', 'X') }}"),
    ],
)
@pytest.mark.parametrize(
    "key",
    [
        *("ansible_password", "ansible_ssh_pass", "ansible_ssh_password", "ansible_winrm_password"),
        *("ansible_winrm_pass", "ansible_psrp_password", "ansible_winrm_cert_key_password"),
        *("ansible_become_pass", "ansible_api_token", "ansible_client_secret"),
    ],
)
def test_connection_secret_is_a_reference(
    tmp_path: Path, key: str, text: str, scheme: str, value: str
) -> None:
    inventory = _load(tmp_path, "h.json", json.dumps({"a": {"hosts": {"pc1": {key: text}}}})).inventory
    assert inventory.hosts["pc1"].vars[key] == SecretRef(scheme, value)


def test_no_view_of_an_inventory_shows_a_secret(tmp_path: Path) -> None:
    _write(tmp_path, "group_vars/lab.yml", "ansible_winrm_pass: hunter2-gv\n")
    _write(tmp_path, "host_vars/pc2", "ansible_password: hunter2-hv\n")
    text = "[lab]\npc1 ansible_password=hunter2-line\npc2\n[lab:vars]\nansible_psrp_password=hunter2-group\n"
    loaded = _load(tmp_path, "h.ini", text)
    shown = repr(loaded) + json.dumps(inventory_list(loaded.inventory)) + inventory_graph(loaded.inventory)
    assert "hunter2" not in shown
    assert loaded.inventory.hosts["pc2"].vars["ansible_password"] == SecretRef("plain", "hunter2-hv")
    assert pickle.loads(pickle.dumps(loaded)) == loaded


def test_broken_variables_file_is_refused_without_quoting_it(tmp_path: Path) -> None:
    _write(tmp_path, "group_vars/all.yml", "ansible_password: {hunter2\n")
    _write(tmp_path, "host_vars/pc1.yml", "- hunter2\n")
    source = _write(tmp_path, "h.ini", "pc1\n")
    with pytest.raises(ConfigError) as caught:
        load_inventory([source])
    assert len(caught.value.problems) == 2
    assert "hunter2" not in str(caught.value)


def test_groups_of_a_host_stand_parents_first_and_the_room_is_the_deepest(tmp_path: Path) -> None:
    text = "[zone:children]\nsite\n[site:children]\nroom\n[room]\npc1\n[alpha]\npc1\n"
    inventory = _load(tmp_path, "h.ini", text).inventory
    assert inventory.hosts["pc1"].groups == ("alpha", "zone", "site", "room")
    assert inventory.room("pc1") == "room"
    assert [inventory.groups[name].depth for name in ("all", "zone", "site", "room")] == [0, 1, 2, 3]


def test_ini_in_a_file_without_extension_is_told_from_yaml(tmp_path: Path) -> None:
    assert list(_load(tmp_path, "one", "pc1 a=b:c\npc2\n").inventory.hosts) == ["pc1", "pc2"]
    assert list(_load(tmp_path, "two", "# note\nlab:\n  hosts:\n    pc3:\n").inventory.hosts) == ["pc3"]
    assert list(_load(tmp_path, "three", "[lab]\npc4:5986\n").inventory.hosts) == ["pc4"]


def test_ini_called_yml_is_read_as_ansible_does_and_told(tmp_path: Path) -> None:
    loaded = _load(tmp_path, "h.yml", "# rooms\n[lab]\npc1\n")
    assert loaded.inventory.hosts["pc1"].groups == ("lab",)
    assert "read as INI although it is called .yml" in str(loaded.warnings[0])


def test_a_warning_that_thousands_of_hosts_share_is_told_once(tmp_path: Path) -> None:
    lines = "".join(f"pc{number} ansible_hots=10.0.0.1\n" for number in range(2000))
    assert [warning.place.line for warning in _load(tmp_path, "h.ini", lines).warnings] == [1]


@pytest.mark.parametrize(
    "key", ["ansible_become_method", "ansible_python_interpreter", "ansible_shell_type", "room"]
)
def test_variables_of_ansible_itself_are_no_surprise(tmp_path: Path, key: str) -> None:
    assert _load(tmp_path, "h.ini", f"pc1 {key}=x\n").warnings == ()


@pytest.mark.parametrize("name", ["h.ini", "h.yml"])
def test_ten_thousand_hosts_are_loaded_in_a_moment(tmp_path: Path, name: str) -> None:
    rooms = range(100)
    ini = "".join(
        f"[room{room}]\n"
        + "".join(f"pc{room}-{seat} ansible_host=10.0.{room}.{seat}\n" for seat in range(100))
        for room in rooms
    )
    yml = "".join(
        f"room{room}:\n  hosts:\n"
        + "".join(f"    pc{room}-{seat}: {{ansible_host: 10.0.{room}.{seat}}}\n" for seat in range(100))
        for room in rooms
    )
    source = _write(tmp_path, name, ini if name.endswith("ini") else yml)
    started = time.process_time()
    assert len(load_inventory([source]).hosts) == 10_000
    assert time.process_time() - started < 3.0, "measured: 0.5 s; the bound leaves room for a slow machine"


def test_playbook_variables_win_over_inventory_variables(tmp_path: Path) -> None:
    _write(tmp_path, "inv/group_vars/all.yml", "a: inv\nb: inv\n")
    _write(tmp_path, "play/group_vars/all.yml", "b: play\n")
    source = _write(tmp_path, "inv/h.ini", "[lab]\npc1\n[lab:vars]\na=line\nb=line\n")
    host = load_inventory([source], playbook_dir=tmp_path / "play").hosts["pc1"]
    assert host.vars == {"a": "inv", "b": "play"}


def test_the_one_inventory_of_the_project_is_found(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="holds none"):
        discover_inventory(tmp_path)
    _write(tmp_path, "inventories/README.md", "")
    _write(tmp_path, "inventories/lab/hosts.ini", "pc1\n")
    assert discover_inventory(tmp_path) == str(tmp_path / "inventories/lab")
    _write(tmp_path, "inventories/office/hosts.ini", "pc1\n")
    with pytest.raises(UsageError, match=r"several inventories: .*lab, .*office"):
        discover_inventory(tmp_path)


def test_files_in_inventories_are_one_inventory(tmp_path: Path) -> None:
    _write(tmp_path, "inventories/hosts.ini", "pc1\n")
    _write(tmp_path, "inventories/group_vars/all.yml", "a: 1\n")
    found = discover_inventory(tmp_path)
    assert load_inventory([found]).hosts["pc1"].vars == {"a": 1}


def test_limit_file_gives_one_pattern_per_line(tmp_path: Path) -> None:
    path = _write(tmp_path, "retry", "\ufeffpc1\n# note\n\n  pc2  \n")
    assert read_limit(f"@{path}") == "pc1,pc2"
    assert read_limit(f"lab,@{path},!pc9") == "lab,pc1,pc2,!pc9"
    assert read_limit("lab:!pc1") == "lab:!pc1"
    with pytest.raises(UsageError, match="cannot be read"):
        read_limit("@" + str(tmp_path / "none"))


def test_unsafe_text_is_marked_and_never_a_template(tmp_path: Path) -> None:
    text = "a:\n  hosts:\n    pc1: {x: !unsafe '{{ y }}', ansible_password: !unsafe 'a{{b'}\n"
    variables = _load(tmp_path, "h.yml", text).inventory.hosts["pc1"].vars
    assert isinstance(variables["x"], Unsafe)
    assert variables["ansible_password"] == SecretRef("plain", "a{{b")
    refused = _refused(tmp_path, "h.yml", "a:\n  vars: {x: !unsafe [1]}\n")
    assert "h.yml:2:13: !unsafe stands before text only" in refused


def test_a_few_lines_that_aliases_make_billions_of_values_of_are_refused(tmp_path: Path) -> None:
    lines = ["a0: &a0 {x: 1}"] + [f"a{i}: &a{i} {{l: [*a{i - 1}, *a{i - 1}]}}" for i in range(1, 40)]
    text = "g:\n  hosts: {pc1: }\n  vars:\n" + "".join(f"    {line}\n" for line in lines)
    with pytest.raises(ConfigError, match="aliases"):
        _load(tmp_path, "h.yml", text)
