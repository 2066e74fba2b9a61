"""P3: TLS contexts come back with their settings, trust whom they trusted, and keep no private key in the state."""

from __future__ import annotations

import ssl
from contextlib import suppress
from pathlib import Path

import pytest
import trustme

from tests.model_server import model_server
from tests.unit.state.memory import Cells, in_a_new_process, resumed

AUTHORITY = trustme.CA()
GET = "__import__('urllib.request').request.urlopen(url + '/x', context=c).status"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    AUTHORITY.cert_pem.write_to_path(tmp_path / "ca.pem")
    mine = AUTHORITY.issue_cert("me@example.org")
    mine.private_key_and_cert_chain_pem.write_to_path(tmp_path / "mine.pem")
    return tmp_path


def server_tls(*, asks: bool = False) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    AUTHORITY.issue_cert("127.0.0.1").configure_cert(context)
    AUTHORITY.configure_trust(context)
    context.verify_mode = ssl.CERT_REQUIRED if asks else ssl.CERT_NONE
    return context


def making(source: str, folder: Path, url: str = "") -> Cells:
    cells = Cells()
    cells.variables |= {"url": url, "ca": str(folder / "ca.pem"), "mine": str(folder / "mine.pem")}
    cells.variables["pem"] = (folder / "ca.pem").read_text()
    cells.step("s", f"import ssl\n{source}")
    assert cells.missing == []
    return cells


@pytest.mark.parametrize(
    "trusting",
    ["cafile=ca", "cadata=pem", "cadata=ssl.PEM_cert_to_DER_cert(pem)"],
)
def test_it_trusts_the_authority_that_it_was_given_and_no_other(folder: Path, trusting: str) -> None:
    with model_server(server_tls()) as server:
        cells, usual = (
            making(f"c = ssl.create_default_context({given})", folder, server.url) for given in (trusting, "")
        )
        (folder / "ca.pem").unlink()  # the state has it
        assert in_a_new_process(cells, GET) == (200, [])
        asking = f"lambda url, c: {GET}"
        tried = f"__import__('tests.unit.state.test_tls', fromlist=['x']).fails({asking}, url, c)"
        assert in_a_new_process(usual, tried) == ("SSLCertVerificationError", [])


def fails(function: object, *arguments: object) -> str:
    """The name of the error behind an `OSError`."""
    try:
        function(*arguments)  # type: ignore[operator]
    except OSError as error:
        return type(getattr(error, "reason", error)).__name__
    return ""


def test_its_own_certificate_is_read_from_its_file_again(folder: Path) -> None:
    with model_server(server_tls(asks=True)) as server:
        source = "c = ssl.create_default_context(cafile=ca)\nc.load_cert_chain(mine)"
        cells = making(source, folder, server.url)
        assert in_a_new_process(cells, GET) == (200, [])
    secret = (folder / "mine.pem").read_text().splitlines()[1].encode()
    assert all(secret not in bytes(chunk.data) for chunk in cells.memory.chunks.values())


def test_a_certificate_that_is_gone_is_named_and_costs_the_context_only(folder: Path) -> None:
    cells = making("c = ssl.create_default_context(cafile=ca)\nc.load_cert_chain(mine)\nd = [c, 1]", folder)
    (folder / "mine.pem").unlink()
    value, missing = in_a_new_process(cells, "d[1]")
    assert value == 1 and "c, d (ssl.SSLContext) was not kept: its certificate cannot be loaded" in missing[0]


SETTINGS = {
    "unverified": "c = ssl._create_unverified_context()",
    "of a client": "c = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)",
    "of a server": "c = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)\nc.load_cert_chain(mine)\nc.num_tickets = 1",
    "versions": "c = ssl.create_default_context()\nc.minimum_version = c.maximum_version = ssl.TLSVersion.TLSv1_2",
    "ciphers": "c = ssl.create_default_context()\nc.set_ciphers('ECDHE+AESGCM:@SECLEVEL=1')",
    "options": "c = ssl.create_default_context()\nc.options |= ssl.OP_NO_TICKET\nc.verify_flags |= 32",
    "optional": "c = ssl.create_default_context()\nc.check_hostname = False\nc.verify_mode = ssl.CERT_OPTIONAL",
    "protocols": "c = ssl.create_default_context()\nc.set_alpn_protocols(['h2'])",
    "certifi": "import certifi\nc = ssl.create_default_context(cafile=certifi.where())",
    "truststore": "import truststore\nc = truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT)\nc.load_verify_locations(ca)",
    "an attribute": "c = ssl.create_default_context()\nc.mine = [1]",
    "a class of the notebook": "class C(ssl.SSLContext): pass\nc = C(ssl.PROTOCOL_TLS_CLIENT)",
}
TOLD = [
    "protocol",
    "options",
    "minimum_version",
    "maximum_version",
    "verify_flags",
    "verify_mode",
    "check_hostname",
    "security_level",
    "num_tickets",
    "hostname_checks_common_name",
    "post_handshake_auth",
]


@pytest.mark.parametrize("source", SETTINGS.values(), ids=SETTINGS)
def test_its_settings_are_what_they_were(source: str, folder: Path) -> None:
    cells = making(source, folder)
    was, now = cells["c"], resumed(cells)["c"]
    assert now is not was and type(now).__qualname__ == type(was).__qualname__
    assert told(now) == told(was)
    assert [c["name"] for c in now.get_ciphers()] == [c["name"] for c in was.get_ciphers()]
    assert getattr(now, "mine", None) == getattr(was, "mine", None)
    assert "h2" not in source or _protocol_with(now) == "h2"
    cells.step("look", "n = c.verify_mode")
    assert cells.memory.verified("look").wrote == {"n"}


def told(context: ssl.SSLContext) -> dict[str, object]:
    found: dict[str, object] = {}
    for name in TOLD:
        with suppress(NotImplementedError):  # truststore's answers for some only
            found[name] = getattr(context, name)
    with suppress(NotImplementedError):
        found["authorities"] = context.cert_store_stats()
    return found


def _protocol_with(client: ssl.SSLContext) -> str | None:
    """What a client and a server that speaks h2 agree on."""
    client.check_hostname, client.verify_mode = False, ssl.CERT_NONE
    server = server_tls()
    server.set_alpn_protocols(["http/1.1", "h2"])
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    sides = [
        client.wrap_bio(to_client, to_server),
        server.wrap_bio(to_server, to_client, server_side=True),
    ]
    for _ in range(5):
        for side in sides:
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
    return sides[0].selected_alpn_protocol()
