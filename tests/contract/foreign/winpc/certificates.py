"""Certificates for the HTTPS dialects, made fresh in a directory."""

from __future__ import annotations

import datetime as dt
import ipaddress
import ssl
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

_NOW = dt.datetime.now(tz=dt.UTC)


def _make(folder: Path, kind: str, address: str) -> ssl.SSLContext:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, kind)])
    until = _NOW + dt.timedelta(days=-1 if kind == "expired" else 2)
    names: list[x509.GeneralName] = [
        x509.IPAddress(ipaddress.ip_address("127.0.0.1")),
        x509.DNSName("localhost"),
    ]
    names.append(x509.IPAddress(ipaddress.ip_address("::1")))
    names.append(x509.IPAddress(ipaddress.ip_address(address)))
    if kind == "name":
        names = [x509.DNSName("other.example")]
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(_NOW - dt.timedelta(days=3))
        .not_valid_after(until)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = folder / f"{kind}.pem"
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + made.public_bytes(serialization.Encoding.PEM)
    )
    (folder / f"{kind}.crt").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    return context


def contexts(folder: Path, address: str) -> dict[str, ssl.SSLContext]:
    """Make one of each kind; clients are given all but `stranger` as authorities (`trusted.crt`)."""
    made = {kind: _make(folder, kind, address) for kind in ("good", "name", "expired", "stranger")}
    trusted = b"".join((folder / f"{kind}.crt").read_bytes() for kind in ("good", "name", "expired"))
    (folder / "trusted.crt").write_bytes(trusted)
    return made
