"""TLS and client certificates, over REST and gRPC: every connection, not only the first, and nothing in plain text."""

import contextlib
import socket
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import grpc
import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from serving.contract.arms import Role
from serving.contract.release import write_release
from serving.grpc.messages import SERVICE
from serving.settings.tls import TlsError, read_tls
from tests.serving.endpoint import Process
from tests.serving.graphs import contract, make_bundle, number, release

ROW = {"rows": [{"distance": 1.5}]}


class Authority:
    """Signs certificates of its own making, in a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._key = folder, ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "authority")])
        whole = self._signed(self._name, self._key, x509.BasicConstraints(ca=True, path_length=0))
        self.file = folder / "authority.pem"
        self.file.write_bytes(whole.public_bytes(Encoding.PEM))

    def issue(self, name: str) -> tuple[Path, Path]:
        """Certificate and key of someone on this machine."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        place = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
        files = self._folder / f"{name}.pem", self._folder / f"{name}.key"
        files[0].write_bytes(self._signed(subject, key, place).public_bytes(Encoding.PEM))
        files[1].write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        return files

    def _signed(self, name: x509.Name, key: ec.EllipticCurvePrivateKey, extension: x509.ExtensionType):
        now = datetime.now(UTC)
        builder = x509.CertificateBuilder(self._name, name, key.public_key(), x509.random_serial_number())
        builder = builder.not_valid_before(now - timedelta(hours=1)).not_valid_after(now + timedelta(days=1))
        return builder.add_extension(extension, critical=False).sign(self._key, SHA256())


@pytest.fixture(scope="module")
def authority(tmp_path_factory) -> Authority:
    return Authority(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def caller(authority) -> ssl.SSLContext:
    """Trusts the authority and shows a certificate of it."""
    context = ssl.create_default_context(cafile=str(authority.file))
    context.load_cert_chain(*authority.issue("caller"))
    return context


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory, authority, caller) -> Iterator[Process]:
    home = tmp_path_factory.mktemp("home")
    digest = make_bundle(home / "bundles", contract([number("distance")]))
    write_release(home / "releases" / "delay.json", release(("champion", digest, Role.CHAMPION, 1.0)))
    certificate, key = authority.issue("endpoint")
    options = ["--ssl-certfile", str(certificate), "--ssl-keyfile", str(key)]
    options += ["--ssl-ca-certs", str(authority.file), "--ssl-cert-reqs", str(int(ssl.CERT_REQUIRED))]
    with Process(home, options=options, tls=caller) as process:
        yield process


def test_every_new_connection_is_answered_over_tls(endpoint, caller):
    for _ in range(5):
        answer = httpx.post(f"{endpoint.url}/v1/models/delay/predict", json=ROW, verify=caller)
        assert answer.status_code == 200, answer.text


@pytest.mark.parametrize("port", ["port", "grpc_port"])
def test_plain_text_is_never_answered(endpoint, port):
    for _ in range(5):
        with socket.create_connection(("127.0.0.1", getattr(endpoint, port)), timeout=5) as plain:
            plain.sendall(b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\n")
            with contextlib.suppress(ConnectionError):
                assert not plain.recv(1_000).startswith(b"HTTP")


def test_a_caller_without_certificate_is_not_answered(endpoint, authority):
    stranger = ssl.create_default_context(cafile=str(authority.file))
    for _ in range(3):
        with pytest.raises(httpx.TransportError):
            httpx.get(f"{endpoint.url}/livez", verify=stranger)


def test_grpc_is_answered_over_tls_to_who_shows_a_certificate(endpoint, authority):
    root = authority.file.read_bytes()
    certificate, key = (file.read_bytes() for file in authority.issue("grpc"))
    address, method = f"127.0.0.1:{endpoint.grpc_port}", f"/{SERVICE}/ServerLive"
    for credentials, lives in (
        (grpc.ssl_channel_credentials(root, key, certificate), True),
        (grpc.ssl_channel_credentials(root), False),
    ):
        with grpc.secure_channel(address, credentials) as channel:
            call = channel.unary_unary(method)
            if lives:
                assert call(b"", timeout=10) == b"\x08\x01"
            else:
                with pytest.raises(grpc.RpcError):
                    call(b"", timeout=5)


def test_an_authority_that_nobody_is_asked_for_is_refused(authority):
    certificate, key = map(str, authority.issue("half"))
    named = ["worker", "--ssl-certfile", certificate, "--ssl-keyfile", key]
    assert read_tls(["worker", "--fd", "3"]) is None
    assert read_tls(named) is not None
    with pytest.raises(TlsError, match="--ssl-cert-reqs 2"):
        read_tls([*named, "--ssl-ca-certs", str(authority.file)])
