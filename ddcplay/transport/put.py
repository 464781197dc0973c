r"""A probe's file on its way into a private directory of the target, whatever carries it there.

First the target is asked for its directory and whether it holds the content already (`certutil -hashfile`).
A file that is missing goes over SMB where that is open, else through the standard input of one remote
command: `tar.exe` (Windows 10 1803, Server 2019 and later) reads it byte for byte and needs no PowerShell;
older systems get base64 through PowerShell, which Constrained Language Mode refuses. `certutil -decode` would
work everywhere and is what security products watch for, so it is not used. A file gets its name only when its
hash is right.
"""

from __future__ import annotations

import base64
import hashlib
import io
import re
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from ddcplay.errors import FaultError
from ddcplay.model.probe_file import ProbeFile
from ddcplay.model.result import ProbeOutput, Reason
from ddcplay.transport.base import Command, Placement
from ddcplay.transport.smb import SmbAccess, send_over_smb
from ddcplay.units import Deadline

Run = Callable[[Command, Deadline], ProbeOutput]
"""Runs one remote command, as `Connection.run` does."""

_TAR = r"%SystemRoot%\System32\tar.exe"
_HASH = r'"%SystemRoot%\System32\certutil.exe" -hashfile'
# By full paths: cmd.exe looks into the current directory first, where others may be able to put a file.
_TAR_MARK = "ddcplay-tar"
_POWERSHELL = (
    'powershell.exe -NoProfile -NonInteractive -Command "'
    "$out = [IO.File]::Create([IO.Path]::Combine($PWD.ProviderPath, '{part}')); "
    "foreach ($line in $input) {{ $bytes = [Convert]::FromBase64String($line); "
    '$out.Write($bytes, 0, $bytes.Length) }}; $out.Close()"'
)
_BASE64_LINE_BYTES = 12 * 1024  # a multiple of 3, so that only the last line is padded
_HEX = re.compile(r"[0-9a-fA-F]{64}")
_PROFILE = ("%TEMP%", "%TMP%", "%LOCALAPPDATA%", "%APPDATA%", "%USERPROFILE%")
"""Below these only the account, SYSTEM and administrators may write anyway."""
_PRIVATE = (
    '"%SystemRoot%\\System32\\icacls.exe" "{home}" /inheritance:r /grant:r'
    ' "%USERDOMAIN%\\%USERNAME%:(OI)(CI)F" '
    '"*S-1-5-18:(OI)(CI)F" "*S-1-5-32-544:(OI)(CI)F" >nul'
)
_MAX_OUTPUT_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class _Found:
    """What the target said: the real directory, the digest of what it holds, and whether it has tar.exe."""

    directory: str
    digest: str
    has_tar: bool


class _PutError(Exception):
    """Carries what stands for the probe when its file cannot be brought to the target."""

    def __init__(self, output: ProbeOutput) -> None:
        self.output = output


class FileTransfer:
    """Brings one file to one target.

    Args:
        run: runs a remote command over the connection.
        smb: how to log on to the target's shares, None when there is no way.
    """

    def __init__(self, run: Run, smb: SmbAccess | None) -> None:
        self._run_command = run
        self._smb = smb
        self._round_trips = 0
        self._passed_over: list[str] = []

    def place(self, file: ProbeFile, shell: Command, deadline: Deadline) -> Placement:
        """Make sure that the target holds the file; see `Connection.put`."""
        directory, way, trouble = file.written_directory, "", None
        try:
            found = self._look(file, shell, deadline)
            directory = found.directory
            way = "there" if found.digest == file.sha256 else self._send(file, found, shell, deadline)
        except _PutError as error:
            trouble = replace(error.output, round_trips=self._round_trips)
        path = f"{directory}\\{file.remote_name}"
        return Placement(directory, path, way, tuple(self._passed_over), self._round_trips, trouble)

    def _look(self, file: ProbeFile, shell: Command, deadline: Deadline) -> _Found:
        made = f'md "{file.home}" 2>nul'
        if not file.remote_dir.upper().startswith(_PROFILE):
            private = _PRIVATE.format(home=file.home)
            made = f'(md "{file.home}" 2>nul && ({private} || rd "{file.home}"))'
        line = (
            f'cd /d "{file.remote_dir}" && ({made} & cd "{file.home}" && cd'
            f' && (if exist "{_TAR}" echo {_TAR_MARK}) & (if exist "{file.remote_name}"'
            f' {_HASH} "{file.remote_name}" SHA256))'
        )
        output = self._run(replace(shell, line=line), deadline)
        lines = [row.strip() for row in _text(output.stdout, shell).splitlines()]
        wanted = re.compile(rf'[A-Za-z]:\\[^"<>|?*%\x00-\x1f]*\\{re.escape(file.home)}', re.IGNORECASE)
        directory = next((row for row in lines if wanted.fullmatch(row)), None)
        if directory is None:
            raise _refused(f"no directory for the file below {file.remote_dir}", output, shell)
        return _Found(directory, digest_in(output.stdout), _TAR_MARK in lines)

    def _send(self, file: ProbeFile, found: _Found, shell: Command, deadline: Deadline) -> str:
        content = _read(file)
        if file.copy in ("auto", "smb") and self._over_smb(file, found, content, deadline):
            return "smb"
        for way, line, stdin in _ways(file, found, content):
            command = replace(shell, line=line, stdin=stdin)
            output = self._run(command, deadline)
            if digest_in(output.stdout) == file.sha256:
                self._rename(file, found, shell, deadline)
                return way
            self._passed_over.append(f"{way}: {_said(output, shell)}")
        raise _PutError(
            ProbeOutput(
                reason=Reason.TRANSPORT,
                detail=f"the file could not be sent: {'; '.join(self._passed_over)}",
                hint="open port 445 for `copy: smb`, or look at what the target's virus scanner says",
            )
        )

    def _over_smb(self, file: ProbeFile, found: _Found, content: bytes, deadline: Deadline) -> bool:
        names = (_part(file), file.remote_name)
        try:
            send_over_smb(self._smb, found.directory, names, content, deadline)
        except FaultError as fault:
            if file.copy == "smb" or deadline.expired():
                raise _PutError(
                    ProbeOutput(reason=Reason(fault.reason), detail=fault.message, hint=fault.hint)
                ) from fault
            self._passed_over.append(fault.message)
            return False
        return True

    def _rename(self, file: ProbeFile, found: _Found, shell: Command, deadline: Deadline) -> None:
        line = f'cd /d "{found.directory}" && move /y "{_part(file)}" "{file.remote_name}" >nul'
        output = self._run(replace(shell, line=line), deadline)
        if output.exit_code:
            raise _refused("the file arrived but cannot be renamed", output, shell)

    def _run(self, command: Command, deadline: Deadline) -> ProbeOutput:
        command = replace(command, max_output_bytes=_MAX_OUTPUT_BYTES, skip_shell=False, last=False)
        output = self._run_command(command, deadline)
        self._round_trips += output.round_trips
        if output.reason is not None:
            # The program itself was never started, so the probe may be tried again.
            detail = f"while its file was brought there: {output.detail}"
            raise _PutError(
                replace(output, stdout=b"", stderr=b"", exit_code=None, accepted=False, detail=detail)
            )
        return output


