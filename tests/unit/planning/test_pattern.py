"""Patterns: which hosts they choose, in which order, and what is said about names nobody has."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ddcplay.errors import PatternError
from ddcplay.model.inventory import Group, Host, Inventory
from ddcplay.planning.pattern import Selection, select_hosts, split_pattern

_GROUPS = {
    "room1": ("pc01", "pc02", "pc03"),
    "room2": ("pc11", "pc12", "pc01"),
    "windows": ("pc02", "pc12"),
    "empty": (),
    "ungrouped": ("srv.example.edu", "2001:db8::1"),
}


@pytest.fixture(scope="module")
def inventory() -> Inventory:
    names = ["pc12", "pc11", "pc01", "pc02", "pc03", "srv.example.edu", "2001:db8::1"]
    hosts = {
        name: Host(name, tuple(group for group, own in _GROUPS.items() if name in own)) for name in names
    }
    groups = {name: Group(name, own) for name, own in _GROUPS.items()}
    groups["labs"] = Group("labs", children=("room2", "room1"))
    groups["all"] = Group("all", children=("ungrouped", "labs", "windows", "empty"))
    return Inventory(hosts, groups)


def _names(selection: Selection) -> list[str]:
    return [host.name for host in selection.hosts]


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("room1", "pc01 pc02 pc03"),
        ("pc03,pc01", "pc01 pc03"),
        ("room1:room2", "pc12 pc11 pc01 pc02 pc03"),
        ("labs:!room2", "pc02 pc03"),
        ("!room2:labs", "pc02 pc03"),
        ("labs:!room2,pc11", "pc02 pc03"),
        ("labs:&windows", "pc12 pc02"),
        ("&windows", "pc12 pc02"),
        ("!labs", "srv.example.edu 2001:db8::1"),
        ("!pc02:labs:&windows", "pc12"),
        ("pc1*", "pc12 pc11"),
        ("*.example.edu", "srv.example.edu"),
        ("room?", "pc12 pc11 pc01 pc02 pc03"),
        ("pc[01]1", "pc11 pc01"),
        ("~pc.[23]", "pc12 pc02 pc03"),
        ("~c01", ""),
        ("~[[]|pc03", "pc03"),
        ("labs[0]", "pc11"),
        ("labs[-1]", "pc03"),
        ("labs[1:2]", "pc12 pc01"),
        ("labs[3:]", "pc02 pc03"),
        ("labs[0:99]:!room1", "pc12 pc11"),
        ("2001:db8::1", "2001:db8::1"),
        ("2001:db8::1,pc01", "pc01 2001:db8::1"),
        ("labs,!2001:db8::1", "pc12 pc11 pc01 pc02 pc03"),
        (" pc01 , pc02 ", "pc01 pc02"),
    ],
)
def test_pattern_chooses_hosts_in_inventory_order(inventory: Inventory, pattern: str, expected: str) -> None:
    if not expected:
        with pytest.raises(PatternError, match="matches no host"):
            select_hosts(inventory, pattern)
        return
    assert _names(select_hosts(inventory, pattern)) == expected.split()


def test_all_and_star_mean_every_host(inventory: Inventory) -> None:
    assert _names(select_hosts(inventory, "all")) == list(inventory.hosts)
    assert select_hosts(inventory, "*") == select_hosts(inventory, "all")


def test_limit_narrows_the_pattern(inventory: Inventory) -> None:
    assert _names(select_hosts(inventory, "labs", "room1:!pc02")) == ["pc01", "pc03"]
    assert select_hosts(inventory, "labs", " ") == select_hosts(inventory, "labs")
    with pytest.raises(PatternError, match=r"pattern 'room1' with limit 'pc11' matches no host"):
        select_hosts(inventory, "room1", "pc11")


def test_unknown_name_is_an_error_with_the_nearest_name(inventory: Inventory) -> None:
    with pytest.raises(
        PatternError, match=r"no host or group is called 'rom1'\n    did you mean 'room1'\?"
    ) as caught:
        select_hosts(inventory, "labs:rom1")
    assert caught.value.exit_code == 2
    with pytest.raises(PatternError, match="inventory graph"):
        select_hosts(inventory, "labs", "kitchen")


def test_unknown_excluded_name_is_a_warning(inventory: Inventory) -> None:
    selection = select_hosts(inventory, "room1:!maintenance:!pc99*")
    assert _names(selection) == ["pc01", "pc02", "pc03"]
    assert [warning.split(";")[0] for warning in selection.warnings] == [
        "no host or group is called 'maintenance'",
        "no host or group is called 'pc99*'",
    ]


def test_unknown_intersection_is_a_warning_and_leaves_nothing(inventory: Inventory) -> None:
    with pytest.raises(
        PatternError, match=r"matches no host\n.*no host or group is called 'window'.*'windows'"
    ):
        select_hosts(inventory, "room1:&window")


def test_empty_group_is_known_but_chooses_nothing(inventory: Inventory) -> None:
    assert select_hosts(inventory, "room1:!empty").warnings == ()
    with pytest.raises(PatternError, match="pattern 'empty' matches no host"):
        select_hosts(inventory, "empty")


@pytest.mark.parametrize("pattern", ["labs[5]", "labs[-6]", "labs[5:9]", "room1[2:1]"])
def test_counting_past_a_group_is_an_error(inventory: Inventory, pattern: str) -> None:
    with pytest.raises(PatternError, match=r"of '(labs|room1)'"):
        select_hosts(inventory, pattern)


def test_broken_regular_expression_is_an_error(inventory: Inventory) -> None:
    with pytest.raises(PatternError, match="is no regular expression"):
        select_hosts(inventory, "~pc(")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a:b,c", ["a", "b", "c"]),
        ("a[0:3]:b[1]", ["a[0:3]", "b[1]"]),
        ("fe80::1", ["fe80::1"]),
        ("!fe80::1,a", ["!fe80::1", "a"]),
        ("::,, :", ["::"]),
        ("", []),
    ],
)
def test_pattern_is_split_outside_brackets_and_addresses(text: str, expected: list[str]) -> None:
    assert split_pattern(text) == expected


@given(st.text(alphabet="pcr01:,!&*~[]-?(){}\\. @\n", max_size=20))
def test_any_text_chooses_hosts_or_is_a_pattern_error(text: str) -> None:
    hosts = {"pc01": Host("pc01", ("r",)), "pc1": Host("pc1", ("r",))}
    groups = {"all": Group("all", children=("r",)), "r": Group("r", ("pc01", "pc1"))}
    try:
        selection = select_hosts(Inventory(hosts, groups), text)
    except PatternError as error:
        assert error.hint  # noqa: PT017 - a selection is the other good outcome
        return
    assert selection.hosts
    assert {host.name for host in selection.hosts} <= set(hosts)
