"""Pushes and heartbeats against a local HTTP server: delivered, and never an address in a text."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from ddcplay.errors import SecretError
from ddcplay.model.inventory import SecretRef
from ddcplay.notify.heartbeat import Heartbeat
from ddcplay.notify.message import compose_push
from ddcplay.notify.push import PushSender

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # those of Apprise's hundred plug-ins

TOKEN = "tok3n-hunter22"


@dataclass
class Web:
    port: int = 0
    status: int = 200
    location: str = ""
    asked: list[str] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)


@pytest.fixture
def web(monkeypatch: pytest.MonkeyPatch) -> Iterator[Web]:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    found = Web()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found.asked.append(self.path)
            found.bodies.append(self.rfile.read(int(self.headers.get("Content-Length", 0))))
            self.send_response(found.status if self.path.endswith(TOKEN) else 200)
            if found.location:
                self.send_header("Location", found.location)
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_POST = do_GET  # noqa: N815 - the standard library's name

        def log_message(self, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    found.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield found
    server.shutdown()
    thread.join()
    server.server_close()


def push(target: str = "alerts/0") -> Any:
    return compose_push(target, "3 PCs low_disk", "pc1\npc2", message_id="<1>", at=1.0)


def test_a_push_arrives_through_apprise(web: Web) -> None:
    address = SecretRef("plain", f"json://127.0.0.1:{web.port}/{TOKEN}")
    [delivery] = PushSender({"alerts/0": address}, lambda ref: ref.value).send([push()])
    assert delivery.done
    body = json.loads(web.bodies[0])
    assert (body["title"], body["message"]) == ("3 PCs low_disk", "pc1\npc2")


@pytest.mark.parametrize("kind", ["refused", "closed", "nonsense", "unknown", "unresolved"])
def test_no_part_of_an_address_is_in_an_error_or_a_log(
    web: Web, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    web.status = 403
    url = {"closed": f"json://127.0.0.1:9/{TOKEN}", "nonsense": f"nosuch://{TOKEN}"}.get(
        kind, f"json://127.0.0.1:{web.port}/{TOKEN}"
    )

    def resolve(ref: SecretRef) -> str:
        if kind == "unresolved":
            raise SecretError("secret env:PUSH: environment variable PUSH is not set")
        return ref.value

    addresses = {} if kind == "unknown" else {"alerts/0": SecretRef("plain", url)}
    [delivery] = PushSender(addresses, resolve).send([push()])
    words = {
        "refused": "the service answered HTTP 403",
        "closed": "the service did not take the message",
        "nonsense": "none that Apprise knows",
        "unknown": "the playbook has no address at alerts/0 any more",
        "unresolved": "variable PUSH is not set",
    }
    assert words[kind] in delivery.error
    assert TOKEN not in delivery.error + delivery.hint + caplog.text


def test_a_target_that_fails_is_not_asked_again_in_the_same_pass(web: Web) -> None:
    web.status = 500
    bad, good = (SecretRef("plain", f"json://127.0.0.1:{web.port}/{end}") for end in (TOKEN, "fine"))
    sender = PushSender({"bad": bad, "good": good}, lambda ref: ref.value)
    fates = [
        (fate.message.target, fate.done) for fate in sender.send([push("bad"), push("bad"), push("good")])
    ]
    assert fates == [("bad", False), ("good", True)]


def beat(heartbeat: Heartbeat) -> None:
    heartbeat.beat()
    heartbeat.close(10)


def test_a_heartbeat_fetches_its_address(web: Web) -> None:
    told: list[str] = []
    beat(
        Heartbeat(
            SecretRef("plain", f"http://127.0.0.1:{web.port}/{TOKEN}"), lambda ref: ref.value, told.append
        )
    )
    assert web.asked == [f"/{TOKEN}"]
    assert told == []


def test_an_outage_of_the_heartbeat_is_told_once_and_its_end_too(web: Web) -> None:
    told: list[str] = []
    url = SecretRef("plain", f"http://127.0.0.1:{web.port}/{TOKEN}")
    heartbeat = Heartbeat(url, lambda ref: ref.value, told.append)
    for status in (500, 502, 200, 200):
        web.status = status
        beat(heartbeat)
    assert told == [
        "the heartbeat fails, iterations go on: the server answered HTTP 500",
        "the heartbeat works again",
    ]


@pytest.mark.parametrize(
    ("url", "words"),
    [
        (f"http://127.0.0.1:9/{TOKEN}", "Connection refused"),
        (f"file:///{TOKEN}", "no http or https URL"),
        (f"http://127.0.0.1:x/{TOKEN}", ""),
        (f"http://[{TOKEN}", ""),
    ],
)
def test_a_heartbeat_that_cannot_be_fetched_tells_why_without_its_address(url: str, words: str) -> None:
    told: list[str] = []
    beat(Heartbeat(SecretRef("plain", url), lambda ref: ref.value, told.append))
    assert len(told) == 1
    assert words in told[0]
    assert TOKEN not in told[0]


def test_a_redirect_to_another_host_is_not_followed(web: Web) -> None:
    told: list[str] = []
    url = SecretRef("plain", f"http://127.0.0.1:{web.port}/{TOKEN}")
    heartbeat = Heartbeat(url, lambda ref: ref.value, told.append)
    web.status, web.location = 302, f"http://localhost:{web.port}/elsewhere"
    beat(heartbeat)
    assert web.asked == [f"/{TOKEN}"]
    assert told == ["the heartbeat fails, iterations go on: it redirects to another server"]
    web.location = f"http://127.0.0.1:{web.port}/here"
    beat(heartbeat)
    assert web.asked[-1] == "/here"
