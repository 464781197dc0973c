"""`ddcplay run` as a program, and everybody it tells: mail, pushes, heartbeat, reports, terminal."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from ddcplay.lab.blueprint import LabConfig, LabHost
from ddcplay.store.trace import parse_line

pytestmark = [pytest.mark.lab, pytest.mark.slow]

SETTINGS = """\
heartbeat: plain:{web}/beat/s3cret-of-the-heart
smtp:
  host: localhost
  port: {port}
  from: Data <ddcplay@example.edu>
  username: ddcplay
  password: env:MAIL_PASSWORD
  ca_trust_path: {ca}
"""

PLAYBOOK = """\
- name: People
  hosts: all
  experiment: people
  ping: {method: tcp}
  late_sweep: false
  schedule: {every: EVERY, min_gap: 0.1s}
  probes:
    - name: clock
      command: "echo %TIME%"
      filters:
        - alert:
            name: too_late
            when: "record.stdout != ''"
            severity: critical
            message: "{{ host.name }}: {{ record.stdout }}"
    - name: fails
      command: "echo no such disk & exit 3"
      filters:
        - email:
            subject: "{{ host.name }} fails"
            text: "{{ record.reason }}: {{ record.stdout }}"
            immediate: true
            attach: [stdout]
          on: [failed]
        - email: "never said: it did not end well"
    - name: push
      command: hostname
      filters:
        - notify:
            url: env:PUSH_URL
            title: "{{ host.name }}"
            text: "it is {{ record.stdout }}"
  alerts:
    email: {to: [it@example.edu], attach: [trace]}
    repeat_interval: REPEAT
  report:
    every: 2s
    file: report.html
    email: {to: [head@example.edu], attach: [trace, report]}
