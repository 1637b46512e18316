"""The certificates of a stand-in: an authority of its own, a server's, and those of clients that log in with one."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier

#: The user principal name in a certificate, by which WinRM's ClientCertificate mapping knows its user.
UPN = ObjectIdentifier("1.3.6.1.4.1.311.20.2.3")
_DAYS = timedelta(days=2)


@dataclass(frozen=True)
class KeyFiles:
    certificate: Path
    key: Path


class Authority:
    """Issues certificates into a folder; `file` is what a client is told to trust."""

    def __init__(self, folder: Path, name: str = "rehost sandbox") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        key_usage = x509.KeyUsage(
            digital_signature=True,
            key_cert_sign=True,
            crl_sign=True,
            content_commitment=False,
            key_encipherment=False,
            data_encipherment=False,
            key_agreement=False,
            encipher_only=False,
            decipher_only=False,
        )
        certificate = (
            self._builder(self._name, self._key)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(key_usage, critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(self._key.public_key()), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        self.file = folder / "ca.pem"
        self.file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))

    def server(self, *names: str) -> KeyFiles:
        """For host names and addresses."""
        listed = [_general_name(name) for name in names]
        return self._issue("server", names[0], x509.SubjectAlternativeName(listed), ExtendedKeyUsageOID.SERVER_AUTH)

    def client(self, user: str) -> KeyFiles:
        """For a user principal name such as `administrator@host`."""
        encoded = user.encode()
        text = bytes([0x0C, len(encoded)]) + encoded  # DER's UTF8String, of less than 128 bytes
        listed = x509.SubjectAlternativeName([x509.OtherName(UPN, text)])
        return self._issue(f"client-{user.replace('@', '-')}", user, listed, ExtendedKeyUsageOID.CLIENT_AUTH)

    def _issue(self, file: str, subject: str, names: x509.SubjectAlternativeName, usage: ObjectIdentifier) -> KeyFiles:
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = (
            self._builder(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)]), key)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(names, critical=False)
            .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        files = KeyFiles(self._folder / f"{file}.pem", self._folder / f"{file}.key")
        files.key.touch(mode=0o600)
        files.key.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        files.certificate.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        return files

    def _builder(self, subject: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
        now = datetime.now(UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - _DAYS)
            .not_valid_after(now + _DAYS)
        )


def user_of(certificate: bytes) -> str:
    """The user principal name in a client's certificate (DER), or nothing."""
    parsed = x509.load_der_x509_certificate(certificate)
    try:
        names = parsed.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ""
    for name in names.get_values_for_type(x509.OtherName):
        if name.type_id == UPN:
            return name.value[2:].decode()
    return ""


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)
