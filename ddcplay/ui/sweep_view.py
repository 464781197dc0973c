"""What `ddcplay ping` shows: equal answers together, with what to do about those that are on but deaf."""

from __future__ import annotations

import re
from collections.abc import Sequence

from rich.console import Console
from rich.text import Text

from ddcplay.app import PingRow
from ddcplay.ui.folding import natural
from ddcplay.ui.safe_text import safe_text, safe_values
from ddcplay.ui.tables import folded, table
from ddcplay.ui.words import plural

_STYLES = {"up": "green", "port_closed": "bold yellow", "no_name": "bold red", "no_answer": "dim"}
_PORTS_SHOWN = 3
_NUMBER = re.compile(r"[0-9]+")
_ORDER = ("up", "port_closed", "no_name", "no_answer")


def ping_fields(row: PingRow) -> dict[str, object]:
    """Return one host's answer as JSON-ready values."""
    answer = row.answer
    return {
        "host": row.host,
        "state": str(answer.state),
        "on": answer.on,
        "address": answer.address,
        "open_ports": list(answer.open_ports),
        "elapsed_s": round(answer.elapsed_s, 3),
        "login": row.login,
        "detail": row.detail or answer.detail,
        "facts": dict(row.facts),
    }


def print_ping(console: Console, rows: Sequence[PingRow], *, login: bool, full: bool = False) -> None:
    """Print the answers, then the counts.

    Args:
        console: where to.
        rows: one per host, in any order.
        login: a column tells how logging on went.
        full: one line per host instead of one per equal answer.
    """
    groups: dict[tuple[str, ...], list[PingRow]] = {}
    for row in sorted(rows, key=lambda each: natural(each.host)):
        # Numbers in a detail (ports, milliseconds) do not make it another answer.
        key = (str(row.answer.state), row.login, _NUMBER.sub("#", _detail(row, full=full)))
        groups.setdefault((*key, row.host) if full else key, []).append(row)
    heads = ("state", "ports", *(("login",) if login else ()), "count", "hosts", "detail")
    shown = table(*heads, right=("count",))
    for members in sorted(groups.values(), key=lambda each: (_rank(str(each[0].answer.state)), -len(each))):
        shown.add_row(*_cells(members, login=login, full=full))
    console.print(shown)
    console.print(_counts(rows))


def _cells(members: Sequence[PingRow], *, login: bool, full: bool) -> list[Text]:
    first = members[0]
    state = str(first.answer.state)
    ports = sorted({port for row in members for port in row.answer.open_ports})
    more = ",…" if len(ports) > _PORTS_SHOWN else ""
    words = " ".join(filter(None, (_detail(first, full=full), safe_values(first.facts) if full else "")))
    return [
        Text(state, style=_STYLES.get(state, "")),
        Text(",".join(map(str, ports[:_PORTS_SHOWN])) + more or "-"),
        *([Text(safe_text(first.login or "-"))] if login else []),
        Text(str(len(members))),
        Text(folded([row.host for row in members], None if full else 12)),
        Text(safe_text(words, limit=200)),
    ]


def _detail(row: PingRow, *, full: bool) -> str:
    # Most machines of a night are off, each with its own milliseconds: that is no news.
    telling = full or str(row.answer.state) in {"port_closed", "no_name"}
    return row.detail or (row.answer.detail if telling else "")


def _rank(state: str) -> int:
    return _ORDER.index(state) if state in _ORDER else len(_ORDER)


def _counts(rows: Sequence[PingRow]) -> Text:
    words = Text(plural(len(rows), "host"), style="bold")
    for state in _ORDER:
        count = sum(str(row.answer.state) == state for row in rows)
        if count:
            words.append(f"  {count:,} {state}", style=_STYLES[state])
    return words
