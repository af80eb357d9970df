"""The server's certificate as BentoML's own options name it, for the port that BentoML does not open itself."""

import argparse
import ssl
from collections.abc import Sequence

from uvicorn.config import SSL_PROTOCOL_VERSION, create_ssl_context

_TEXTS = ("--ssl-certfile", "--ssl-keyfile", "--ssl-keyfile-password", "--ssl-ca-certs", "--ssl-ciphers")
_NUMBERS = ("--ssl-version", "--ssl-cert-reqs")


class TlsError(ValueError):
    """The options name something other than what whoever wrote them wants."""


def read_tls(arguments: Sequence[str]) -> ssl.SSLContext | None:
    """The context that a worker's arguments describe; None where they name no certificate."""
    options = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    for name in _TEXTS:
        options.add_argument(name)
    for name in _NUMBERS:
        options.add_argument(name, type=int)
    chosen, _ = options.parse_known_args(arguments)
    if chosen.ssl_certfile is None:
        return None
    if chosen.ssl_ca_certs and not chosen.ssl_cert_reqs:
        raise TlsError(
            "--ssl-ca-certs names who signs the callers' certificates, but no caller is asked for one; add "
            f"--ssl-cert-reqs {int(ssl.CERT_REQUIRED)}, or leave --ssl-ca-certs out"
        )
    return create_ssl_context(
        certfile=chosen.ssl_certfile,
        keyfile=chosen.ssl_keyfile,
        password=chosen.ssl_keyfile_password,
        ssl_version=SSL_PROTOCOL_VERSION if chosen.ssl_version is None else chosen.ssl_version,
        cert_reqs=ssl.CERT_NONE if chosen.ssl_cert_reqs is None else chosen.ssl_cert_reqs,
        ca_certs=chosen.ssl_ca_certs,
        ciphers=chosen.ssl_ciphers,
        alpn_protocols=["h2"],
    )
