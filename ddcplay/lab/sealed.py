"""Message encryption of WinRM over plain HTTP: the MIME form around sealed bytes (MS-WSMV 2.2.9.1)."""

from __future__ import annotations

import re
import struct

import spnego

_BOUNDARY = b"--Encrypted Boundary"
_PROTOCOL = re.compile(r'protocol="([^"]+)"')
_LENGTH = re.compile(rb"Length=(\d+)")


class CannotOpenError(Exception):
    """The body is not sealed for this connection."""


def protocol_of(content_type: str) -> str | None:
    """Return the protocol string of a sealed body's content type, None for a clear one."""
    if not content_type.lower().startswith("multipart/encrypted"):
        return None
    match = _PROTOCOL.search(content_type)
    return match[1] if match else None


def content_type(protocol: str) -> str:
    """Return the content type of a sealed body."""
    return f'multipart/encrypted;protocol="{protocol}";boundary="Encrypted Boundary"'


def unseal(context: spnego.ContextProxy, body: bytes) -> bytes:
    """Open a sealed body; forms with and without the TAB are taken.

    Raises:
        CannotOpenError: malformed, or sealed in another context or order.
    """
    body = body.replace(b"-- Encrypted Boundary", _BOUNDARY)
    head, mark, rest = body.partition(b"application/octet-stream\r\n")
    length = _LENGTH.search(head)
    end = rest.rfind(_BOUNDARY + b"--")
    if not mark or length is None or end < 4:
        raise CannotOpenError("not the form of a sealed body")
    (header_size,) = struct.unpack_from("<I", rest)
    if not 0 < header_size <= end - 4:
        raise CannotOpenError("impossible signature length")
    try:
        plain = context.unwrap_winrm(rest[4 : 4 + header_size], rest[4 + header_size : end])
    except Exception as error:  # bad signature, wrong sequence, no session key: all mean the same to the peer
        raise CannotOpenError(str(error)) from error
    if len(plain) != int(length[1]):
        raise CannotOpenError("the length does not match")
    return plain


def seal(context: spnego.ContextProxy, plain: bytes, protocol: str) -> bytes:
    """Seal an answer, with the TAB that pywinrm and pypsrp insist on."""
    wrapped = context.wrap_winrm(plain)
    length = len(plain) + wrapped.padding_length
    return b"".join(
        (
            _BOUNDARY,
            f"\r\n\tContent-Type: {protocol}\r\n".encode(),
            f"\tOriginalContent: type=application/soap+xml;charset=UTF-8;Length={length}\r\n".encode(),
            _BOUNDARY,
            b"\r\n\tContent-Type: application/octet-stream\r\n",
            struct.pack("<I", len(wrapped.header)),
            wrapped.header,
            wrapped.data,
            _BOUNDARY,
            b"--\r\n",
        )
    )