"""


class Web:
    """A web server that writes down who asked for what."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []
        asked = self.asked

        class Handler(BaseHTTPRequestHandler):
            def answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                asked.append((self.path, body.decode()))
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            do_GET = do_POST = answer  # noqa: N815 - http.server finds them by these names

            def log_message(self, *words: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def of(self, path):
        return [body for found, body in self.asked if found.startswith(path)]


class People:
    """A project directory, and the program run in it."""

    def __init__(self, path, lab, mail, web) -> None:
        self.path, self.mail, self.web = path, mail, web
        secrets = {"MAIL_PASSWORD": "mail-Passw0rd", "PUSH_URL": f"json://{web.address}/push/t0ken"}
        self.environment = {**os.environ, **secrets}
        (path / "lab.yml").write_text(lab.inventory_yaml())
        settings = SETTINGS.format(web=f"http://{web.address}", port=mail.port, ca=mail.ca)
        (path / "ddcplay.yml").write_text(settings)
        self.data = path / "data" / "people"
        self.log = path / "log.txt"
        self.running = None

    def start(self, *arguments, every="1s", repeat="never"):
        (self.path / "people.yml").write_text(PLAYBOOK.replace("REPEAT", repeat).replace("EVERY", every))
        line = [sys.executable, "-m", "ddcplay", "run", "people.yml", "-i", "lab.yml", *arguments]
        with self.log.open("a") as log:
            self.running = subprocess.Popen(line, cwd=self.path, stdout=log, stderr=log, env=self.environment)
        return self.running

    def run(self, *arguments, **more):
        return self.start(*arguments, **more).wait(timeout=60)

    def say(self, *arguments):
        line = [sys.executable, "-m", "ddcplay", *arguments]
        done = subprocess.run(
            line, cwd=self.path, capture_output=True, text=True, timeout=60, check=False, env=self.environment
        )
        return done.returncode, done.stdout + done.stderr

    def lines(self, *words):
        return [line for line in self.log.read_text().splitlines() if all(word in line for word in words)]

    def mails_to(self, address):
        return [mail for mail in self.mail.messages() if mail["To"] == address]


@pytest.fixture
def people(tmp_path, lab_factory, smtp_server):
    lab = lab_factory(LabConfig((LabHost("pc1", ("lab01",)), LabHost("pc2", ("lab01",)))))
    mail = smtp_server(tls="starttls", user="ddcplay", password="mail-Passw0rd")
    web = Web()
    made = People(tmp_path, lab, mail, web)
    yield made
    if made.running is not None:
        made.running.kill()
        made.running.wait()
    web.server.shutdown()
    web.server.server_close()
    lab.stop()


def wait_for(condition):
    until = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < until, "it never happened"
        time.sleep(0.05)


def test_a_run_tells_everybody_what_is_theirs(people):
    code = people.run("--iterations", "5", "--fail-on", "failed>100%", every="2s")
    assert code == 0, people.log.read_text()
    # What came of each probe is told by the trace; the first pass may run out of its two seconds.
    trace = {
        probe: [parse_line(line) for line in (people.data / f"{probe}.trace").read_text().splitlines()]
        for probe in ("clock", "fails", "push")
    }
    assert len(trace["clock"]) == 5
    assert sum(line.ok for line in trace["clock"]) >= 6

    # One sign of life per iteration; one push per attempt that went well.
    assert len(people.web.of("/beat/s3cret-of-the-heart")) == 5
    pushes = [json.loads(body) for body in people.web.of("/push/t0ken")]
    pushed = [name for line in trace["push"] for name in line.ok_names]
    assert sorted((each["title"], each["message"]) for each in pushes) == sorted(
        (name, f"it is {name.upper()}") for name in pushed
    )

    # The digest: one, with the trace up to it; an immediate mail per failure, with the output.
    to_it = people.mails_to("it@example.edu")
    digests = [mail for mail in to_it if "too_late" in mail["Subject"]]
    assert 1 <= len(digests) <= 2, "both PCs at once, or the one that ran out of time later"
    attached = {part.get_filename(): part.get_content() for part in digests[0].iter_attachments()}
    assert set(attached) == {"clock.trace", "fails.trace", "push.trace"}
    assert len({lines.count("\n") for lines in attached.values()}) == 1
    assert attached["clock.trace"].splitlines()[0].startswith(f"{trace['clock'][0].iteration}|")
    failures = [mail for mail in to_it if "fails" in mail["Subject"]]
    failed = [name for line in trace["fails"] for name in line.failed_names]
    assert sorted(mail["Subject"] for mail in failures) == sorted(f"[people] {name} fails" for name in failed)
    assert "exit_code: no such disk" in failures[-1].get_body(("plain",)).get_content()
    assert next(failures[-1].iter_attachments()).get_content().split() == ["no", "such", "disk"]
    assert len(to_it) == len(digests) + len(failures)

    # Reports: each says what the trace attached to it says, and together they tell each line once.
    reports = people.mails_to("head@example.edu")
    assert len(reports) >= 2
    told = []
    for mail in reports:
        parts = {part.get_filename(): part.get_content() for part in mail.iter_attachments()}
        lines = {
            probe: [parse_line(line) for line in parts[f"{probe}.trace"].splitlines()] for probe in trace
        }
        told += [line.iteration for line in lines["clock"]]
        visits = 2 * len(lines["clock"])
        collected = {
            (line.iteration, name) for each in lines.values() for line in each for name in line.ok_names
        }
        text = " ".join(mail.get_body(("plain",)).get_content().split())
        passes = len(lines["clock"])
        assert f"people: {passes} iteration{'s' * (passes > 1)} over 2 hosts." in text
        assert f"of {visits} visits and collected in {100 * len(collected) / visits:.1f} %" in text
        for probe, each in lines.items():
            ok, failed = sum(line.ok for line in each), sum(line.failed for line in each)
            assert f"{probe} {ok} {failed} 0 0 {100 * ok / visits:.1f}" in text
        assert parts["report.html"].startswith("<!DOCTYPE html>")
    assert told == [line.iteration for line in trace["clock"]][: len(told)]
    assert (people.data / "report.html").read_text().startswith("<!DOCTYPE html>")

    # Nobody hears a secret.
    heard = people.log.read_text() + "".join(mail.as_string() for mail in people.mail.messages())
    for secret in ("s3cret-of-the-heart", "t0ken", "mail-Passw0rd"):
        assert secret not in heard
        assert secret.encode() not in (people.data / "experiment.db").read_bytes()

    # What is asked by hand tells nobody.
    told_before = (len(people.web.asked), len(people.mail.messages()))
    code, said = people.say("probe", "all", "-c", "hostname", "-i", "lab.yml")
    assert (code, "PC1" in said) == (0, True), said
    assert (len(people.web.asked), len(people.mail.messages())) == told_before


def test_the_exit_code_speaks_of_alerts_when_it_is_asked_to(people):
    assert people.run("--once", "--fail-on", "alert=critical", every="30s") == 5
    assert people.run("--once", "--fail-on", "alert=info", every="30s") == 5, "critical is worse than info"
    assert people.run("--once", "--fail-on", "failed>100%", every="30s") == 0
    assert len(people.lines("alert too_late fired on pc1")) == 1, "it fires on, and that is no news"


def test_alerts_are_listed_taken_and_silenced_while_the_run_goes_on(people):
    people.start("--fail-on", "failed>100%", repeat="1s")
    wait_for(lambda: people.lines("too_late fired on pc2") and people.lines("too_late fired on pc1"))
    code, said = people.say("alerts", "list", "--json")
    assert code == 0
    listed = json.loads(said)
    assert {(each["name"], each["host"], each["severity"]) for each in listed} == {
        ("too_late", "pc1", "critical"),
        ("too_late", "pc2", "critical"),
    }
    wait_for(lambda: people.lines("too_late repeated on pc1") and people.lines("too_late repeated on pc2"))
    code, said = people.say("alerts", "ack", "too_late", "--host", "pc1")
    assert code == 0, said
    code, said = people.say("alerts", "silence", "host=pc2", "--for", "1h", "--comment", "new disks")
    assert code == 0, said
    settled = len(people.lines("closed:")) + 2  # it is heard of when an iteration ends
    wait_for(lambda: len(people.lines("closed:")) >= settled)
    before = len(people.lines("too_late repeated"))
    wait_for(lambda: len(people.lines("closed:")) >= settled + 3)
    assert len(people.lines("too_late repeated")) == before
    code, said = people.say("alerts", "list", "--all")
    assert code == 0
    assert "new disks" in said
    people.running.send_signal(signal.SIGTERM)
    assert people.running.wait(timeout=30) == 0
