"""The views of an inventory have the shapes of `ansible-inventory` and are ready for JSON."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime

from ddcplay.config.inventory_views import inventory_graph, inventory_list
from ddcplay.model.inventory import Group, Host, Inventory, SecretRef

_VARS = {
    "day": date(2026, 11, 22),
    "moment": datetime(2026, 11, 22, 10, 0, tzinfo=UTC),
    "raw": b"\xff",
    "set": {1},
    "pair": (1, {"deep": SecretRef("plain", "hunter2")}),
    "complex": 1j,
    "ansible_password": SecretRef("env", "PASSWORD"),
}
_INVENTORY = Inventory(
    {"pc1": Host("pc1", ("lab",), _VARS), "pc2": Host("pc2", ("ungrouped",))},
    {
        "all": Group("all", children=("ungrouped", "lab")),
        "ungrouped": Group("ungrouped", ("pc2",)),
        "lab": Group("lab", ("pc1",), depth=1),
        "empty": Group("empty"),
    },
)


def test_list_holds_groups_and_hostvars_with_secrets_as_references() -> None:
    listing = inventory_list(_INVENTORY)
    assert json.loads(json.dumps(listing)) == {
        "_meta": {
            "hostvars": {
                "pc1": {
                    "day": "2026-11-22",
                    "moment": "2026-11-22T10:00:00+00:00",
                    "raw": "\ufffd",
                    "set": [1],
                    "pair": [1, {"deep": "********"}],
                    "complex": "1j",
                    "ansible_password": "env:PASSWORD",
                }
            }
        },
        "all": {"children": ["ungrouped", "lab"]},
        "ungrouped": {"hosts": ["pc2"]},
        "lab": {"hosts": ["pc1"]},
    }


def test_graph_draws_children_before_hosts() -> None:
    expected = "@all:\n  |--@ungrouped:\n  |  |--pc2\n  |--@lab:\n  |  |--pc1"
    assert inventory_graph(_INVENTORY) == expected
