"""What the credential gate must not forget between runs (design §9.3): refusals count for a domain account.

It lives in `<data>/ddcplay.db`, beside the experiments, or in the configured database, because plays and
coordinators share them. Keys and
secrets enter as salted hashes; the salt never leaves the database.
"""

from __future__ import annotations

import dataclasses
import hashlib
import hmac
import secrets
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import sqlalchemy as sa

from ddcplay.store import schema
from ddcplay.store.dialect import database_url, insert_missing, insert_or_replace, open_engine, place_of
from ddcplay.store.faults import store_faults
from ddcplay.store.migrations import upgrade
from ddcplay.store.postgres import patiently, take_turn

T = TypeVar("T")
DATABASE_FILE = "ddcplay.db"
_SCRYPT_N = 2**13  # some 20 ms: a stolen database is no list of passwords


@dataclass(frozen=True, slots=True)
class CredentialState:
    """What is known of one credential.

    Args:
        key: what tells it from others: account, realm, host where it is the host's own, digest. On disk it
            is a salted hash.
        proven: some host accepted this secret.
        refusals: in a row, without a success between.
        blocked_since: UTC Unix seconds, None when it may be used.
        next_trial_at: UTC Unix seconds of the one trial that a blocked credential gets.
        secret_hash: `CredentialLedger.digest` of the secret this state is about, "" where the key holds it.
    """

    key: str
    proven: bool = False
    refusals: int = 0
    blocked_since: float | None = None
    next_trial_at: float | None = None
    secret_hash: str = ""


class CredentialLedger:
    """Credential states on the disk; may be used from any thread and by several coordinators at once.

    Args:
        data_dir: holds `ddcplay.db`; created (0700) when missing.
        url: SQLAlchemy URL of setting `database`, None for the file.

    Raises:
        StoreError: the database cannot be opened; the text says what to do.
    """

    def __init__(self, data_dir: Path, url: str | None = None) -> None:
        target = database_url(data_dir / DATABASE_FILE, url)
        self._place = place_of(target)
        self._lock = threading.Lock()
        self._process_key = secrets.token_bytes(32)
        self._digests: dict[bytes, str] = {}
        with store_faults("open the credential ledger", self._place):
            self._engine = open_engine(target)
            try:
                upgrade(self._engine, self._place)
                self._salt = self._write(_enter_salt)
            except BaseException:
                self._engine.dispose()
                raise

    def digest(self, secret: str) -> str:
        """Return a salted, deliberately slow digest of a secret, by which a changed one is noticed.

        The same secret is digested once per process: the gate asks for every host.
        """
        quick = hmac.digest(self._process_key, _bytes(secret), "sha256")
        with self._lock:
            if quick not in self._digests:
                salt = hashlib.sha256(b"secret\0" + self._salt).digest()
                self._digests[quick] = hashlib.scrypt(
                    _bytes(secret), salt=salt, n=_SCRYPT_N, r=8, p=1, dklen=24
                ).hex()
            return self._digests[quick]

    def load(self, key: str) -> CredentialState | None:
        """Return the state of a key, None when nothing is known."""
        return self._read(lambda connection: self._load(connection, key))

    def save(self, state: CredentialState) -> None:
        """Write a state; it is durable when this returns."""
        self._write(lambda connection: self._save(connection, state))

    def update(
        self, key: str, change: Callable[[CredentialState | None], CredentialState]
    ) -> CredentialState:
        """Read, change and write a state with no other coordinator in between.

        Args:
            key: of the credential.
            change: gets what is recorded, returns what is to be; must be quick.
        """

        def work(connection: sa.Connection) -> CredentialState:
            state = change(self._load(connection, key))
            self._save(connection, state)
            return state

        return self._write(work)

    def all(self) -> tuple[CredentialState, ...]:
        """Return every state; keys are as they lie on the disk, salted."""
        query = sa.select(schema.credential).order_by(schema.credential.c.key)
        return self._read(
            lambda connection: tuple(CredentialState(**row) for row in connection.execute(query).mappings())
        )

    def close(self) -> None:
        """Close every connection."""
        self._engine.dispose()

    def _read(self, work: Callable[[sa.Connection], T]) -> T:
        def once() -> T:
            with self._engine.connect() as connection:
                return work(connection)

        with store_faults("read the credential ledger", self._place):
            return patiently(once)

    def _write(self, work: Callable[[sa.Connection], T]) -> T:
        def once() -> T:
            with self._engine.begin() as connection:
                take_turn(connection, "credentials")
                return work(connection)

        with store_faults("write the credential ledger", self._place):
            return patiently(once)

    def _load(self, connection: sa.Connection, key: str) -> CredentialState | None:
        query = sa.select(schema.credential).where(schema.credential.c.key == self._salted(key))
        row = connection.execute(query).mappings().first()
        return None if row is None else CredentialState(**{**row, "key": key})

    def _save(self, connection: sa.Connection, state: CredentialState) -> None:
        row = {**dataclasses.asdict(state), "key": self._salted(state.key)}
        connection.execute(insert_or_replace(connection, schema.credential), row)

    def _salted(self, key: str) -> str:
        return hmac.digest(self._salt, b"key\0" + _bytes(key), "sha256").hex()[:32]


def _enter_salt(connection: sa.Connection) -> bytes:
    connection.execute(insert_missing(connection, schema.salt), {"id": 1, "value": secrets.token_bytes(32)})
    found: bytes = connection.execute(
        sa.select(schema.salt.c.value).where(schema.salt.c.id == 1)
    ).scalar_one()
    return found


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
