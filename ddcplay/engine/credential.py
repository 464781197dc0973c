"""Which logins share one account, so that a refusal of one counts for all (design §9.3)."""

from __future__ import annotations

from dataclasses import dataclass

from ddcplay.model.plan import Target


@dataclass(frozen=True, slots=True)
class Account:
    """The account behind a login.

    Args:
        identity: account, realm and owner in one spelling; holds no secret.
        label: the account as an admin reads it.
        owner: the one host it belongs to, empty when it is shared.
    """

    identity: str
    label: str
    owner: str = ""


def account_of(target: Target) -> Account:
    r"""Tell which account a target uses.

    `DOM\u`, `u@REALM` and bare `u` are shared by all hosts; `.\u`, `HOST\u` and a secret written for one host
    belong to that host alone. `DOM\u` and `u@dom.example.org` are one account: NetBIOS domain names are the
    first label of the DNS name wherever nobody chose otherwise.
    """
    user = target.user or ""
    realm, name = "", user
    if "\\" in user:
        realm, name = user.split("\\", 1)
    elif "@" in user:
        name, realm = user.rsplit("@", 1)
    realm = realm.lower().split(".")[0]
    own_names = {"", target.host.lower().split(".")[0], target.address.lower().split(".")[0]}
    local = "\\" in user and realm in own_names
    owner = target.host if local or not target.shared_secret else ""
    return Account(
        identity="|".join((name.lower(), "" if local else realm, owner)),
        label=user + (f" on {owner}" if owner else ""),
        owner=owner,
    )
