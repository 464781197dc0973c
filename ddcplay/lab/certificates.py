"""A throw-away certificate authority, a server certificate for the whole lab, and a client certificate."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from ddcplay.errors import DdcplayError

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey


@dataclass(frozen=True, slots=True)
class Certificates:
    """Where the files are (PEM), and the server's certificate as bytes (DER)."""

    ca: Path
    server: Path
    client: Path
    client_key: Path
    server_der: bytes


def make_certificates(
    directory: Path, names: Iterable[str], addresses: Iterable[str], user: str
) -> Certificates:
    """Make a CA, a server certificate for names and addresses, and a client certificate for `user`.

    Raises:
        DdcplayError: the package `cryptography` is not installed.
    """
    try:
        from cryptography import x509  # noqa: PLC0415 - an extra; only a lab with HTTPS needs it
        from cryptography.hazmat.primitives import serialization  # noqa: PLC0415 - same
        from cryptography.hazmat.primitives.asymmetric import ec  # noqa: PLC0415 - same
    except ImportError as error:
        raise DdcplayError(
            "the lab cannot make certificates: the package cryptography is missing",
            "install it with `pip install cryptography`, or leave https out of the lab",
        ) from error
    ca_key, server_key, client_key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(3))
    ca = _certificate("ddcplay lab CA", ca_key, None, (x509.BasicConstraints(ca=True, path_length=0),))
    alternatives: list[x509.GeneralName] = [x509.DNSName(name) for name in names]
    alternatives += [x509.IPAddress(ipaddress.ip_address(address)) for address in addresses]
    server = _certificate(
        "ddcplay lab", server_key, (ca, ca_key), (x509.SubjectAlternativeName(alternatives),)
    )
    client = _certificate(
        user, client_key, (ca, ca_key), (x509.SubjectAlternativeName([x509.DNSName(user)]),)
    )

    def pem(certificate: x509.Certificate) -> bytes:
        return certificate.public_bytes(serialization.Encoding.PEM)

    def key_pem(key: EllipticCurvePrivateKey) -> bytes:
        plain = serialization.NoEncryption()
        return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)

    found = Certificates(
        directory / "ca.pem",
        directory / "server.pem",
        directory / "client.pem",
        directory / "client.key",
        server.public_bytes(serialization.Encoding.DER),
    )
    found.ca.write_bytes(pem(ca))
    found.server.write_bytes(key_pem(server_key) + pem(server))
    found.client.write_bytes(pem(client))
    found.client_key.write_bytes(key_pem(client_key))
    return found


def _certificate(
    name: str,
    key: EllipticCurvePrivateKey,
    issuer: tuple[x509.Certificate, EllipticCurvePrivateKey] | None,
    extensions: tuple[x509.ExtensionType, ...],
) -> x509.Certificate:
    from cryptography import x509  # noqa: PLC0415 - the caller has checked that it is there
    from cryptography.hazmat.primitives import hashes  # noqa: PLC0415 - same

    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    signer = issuer[1] if issuer else key
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer[0].subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=30))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False
        )
    )
    if issuer is None:
        usage = x509.KeyUsage(
            digital_signature=True,
            content_commitment=False,
            key_encipherment=False,
            data_encipherment=False,
            key_agreement=False,
            key_cert_sign=True,
            crl_sign=True,
            encipher_only=False,
            decipher_only=False,
        )
        builder = builder.add_extension(usage, critical=True)
    for extension in extensions:
        critical = isinstance(extension, x509.BasicConstraints)
        builder = builder.add_extension(extension, critical=critical)
    return builder.sign(signer, hashes.SHA256())
