"""A vendor of prices in a pod, behind TLS: Tiingo's protocol over the invented market, until the last close.

Its certificate is its own authority's, so whoever asks it has to be told to trust that one, as a proxy that re-signs
connections would want it, too. It answers whoever sends the key and prints each path that it was asked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from fingpt.sources.calendar import session_of
from fingpt.sources.records import Kind, Record
from fingpt.synthetic.market import market_records
from tests.e2e.chart_lab import image, pod, service

SYMBOLS, SEED, YEARS = ("ACME", "BOLT"), 11, 3
NAME, PORT = "tiingo", 8443
KEY = "planted-key-of-the-vendor"

SERVE = """
import json, ssl, sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit
rows = json.load(open("/srv/vendor/rows.json"))
class Vendor(BaseHTTPRequestHandler):
    def do_GET(self):
        asked = urlsplit(self.path)
        print(asked.path, flush=True)
        symbol, _, prices = asked.path.removeprefix("/tiingo/daily/").partition("/")
        if self.headers["Authorization"] != "Token " + sys.argv[1]:
            return self.say(401, {"detail": "Invalid token."})
        if symbol not in rows:
            return self.say(404, {"detail": f"Error: Ticker '{symbol}' not found"})
        days = [row["date"][:10] for row in rows[symbol]]
        if not prices:
            return self.say(200, {"ticker": symbol, "startDate": days[0], "endDate": days[-1]})
        first, last = (parse_qs(asked.query)[name][0] for name in ("startDate", "endDate"))
        self.say(200, [row for row in rows[symbol] if first <= row["date"][:10] <= last])
    def say(self, status, body):
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)
    def log_message(self, *_):
        pass
server = ThreadingHTTPServer(("", int(sys.argv[2])), Vendor)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain("/srv/vendor/tls.pem")
server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
server.serve_forever()
"""


def market(now: datetime) -> list[Record]:
    """Prices and actions of the market until the last close before `now`."""
    last = session_of(now)
    records = market_records(SYMBOLS, last - timedelta(days=365 * YEARS), last, SEED)
    return [record for record in records if record.kind in (Kind.PRICE, Kind.ACTION)]


def rows(records: list[Record]) -> dict[str, list[dict[str, Any]]]:
    """The market as Tiingo's rows, by symbol."""
    found: dict[str, dict[str, dict[str, Any]]] = {symbol: {} for symbol in SYMBOLS}
    for record in records:
        day = f"{record.event_time.date()}T00:00:00.000Z"  # New York closes on its own day in UTC
        row = found[record.symbol].setdefault(day, {"date": day, "divCash": 0.0, "splitFactor": 1})
        said = dict(record.payload)
        if record.kind is Kind.PRICE:
            row.update({name: said[name] for name in ("open", "high", "low", "close")})
        elif said["type"] == "split":
            row["splitFactor"] = said["ratio"]
        else:
            row["divCash"] = said["amount"]
    return {symbol: [days[day] for day in sorted(days)] for symbol, days in found.items()}


def certificate(host: str) -> tuple[str, str]:
    """(key and certificate, certificate) of a server that is its own authority, as PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    own = made.public_bytes(Encoding.PEM).decode()
    secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    return secret + own, own


def vendor(files: Mapping[str, str]) -> tuple[dict[str, Any], ...]:
    """The pod with its Service, and its `files` as a Secret."""
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": NAME}}
    server = {
        "name": NAME,
        "image": image("FINGPT_E2E_PREP"),
        "command": ["python3", "-c", SERVE, KEY, str(PORT)],
        "volumeMounts": [{"name": "files", "mountPath": "/srv/vendor", "readOnly": True}],
    }
    volumes = [{"name": "files", "secret": {"secretName": NAME, "defaultMode": 0o440}}]
    spec = {"volumes": volumes, "containers": [server]}
    return (
        {**secret, "stringData": dict(files)},
        pod(NAME, {"app": NAME}, spec),
        service(NAME, PORT),
    )
