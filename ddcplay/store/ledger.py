"""What the credential gate must not forget between runs (design §9.3): refusals count for a domain account.

It lives in `<data>/ddcplay.db`, beside the experiments, because plays and coordinators share credentials. Keys and
secrets enter as salted hashes; the salt never leaves the database.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import sqlalchemy as sa

from ddcplay.store import schema
from ddcplay.store.dialect import database_url, insert_missing, insert_or_replace, open_engine, place_of
from ddcplay.store.faults import store_faults
from ddcplay.store.migrations import upgrade

T = TypeVar("T")
DATABASE_FILE = "ddcplay.db"
_SCRYPT = {"n": 2**13, "r": 8, "p": 1, "dklen": 24}  # some 20 ms: a stolen database is no list of passwords


@dataclass(frozen=True, slots=True)
class CredentialState:
    """What is known of one credential.

    Args:
        key: `CredentialLedger.key_of` its identity.
        proven: some host accepted this secret.
        refusals: in a row, without a success between.
        blocked_since: UTC Unix seconds, None when it may be used.
        next_trial_at: UTC Unix seconds of the one trial that a blocked credential gets.
        secret_hash: `CredentialLedger.hash_secret` of the secret this state is about; another secret, another
            state.
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
        with store_faults("open the credential ledger", self._place):
            self._engine = open_engine(target)
            try:
                upgrade(self._engine, self._place)
                self._salt = self._write(_enter_salt)
            except BaseException:
                self._engine.dispose()
                raise

    def key_of(self, identity: str) -> str:
        r"""Return the salted key of a credential.

        Args:
            identity: user and realm (`DOM\u`, `u@REALM`), with the host where the secret is the host's own.
        """
        return hmac.new(self._salt, b"key\0" + _bytes(identity), "sha256").hexdigest()[:32]

    def hash_secret(self, secret: str) -> str:
        """Return a salted, deliberately slow hash, by which a changed secret is noticed; keep it for the run."""
        salt = hashlib.sha256(b"secret\0" + self._salt).digest()
        return hashlib.scrypt(_bytes(secret), salt=salt, **_SCRYPT).hex()

    def load(self, key: str) -> CredentialState | None:
        """Return the state of a key, None when nothing is known."""
        with store_faults("read the credential ledger", self._place), self._engine.connect() as connection:
            return _load(connection, key)

    def save(self, state: CredentialState) -> None:
        """Write a state; it is durable when this returns."""
        self._write(lambda connection: _save(connection, state))

    def update(
        self, key: str, change: Callable[[CredentialState | None], CredentialState]
    ) -> CredentialState:
        """Read, change and write a state with no other coordinator in between.

        Args:
            key: of the credential.
            change: gets what is recorded, returns what is to be; must be quick.
        """

        def work(connection: sa.Connection) -> CredentialState:
            state = change(_load(connection, key))
            _save(connection, state)
            return state

        return self._write(work)

    def all(self) -> tuple[CredentialState, ...]:
        """Return every state, by key."""
        query = sa.select(schema.credential).order_by(schema.credential.c.key)
        with store_faults("read the credential ledger", self._place), self._engine.connect() as connection:
            return tuple(CredentialState(**row) for row in connection.execute(query).mappings())

    def close(self) -> None:
        """Close every connection."""
        self._engine.dispose()

    def _write(self, work: Callable[[sa.Connection], T]) -> T:
        with store_faults("write the credential ledger", self._place), self._engine.begin() as connection:
            return work(connection)


def _enter_salt(connection: sa.Connection) -> bytes:
    connection.execute(insert_missing(connection, schema.salt), {"id": 1, "value": secrets.token_bytes(32)})
    found: bytes = connection.execute(
        sa.select(schema.salt.c.value).where(schema.salt.c.id == 1)
    ).scalar_one()
    return found


def _load(connection: sa.Connection, key: str) -> CredentialState | None:
    query = sa.select(schema.credential).where(schema.credential.c.key == key)
    row = connection.execute(query).mappings().first()
    return None if row is None else CredentialState(**row)


def _save(connection: sa.Connection, state: CredentialState) -> None:
    row = {
        "key": state.key,
        "proven": state.proven,
        "refusals": state.refusals,
        "blocked_since": state.blocked_since,
        "next_trial_at": state.next_trial_at,
        "secret_hash": state.secret_hash,
    }
    connection.execute(insert_or_replace(connection, schema.credential), row)


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
