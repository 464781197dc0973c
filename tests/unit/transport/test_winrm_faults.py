"""The border: whatever the libraries below raise leaves as a `FaultError`, in one line, without secrets."""

from __future__ import annotations

import binascii
import http.client
import inspect
import pickle
import ssl
import struct

import pytest
import requests.exceptions
import spnego.exceptions
import urllib3.exceptions
import winrm.exceptions
from lxml import etree

from ddcplay.errors import FaultError
from ddcplay.transport.winrm_faults import (
    ConnectionCutError,
    MuteError,
    StaleConnectionError,
    status_fault,
    translated,
)

SECRET = "Sesame-4711-geheim"


class KerberosExchangeError(Exception):
    """pywinrm's, by name: its module needs pykerberos."""


def raised(module: object) -> list[type[Exception]]:
    return [
        found
        for _, found in inspect.getmembers(module, inspect.isclass)
        if issubclass(found, Exception)
        and not issubclass(found, Warning)
        and found.__module__ == module.__name__  # type: ignore[attr-defined]
    ]


OURS_TO_MAP = [
    *raised(requests.exceptions),
    *raised(urllib3.exceptions),
    *raised(winrm.exceptions),
    *raised(spnego.exceptions),
    *raised(http.client),
    KerberosExchangeError,
    ssl.SSLError,
    ssl.SSLCertVerificationError,
    etree.XMLSyntaxError,
    binascii.Error,
    struct.error,
    StopIteration,
    KeyError,
    IndexError,
    AttributeError,
    AssertionError,
    ValueError,
    UnicodeError,
    TypeError,
    PermissionError,
    ConnectionResetError,
    ConnectionRefusedError,
    BrokenPipeError,
    TimeoutError,
    OSError,
    EOFError,
    RuntimeError,
]


@pytest.mark.parametrize("kind", OURS_TO_MAP, ids=lambda kind: f"{kind.__module__}.{kind.__name__}")
def test_every_foreign_error_becomes_ours(kind: type[Exception]) -> None:
    error = kind.__new__(kind) if not issubclass(kind, etree.LxmlError) else kind("x", 1, 2, 3)
    error.args = (f"http://lab:{SECRET}@pc/ \n refused",)
    with pytest.raises(FaultError) as caught, translated("Receive"):
        raise error
    fault = caught.value
    assert fault.reason in ("transport", "auth", "timeout")
    assert len(fault.message) <= 300
    assert fault.message.isprintable()
    assert fault.hint
    if kind is not KerberosExchangeError:
        assert SECRET not in str(fault)


@pytest.mark.parametrize(
    ("error", "kind", "reason"),
    [
        (requests.exceptions.ReadTimeout("x"), MuteError, "timeout"),
        (requests.exceptions.ConnectTimeout("x"), MuteError, "timeout"),
        (requests.exceptions.ConnectionError("x"), ConnectionCutError, "transport"),
        (urllib3.exceptions.ProtocolError("x"), ConnectionCutError, "transport"),
        (ConnectionResetError("x"), ConnectionCutError, "transport"),
        (winrm.exceptions.InvalidCredentialsError("x"), FaultError, "auth"),
        (winrm.exceptions.WinRMTransportError("http", 500, "x"), FaultError, "transport"),
        (KerberosExchangeError("Server not found in Kerberos database"), FaultError, "auth"),
        (PermissionError("no challenge"), FaultError, "auth"),
    ],
)
def test_the_kinds_that_matter_are_told_apart(error: Exception, kind: type[FaultError], reason: str) -> None:
    with pytest.raises(kind) as caught, translated("Receive"):
        raise error
    assert caught.value.reason == reason
    assert caught.value.__cause__ is error


def test_our_own_errors_pass_unchanged() -> None:
    error = StaleConnectionError()
    with pytest.raises(StaleConnectionError) as caught, translated("x"):
        raise error
    assert caught.value is error


def test_an_interrupt_is_not_swallowed() -> None:
    with pytest.raises(KeyboardInterrupt), translated("x"):
        raise KeyboardInterrupt


def test_faults_survive_pickling() -> None:
    for fault in (
        MuteError("x"),
        StaleConnectionError(),
        ConnectionCutError("x"),
        status_fault(503, "Create"),
    ):
        copy = pickle.loads(pickle.dumps(fault))
        assert (copy.reason, copy.message, copy.hint, copy.retryable) == (
            fault.reason,
            fault.message,
            fault.hint,
            fault.retryable,
        )


def test_a_busy_service_may_be_asked_again_a_refusal_never() -> None:
    assert status_fault(503, "Create").retryable
    assert not status_fault(401, "Create").retryable
