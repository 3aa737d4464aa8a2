"""How a hostile host can send: bombs, endless and slow responses, redirects. Memory, time and the key stay bounded."""

import functools
import itertools
import ssl
import time
from pathlib import Path

import pytest
from hostile_host import CHUNKED, OK, HostileHost, chunk, client_of, packed, zeros
from ingestion import ingest

from functions.core.errors import InvalidInputError, TransientError, UpstreamContractError
from functions.ingest import open_meteo
from functions.ingest.open_meteo import OpenMeteo
from functions.ingest.transport import checked_host

# The largest body in an array that grows, and what is copied when it does.
MOST_MEGABYTES = 150
MOVED = b"HTTP/1.1 302 Found\r\nLocation: http://169.254.169.254/latest/meta-data/\r\n"


def bomb(kind, head=OK):
    """A gigabyte of zeros in a megabyte; ``kind`` twice: compressed twice, in a few kilobytes."""
    body = zeros(1024)
    for each in kind.split(", "):
        body = packed(each, body)
    yield head + b"Content-Encoding: " + kind.encode() + b"\r\n" + CHUNKED
    yield from map(chunk, body)
    yield b"0\r\n\r\n"


def sized(body):
    yield OK + b"Content-Length: %d\r\n\r\n" % len(body)
    yield body


def endless(head, piece):
    yield head
    yield from itertools.repeat(piece)


SIZES = {
    "gzip bomb": (lambda: bomb("gzip"), "UpstreamContractError", "larger than 64 MB"),
    "deflate bomb": (lambda: bomb("deflate"), "UpstreamContractError", "larger than 64 MB"),
    "bomb in a bomb": (lambda: bomb("gzip, gzip"), "UpstreamContractError", "larger than 64 MB"),
    "bomb in an error": (
        lambda: bomb("gzip", b"HTTP/1.1 503 Busy\r\n"), "UpstreamContractError", "larger than 64 MB"
    ),
    "bomb in a redirect": (lambda: bomb("gzip", MOVED), "UpstreamContractError", "larger than 64 MB"),
    "more encodings than are sensible": (
        lambda: bomb(", ".join(["gzip"] * 9)), "TransientError", "Too many content encodings"
    ),
    "500 MB": (
        lambda: itertools.chain([OK + b"Content-Length: 524288000\r\n\r\n"], zeros(500)),
        "UpstreamContractError", "larger than 64 MB",
    ),
    "endless chunks": (lambda: endless(OK + CHUNKED, chunk(bytes(1 << 16))), "UpstreamContractError", "larger"),
    "endless redirect": (lambda: endless(MOVED + b"\r\n", bytes(1 << 16)), "UpstreamContractError", "larger"),
    "endless header": (lambda: endless(OK + b"X: ", b"x" * 4096), "TransientError", "127.0.0.1"),
    "endless headers": (lambda: endless(OK, b"X: x\r\n"), "TransientError", "127.0.0.1"),
    "nested arrays": (lambda: sized(b"[" * (60 << 20)), "Unusable", "does not decode to data"),
    "nested arrays that close": (lambda: sized(b"[" * 50_000 + b"]" * 50_000), "Unusable", "does not decode to data"),
    "twenty million arrays": (
        lambda: sized(b"[NaN" + b",[]" * (20 << 20) + b"]"), "Unusable", "does not decode to data"
    ),
    "an error of twenty million arrays": (
        lambda: sized(b'{"error": [[]' + b",[]" * (20 << 20) + b"]}"), "Unusable", "does not decode to data"
    ),
    "a reason of thirty million numbers": (
        lambda: sized(b'{"error": true, "reason": [1' + b",1" * (30 << 20) + b"]}"),
        "Unusable", "does not decode to data",
    ),
    "thirty million numbers for python": (
        lambda: sized(b"[NaN" + b",1" * (30 << 20) + b"]"), "Unusable", "does not decode to data"
    ),
}  # fmt: skip


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="only Linux tells the most memory of a process")
@pytest.mark.parametrize("name", SIZES)
def test_a_response_of_any_size_takes_bounded_memory(name):
    send, kind, message = SIZES[name]
    with HostileHost(send) as host:
        outcome, grown = client_of(host.url)
    assert outcome.split()[0] == kind
    assert message in outcome
    assert grown < MOST_MEGABYTES
    assert len(host.received) == 1


def slowly(head, piece):
    yield head
    while True:
        yield piece
        time.sleep(0.02)


@pytest.mark.parametrize(
    ("head", "piece"),
    [
        (b"", b"H"),
        (b"HTTP/1.1 200 OK\r\nX: ", b"x"),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
        (OK + b"Content-Length: 9999\r\n\r\n", b" "),
        (OK + b"\r\n", b" "),
        (OK + CHUNKED, b"0"),
        (OK + CHUNKED + b"1;", b"x"),
        (OK + CHUNKED + b"0\r\n", b"X: x\r\n"),
        (OK + b"Content-Encoding: gzip\r\n\r\n\x1f\x8b\x08\x08\0\0\0\0\0\xff", b"x"),
    ],
    ids=["status", "header", "continue", "body", "body without length", "size", "extension", "trailers", "gzip name"],
)
def test_a_request_ends_at_its_deadline_whatever_comes_slowly(monkeypatch, head, piece):
    monkeypatch.setattr(open_meteo, "REQUEST_SECONDS", 0.5)
    with HostileHost(functools.partial(slowly, head, piece)) as host, pytest.raises(TransientError) as raised:
        OpenMeteo().get(host.url)
    assert str(raised.value).endswith("incomplete after 0.5 seconds") or "127.0.0.1" in str(raised.value)


