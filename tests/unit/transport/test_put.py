"""How a file is brought to a target: what is asked, which way is taken, and what is never done."""

from __future__ import annotations

import base64
import hashlib
import io
import re
import tarfile
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ddcplay.model.probe_file import ProbeFile, safe_name
from ddcplay.model.result import ProbeOutput, Reason
from ddcplay.transport.base import Command
from ddcplay.transport.put import FileTransfer, digest_in
from ddcplay.units import Deadline, SystemClock

HOME = "ddcplay-0123456789ab"
DIRECTORY = rf"C:\Users\R&D (x)\AppData\Local\Temp\{HOME}"


@dataclass
class Target:
    """Answers the lines of a transfer; keeps what it was asked and fed."""

    holds: bytes | None = None
    has_tar: bool = True
    tar_works: bool = True
    powershell_works: bool = True
    says: str = ""
    lines: list[str] = field(default_factory=list)
    arrived: bytes = b""

    def run(self, command: Command, deadline: Deadline) -> ProbeOutput:
        self.lines.append(command.line)
        if "tar.exe" in command.line and "-xmf" in command.line:
            if self.tar_works:
                with tarfile.open(fileobj=io.BytesIO(command.stdin)) as archive:
                    self.arrived = archive.extractfile(archive.getmembers()[0]).read()
                return self._hash(self.arrived)
            return ProbeOutput(exit_code=1, stderr=b"tar.exe: blocked\r\n", round_trips=3)
        if "FromBase64String" in command.line:
            if self.powershell_works:
                self.arrived = base64.b64decode(command.stdin.replace(b"\r\n", b""))
                return self._hash(self.arrived)
            return ProbeOutput(exit_code=1, stderr=b"Cannot invoke method.\r\n", round_trips=3)
        if "move /y" in command.line:
            return ProbeOutput(exit_code=0, round_trips=3)
        text = self.says or f"{DIRECTORY}\r\n" + ("ddcplay-tar\r\n" if self.has_tar else "")
        held = self._hash(self.holds).stdout if self.holds is not None else b""
        return ProbeOutput(exit_code=0, stdout=text.encode() + held, round_trips=3)

    def _hash(self, content: bytes) -> ProbeOutput:
        digits = hashlib.sha256(content).hexdigest()
        return ProbeOutput(
            exit_code=0, stdout=f"SHA256 von x:\r\n{digits}\r\nCertUtil: ok\r\n".encode(), round_trips=4
        )


@pytest.fixture
def content():
    return b"MZ" + bytes(range(256)) * 300


@pytest.fixture
def file(tmp_path, content):
    path = tmp_path / "bench.exe"
    path.write_bytes(content)
    return ProbeFile(str(path), hashlib.sha256(content).hexdigest(), len(content), HOME, copy="winrm")


def place(target: Target, file: ProbeFile):
    return FileTransfer(target.run, None).place(file, Command(""), Deadline.after(SystemClock(), 5))


def test_a_file_goes_through_tar_and_gets_its_name_after_its_hash_was_right(file, content):
    target = Target()
    placement = place(target, file)
    assert (placement.way, placement.trouble, placement.directory) == ("winrm, tar", None, DIRECTORY)
    assert target.arrived == content
    assert [word in target.lines[2] for word in ("move /y", ".part", file.remote_name)] == [True] * 3
    assert placement.round_trips == 3 + 4 + 3


def test_what_the_target_holds_is_not_sent_again(file, content):
    target = Target(holds=content)
    assert place(target, file).way == "there"
    assert len(target.lines) == 1


def test_another_content_under_the_name_is_sent_over(file):
    assert place(Target(holds=b"MZ other"), file).way == "winrm, tar"


@pytest.mark.parametrize("target", [Target(has_tar=False), Target(tar_works=False)])
def test_powershell_is_the_second_way(target, file, content):
    assert place(target, file).way == "winrm, powershell"
    assert target.arrived == content


