"""The configured database, its secret resolved: one place for every command that reads or writes it."""

from __future__ import annotations

from urllib.parse import unquote, urlsplit

from ddcplay.config.settings import Settings
from ddcplay.secrets.redact import Redactor
from ddcplay.secrets.reference import SecretStore


def database_url(settings: Settings, redactor: Redactor | None = None) -> str | None:
    """Return the SQLAlchemy URL of setting `database`; None: each experiment has a file of its own.

    Args:
        settings: of the project.
        redactor: is told the URL and the password in it before anybody else sees them.

    Raises:
        SecretError: the reference cannot be looked up; the text names it and the fix.
    """
    database = settings.database
    if "simulated" in settings.data_dir.absolute().parts:  # what never happened stays apart, in files
        return None
    if database is None or isinstance(database, str):
        return database
    redactor = redactor or Redactor()
    url = SecretStore(redactor, root=settings.project_root).resolve(database)
    try:
        password = urlsplit(url).password or ""
    except ValueError:  # no URL at all: whoever opens it says so
        return url
    redactor.add(password)
    redactor.add(unquote(password))
    return url