def test_a_connection_serves_the_next_request_and_a_cut_one_is_replaced(monkeypatch, host):
    client = OpenMeteo()
    url = f"{host.url}/v1/forecast?latitude=1&longitude=1&hourly=temperature_2m"
    for _ in range(2):
        assert type(client.get(url)).__name__ == "Accepted"
    client._connections._cut()
    with pytest.raises(TransientError):
        client.get(url.replace("127.0.0.1", "127.0.0.1:9/"))
    assert type(client.get(url)).__name__ == "Accepted"


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("target", ["http://169.254.169.254/latest/", "//other.example/", "/v1/archive", "file:///etc"])
def test_no_redirect_is_followed_and_its_host_never_gets_the_key(status, target):
    head = b"HTTP/1.1 %d Moved\r\nLocation: %s\r\nContent-Length: 0\r\n\r\n" % (status, target.encode())
    with HostileHost(lambda: iter([head])) as host:
        outcome = OpenMeteo("c4n4ry").get(host.url)
    assert isinstance(outcome.error, UpstreamContractError)
    assert f": {status}: " in str(outcome.error)
    assert len(host.received) == 1


@pytest.mark.parametrize(
    "address",
    [
        "https://me:c4n4ry@api.open-meteo.com/v1/forecast",
        "https://c4n4ry@api.open-meteo.com/v1/forecast",
        "https://api.open-meteo.com/v1/forecast?apikey=c4n4ry",
        "https://api.open-meteo.com/v1/forecast#c4n4ry",
        "https://api.open-meteo.com/c4n4ry\r\nX: x",
        "https://api.open-meteo.com/c4n4ry x",
        "https://c4n4ry\\@evil.example/",
        "https://\u202ec4n4ry/",
        "http://169.254.169.254/c4n4ry",
        "http://[fe80::1]/c4n4ry",
        "http://[::ffff:169.254.169.254]/c4n4ry",
        "file:///c4n4ry",
        "ftp://c4n4ry/",
        "https:///c4n4ry",
        "https://[c4n4ry",
        "https://c4n4ry:99999/",
        "https://c4n4ry:x/",
        "c4n4ry",
    ],
)
def test_an_address_that_is_none_or_has_a_secret_is_rejected_and_not_repeated(monkeypatch, s3, capsys, address):
    monkeypatch.setenv("OPEN_METEO_FORECAST_URL", address)
    with pytest.raises(InvalidInputError, match=r"check OPEN_METEO_\*_URL") as raised:
        ingest()
    assert "c4n4ry" not in str(raised.value) + capsys.readouterr().out


@pytest.mark.parametrize("address", ["http://customer-api.open-meteo.com/v1/forecast", "http://10.0.0.1/v1/forecast"])
def test_an_api_key_is_sent_encrypted_or_to_this_machine_only(address):
    assert checked_host(address, has_api_key=False) == address
    with pytest.raises(InvalidInputError, match="is not https"):
        checked_host(address, has_api_key=True)
    for here in ("http://127.0.0.1:8080/v1", "http://localhost:8080/v1", "http://[::1]:8080/v1", "https://10.0.0.1/v1"):
        assert checked_host(here, has_api_key=True) == here


@pytest.fixture
def tls_host(tmp_path):
    """The address of a host with a certificate of 127.0.0.1 that nobody has signed, and the requests that it gets."""
    import datetime
    import ipaddress
    import socket
    import threading

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    (tmp_path / "host.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "host.pem")
    server = socket.create_server(("127.0.0.1", 0))
    received = []

    def serve():
        while True:
            try:
                client, _ = server.accept()
            except OSError:
                return
            with client:
                try:
                    with context.wrap_socket(client, server_side=True) as secured:
                        received.append(secured.recv(65536))
                        secured.sendall(OK + b"Content-Length: 2\r\n\r\n[]")
                except OSError:
                    continue

    thread = threading.Thread(target=serve)
    thread.start()
    yield f"https://127.0.0.1:{server.getsockname()[1]}/v1/forecast", received, tmp_path / "host.pem"
    server.shutdown(socket.SHUT_RDWR)
    server.close()
    thread.join()


def test_a_host_whose_certificate_nobody_signed_gets_no_request(monkeypatch, tls_host):
    address, received, certificate = tls_host
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(TransientError, match="CERTIFICATE_VERIFY_FAILED"):
        OpenMeteo("c4n4ry").get(address)
    assert received == []
    # the only thing that was wrong
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
    assert type(OpenMeteo("c4n4ry").get(address)).__name__ == "Accepted"
    assert b"c4n4ry" in received[0]
