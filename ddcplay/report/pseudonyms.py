"""Names of hosts made unreadable in an export, the same one everywhere the same way.

A pseudonym is a keyed hash (HMAC-SHA256): without the key nobody can try names until one fits. The key is
made for one export and forgotten, unless a key file is asked for.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Iterable, Sequence

IDENTIFYING = frozenset(
    """__server addresses computer_name computername csname dnshostname fqdn hostname identifyingnumber
    instance ip_address ipaddress ipaddresses mac mac_address macaddress macs pnpdeviceid pscomputername
    serial serial_number serialnumber systemname uuid""".split()  # noqa: SIM905 - a list of words reads better so
)
"""Fields (any case) whose value tells the machine: replaced as a whole."""
_WORD = re.compile(r"\w(?:[\w.-]*\w)?")
_CACHED = 50_000
_DIGITS = 10  # 40 bits: two of a million hosts share one with a chance below 1 in 2


class Pseudonyms:
    """Replaces names by pseudonyms.

    Args:
        key: secret of this export.
        hosts: inventory names; found inside texts, too.
    """

    def __init__(self, key: bytes, hosts: Iterable[str]) -> None:
        self._key = key
        self._names: dict[str, str] = {}
        for host in hosts:
            self._names[host.casefold()] = self.host(host)
            self._names.setdefault(host.partition(".")[0].casefold(), self.host(host))
        self._known: dict[str, str] = {}

    def host(self, name: str) -> str:
        """Return the pseudonym of a host."""
        return self._made("h", name.casefold())

    def column(self, name: str, values: Sequence[object]) -> list[object]:
        """Return a column of texts without names.

        Args:
            name: of the field; some tell the machine and are replaced as a whole.
            values: texts or None; all else stays.
        """
        change = self.identity if name.casefold() in IDENTIFYING else self.text
        return [change(value) if isinstance(value, str) else value for value in values]

    def identity(self, value: str) -> str:
        """Return the pseudonym of a name, a serial number, an address; of a host its own."""
        return self._names.get(value.casefold()) or (self._made("i", value) if value.strip() else value)

    def text(self, value: str) -> str:
        """Return a text with the names of hosts replaced."""
        if value not in self._known:
            if len(self._known) > _CACHED:
                self._known.clear()
            self._known[value] = self._names.get(value.casefold()) or _WORD.sub(self._word, value)
        return self._known[value]

    def _word(self, match: re.Match[str]) -> str:
        word = match[0].casefold()
        return self._names.get(word) or self._names.get(word.partition(".")[0]) or match[0]

    def _made(self, kind: str, value: str) -> str:
        digest = hmac.new(self._key, f"{kind}:{value}".encode("utf-8", "replace"), hashlib.sha256)
        return f"{kind}{digest.hexdigest()[:_DIGITS]}"