def test_a_file_that_arrives_changed_is_never_renamed(file):
    target = Target(tar_works=False, powershell_works=False)
    placement = place(target, file)
    assert placement.trouble.reason is Reason.TRANSPORT
    assert "tar.exe: blocked" in placement.trouble.detail
    assert "Cannot invoke method." in placement.trouble.detail
    assert not placement.trouble.accepted, "the program never ran, so the probe may be tried again"
    assert not any("move" in line for line in target.lines)
    assert placement.directory == DIRECTORY, "it may hold a part, so it has to be removed"


@pytest.mark.parametrize(
    "says",
    [
        "",
        "\r\n",
        "C:\\\r\n",
        "C:\\Windows\r\n",
        f'C:\\a"b\\{HOME}\r\n',
        f"C:\\%x%\\{HOME}\r\n",
        f"\\\\h\\s\\{HOME}\r\n",
    ],
)
def test_an_answer_that_is_no_directory_of_ours_is_not_used_in_a_command(says, file):
    target = Target(says=says or "nothing")
    placement = place(target, file)
    assert placement.trouble.reason is Reason.TRANSPORT
    assert placement.directory == rf"%TEMP%\{HOME}"
    assert len(target.lines) == 1


def test_a_file_that_changed_since_the_plan_is_not_sent(file, tmp_path):
    (tmp_path / "bench.exe").write_bytes(b"MZ changed")
    target = Target()
    assert "has changed" in place(target, file).trouble.detail
    assert len(target.lines) == 1


def test_a_directory_outside_the_profile_is_made_private(tmp_path, content, file):
    target = Target(says=f"C:\\probes\\{HOME}\r\n")
    place(target, ProbeFile(file.path, file.sha256, file.size, HOME, "winrm", "visit", r"C:\probes"))
    assert "icacls" in target.lines[0]
    assert "/inheritance:r" in target.lines[0]


def test_smb_alone_is_a_fault_where_it_cannot_log_on(file):
    target = Target()
    placement = place(target, ProbeFile(file.path, file.sha256, file.size, HOME, "smb"))
    assert "SMB cannot log on" in placement.trouble.detail
    assert len(target.lines) == 1


def test_auto_goes_on_with_winrm_where_smb_cannot_log_on(file):
    placement = place(Target(), ProbeFile(file.path, file.sha256, file.size, HOME, "auto"))
    assert placement.way == "winrm, tar"
    assert any("SMB" in why for why in placement.passed_over)


@given(st.binary(min_size=32, max_size=32), st.booleans(), st.text(max_size=30), st.text(max_size=30))
def test_a_digest_is_found_between_texts_of_any_language(raw, blanks, before, after):
    digits = raw.hex(" ") if blanks else raw.hex()
    lines = [
        before.replace("\n", " ").replace("\r", " "),
        digits,
        after.replace("\n", " ").replace("\r", " "),
    ]
    said = "\r\n".join(lines).encode("utf-8", "replace")
    assert digest_in(said) == raw.hex() or re.fullmatch(r"[0-9a-fA-F ]{64,}", before)


def test_no_digest_is_found_where_certutil_failed():
    assert digest_in(b"CertUtil: -hashfile command FAILED: 0x80070002\r\n") == ""
    assert digest_in(b"") == ""


@given(st.text(min_size=1, max_size=300))
def test_a_remote_name_is_safe_whatever_the_local_one_is(name):
    assert re.fullmatch(r"[A-Za-z0-9._-]{1,60}", safe_name(name))


@given(
    st.from_regex(r"[A-Za-z0-9_-]{1,40}", fullmatch=True),
    st.sampled_from(["exe", "ps1", "cmd", "bat", "COM"]),
)
def test_a_plain_name_and_its_ending_are_kept(stem, ending):
    assert safe_name(f"tools/{stem}.{ending}") == f"{stem}.{ending}"