def digest_in(stdout: bytes) -> str:
    """Return the SHA-256 that `certutil -hashfile` printed, "" when there is none.

    Only the line of digits is read: the texts around it are in the target's language, and Windows 7 puts
    blanks between the bytes.
    """
    for line in stdout.decode("ascii", "replace").splitlines():
        digits = line.replace(" ", "").strip()
        if _HEX.fullmatch(digits):
            return digits.lower()
    return ""


def _ways(file: ProbeFile, found: _Found, content: bytes) -> Iterator[tuple[str, str, bytes]]:
    """Tell the ways through standard input, best first: name, command line, what is fed."""
    check = f'{_HASH} "{_part(file)}" SHA256'
    start = f'cd /d "{found.directory}" &&'
    if found.has_tar:
        yield "winrm, tar", f'{start} "{_TAR}" -xmf - && {check}', _as_tar(_part(file), content)
    powershell = _POWERSHELL.format(part=_part(file))
    yield "winrm, powershell", f"{start} {powershell} && {check}", _as_base64(content)


def _part(file: ProbeFile) -> str:
    # No program's ending: whatever is half there cannot be started by its name.
    return f"{file.sha256[:16]}.part"


def _as_tar(name: str, content: bytes) -> bytes:
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        member = tarfile.TarInfo(name)
        member.size = len(content)
        member.mode = 0o644
        archive.addfile(member, io.BytesIO(content))
    return target.getvalue()


def _as_base64(content: bytes) -> bytes:
    pieces = (content[at : at + _BASE64_LINE_BYTES] for at in range(0, len(content), _BASE64_LINE_BYTES))
    return b"".join(base64.b64encode(piece) + b"\r\n" for piece in pieces)


def _read(file: ProbeFile) -> bytes:
    try:
        content = Path(file.path).read_bytes()
    except OSError as error:
        raise _PutError(
            ProbeOutput(
                reason=Reason.TRANSPORT,
                detail=f"{file.path} cannot be read any more: {error.strerror}",
                hint="leave the files of a running experiment where they are",
            )
        ) from error
    if hashlib.sha256(content).hexdigest() != file.sha256:
        raise _PutError(
            ProbeOutput(
                reason=Reason.TRANSPORT,
                detail=f"{file.path} has changed since the plan was made; it was not sent",
                hint="start the run again to use the new file",
            )
        )
    return content


def _refused(what: str, output: ProbeOutput, shell: Command) -> _PutError:
    return _PutError(
        ProbeOutput(
            reason=Reason.TRANSPORT,
            detail=f"{what}: {_said(output, shell)}",
            hint="check `remote_dir` and the account's rights there",
        )
    )


def _said(output: ProbeOutput, shell: Command) -> str:
    """Return the first line a command said about its trouble."""
    lines = _text(output.stderr or output.stdout, shell).strip().splitlines()
    return lines[0][:200] if lines else f"exit code {output.exit_code}, and no digest"


def _text(raw: bytes, shell: Command) -> str:
    codec = "utf-8" if shell.codepage == 65001 else f"cp{shell.codepage}"
    return raw.decode(codec, "replace")
