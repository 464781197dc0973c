"""Fetches the heartbeat's address after each iteration: a dead coordinator must not look like peace."""

from __future__ import annotations

import contextlib
import ssl
import threading
import urllib.error
import urllib.request
from collections.abc import Callable
from http.client import HTTPException, HTTPMessage
from typing import IO
from urllib.parse import urlsplit

from ddcplay.errors import DdcplayError
from ddcplay.model.inventory import SecretRef


class _SameHost(urllib.request.HTTPRedirectHandler):
    """Follow redirects on the same server only: the address is a secret of that server."""

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        old, new = urlsplit(req.full_url), urlsplit(newurl)
        weaker = old.scheme == "https" and new.scheme != "https"
        if old.hostname != new.hostname or weaker:
            raise DdcplayError("it redirects to another server", "write the address it redirects to")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


class Heartbeat:
    """Tells an outside watcher that this coordinator is alive.

    Args:
        url: its address, a secret.
        resolve: looks it up.
        notice: is told when it fails and when it works again, once each.
        timeout_s: for each step of a request.
    """

    def __init__(
        self,
        url: SecretRef,
        resolve: Callable[[SecretRef], str],
        notice: Callable[[str], None],
        timeout_s: float = 10.0,
    ) -> None:
        self._url = url
        self._resolve = resolve
        self._notice = notice
        self._timeout_s = timeout_s
        self._busy = threading.Lock()
        self._thread: threading.Thread | None = None
        self._failing = False

    def beat(self) -> None:
        """Fetch the address in a thread of its own, unless a fetch is under way; returns at once."""
        if self._busy.acquire(blocking=False):
            self._thread = threading.Thread(target=self._run, name="ddcplay-heartbeat", daemon=True)
            self._thread.start()

    def close(self, timeout_s: float) -> None:
        """Wait for a beat under way, at most `timeout_s`."""
        if self._thread is not None:
            self._thread.join(timeout_s)

    def _run(self) -> None:
        try:
            why = self._fetch()
            if why and not self._failing:
                self._notice(f"the heartbeat fails, iterations go on: {why}")
            elif self._failing and not why:
                self._notice("the heartbeat works again")
            self._failing = bool(why)
        finally:
            self._busy.release()

    def _fetch(self) -> str:
        """Return why it failed, empty when it did not; never with any part of the address."""
        try:
            url = self._resolve(self._url)
            if urlsplit(url).scheme not in ("http", "https"):
                return "the address is no http or https URL"
            request = urllib.request.Request(url, headers={"User-Agent": "ddcplay"})  # noqa: S310 - checked above
            with self._opener().open(request, timeout=self._timeout_s) as answer:
                answer.read(1024)
        except DdcplayError as error:
            return error.message
        except urllib.error.HTTPError as error:
            with contextlib.suppress(OSError):
                error.close()
            return f"the server answered HTTP {error.code}"
        except (OSError, HTTPException, ValueError) as error:
            return _plain(error)
        return ""

    def _opener(self) -> urllib.request.OpenerDirector:
        import truststore  # noqa: PLC0415 - late: only a run with a heartbeat pays for it

        context = truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        # Proxies come from the environment, as urllib reads it.
        return urllib.request.build_opener(_SameHost, urllib.request.HTTPSHandler(context=context))


def _plain(error: Exception) -> str:
    """Name the trouble by kind: texts of URL errors may repeat the address."""
    cause = error.reason if isinstance(error, urllib.error.URLError) else error
    if isinstance(cause, ssl.SSLCertVerificationError):
        return f"the server's certificate is not trusted: {cause.verify_message}"
    if isinstance(cause, TimeoutError):
        return "no answer in time"
    if isinstance(cause, OSError) and cause.strerror:
        return cause.strerror
    return type(cause).__name__
