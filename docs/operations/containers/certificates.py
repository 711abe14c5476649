"""Create a certificate authority, and certificates for the database and the proxy, in a folder.

Existing files stay. The keys are readable for root and, the database's, for the user of the image
`postgres` (999); the certificates for everybody.
"""

import os
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

POSTGRES = 999
TEN_YEARS = timedelta(days=3650)


def certificate(
    subject: str,
    key: ec.EllipticCurvePrivateKey,
    issuer: str,
    signed_by: ec.EllipticCurvePrivateKey,
) -> bytes:
    """Return a certificate for this key, in PEM; an authority signs itself."""
    is_authority = subject == issuer
    now = datetime.now(UTC)
    names = [x509.DNSName(subject), x509.DNSName("localhost")]
    builder = (
        x509.CertificateBuilder()
        .subject_name(name(subject))
        .issuer_name(name(issuer))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + TEN_YEARS)
        .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
    )
    usage = x509.KeyUsage(
        digital_signature=not is_authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=is_authority,
        crl_sign=is_authority,
        encipher_only=False,
        decipher_only=False,
    )
    ours, theirs = (
        x509.SubjectKeyIdentifier.from_public_key(each.public_key()) for each in (key, signed_by)
    )
    issued_by = x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(theirs)
    builder = builder.add_extension(usage, critical=True)
    builder = builder.add_extension(ours, critical=False).add_extension(issued_by, critical=False)
    if not is_authority:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    made = builder.sign(signed_by, hashes.SHA256())
    return made.public_bytes(serialization.Encoding.PEM)


def name(text: str) -> x509.Name:
    """Return a distinguished name that consists of a common name."""
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, text)])


def main(directory: Path) -> None:
    """Create what is missing."""
    if (directory / "proxy.pem").exists():
        return
    authority = ec.generate_private_key(ec.SECP256R1())
    ca = certificate("tasks-api CA", authority, "tasks-api CA", authority)
    (directory / "ca.pem").write_bytes(ca)
    for subject in ("database", "proxy"):
        key = ec.generate_private_key(ec.SECP256R1())
        private = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        file = directory / f"{subject}.key"
        file.touch(mode=0o600)
        file.write_bytes(private)
        if subject == "database" and os.geteuid() == 0:
            os.chown(file, POSTGRES, POSTGRES)
        (directory / f"{subject}.pem").write_bytes(
            certificate(subject, key, "tasks-api CA", authority)
        )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
