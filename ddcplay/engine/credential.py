"""Which logins are one credential: the account, and the secret told apart by a salted digest (design §9.3)."""

from __future__ import annotations

from dataclasses import dataclass

from ddcplay.model.plan import Target


@dataclass(frozen=True, slots=True)
class CredentialKey:
    """The identity of a credential.

    Args:
        text: account, owner and digest: the ledger's key; holds no secret.
        label: the account as an admin reads it.
    """

    text: str
    label: str


def key_of(target: Target, secret_digest: str) -> CredentialKey:
    r"""Tell which credential a target uses.

    `DOM\u`, `u@REALM` and bare `u` are shared by all hosts; `.\u`, `HOST\u` and a secret written for one host
    belong to that host alone. `DOM\u` and `u@dom.example.org` are one account: NetBIOS domain names are the
    first label of the DNS name wherever nobody chose otherwise.

    Args:
        target: user, host and how its secret is written.
        secret_digest: salted digest of the secret, so that a changed secret is another credential.
    """
    user = target.user or ""
    realm, account = "", user
    if "\\" in user:
        realm, account = user.split("\\", 1)
    elif "@" in user:
        account, realm = user.rsplit("@", 1)
    realm = realm.lower().split(".")[0]
    own_names = {".", target.host.lower().split(".")[0], target.address.lower().split(".")[0]}
    local = "\\" in user and (realm == "" or realm in own_names)
    owner = target.host if local or not target.shared_secret else ""
    return CredentialKey(
        text="|".join((account.lower(), "" if local else realm, owner, secret_digest)),
        label=user + (f" on {owner}" if owner else ""),
    )
