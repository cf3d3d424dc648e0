"""Nobody but the user's own page gets an answer: tried over real sockets, as an attacker would."""

from __future__ import annotations

import json
import socket

import numpy as np
import pytest
from outputs import made_up_output
from page_client import HOST, Client
from staged import landscape

ANY = "/api/info"


@pytest.fixture(scope="module")
def output(tmp_path_factory):
    return made_up_output(tmp_path_factory.mktemp("o") / "field.embeddings", landscape(40, 50))


@pytest.fixture
def page(serving, output):
    with serving(output) as (server, client):
        client.server = server
        yield client


def refused(answer, status=403):
    """That it is refused without a word of what lies behind."""
    found, headers, content = answer
    assert found == status
    assert "set-cookie" not in headers
    assert b"field" not in content
    assert len(content) < 300
    return content


def test_who_has_entered_gets_an_answer(page):
    assert page.get(ANY)["outputs"][0]["name"] == "field.embeddings"


def test_only_loopback_is_listened_at(page):
    addresses = {info[4][0] for info in socket.getaddrinfo(socket.gethostname(), None, socket.AF_INET)}
    others = [address for address in addresses if not address.startswith("127.")]
    for address in [*others, "127.0.0.2"]:
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((address, page.port), timeout=5).close()


@pytest.mark.parametrize(
    "path", [ANY, "/", "/static/app.js", "/api/tile/pca/0/0/0", "/api/events", "/nothing"]
)
def test_without_the_cookie_nothing_is_answered(page, path):
    refused(page.ask(path, cookie=False))


@pytest.mark.parametrize("path", ["/api/similar", "/api/change", "/api/cancel", "/api/unpack", "/api/labels"])
def test_without_the_cookie_nothing_is_done(page, path):
    refused(page.ask(path, "POST", {}, cookie=False))


def test_another_cookie_is_none(page):
    name = page.cookie.split("=")[0]
    for cookie in (f"{name}=", f"{name}=x", page.cookie[:-1], f"other-{page.cookie}", f"{name}=\xe9"):
        refused(page.ask(ANY, cookie=False, Cookie=cookie))


def test_the_token_works_once(page):
    refused(page.ask(page.entrance, cookie=False))
    assert page.get(ANY)  # the first browser still has its page


@pytest.mark.parametrize(
    "change", [lambda token: token[:-1], lambda token: "", lambda token: f"{token}x", str.swapcase]
)
def test_another_token_is_none_and_uses_up_nothing(serving, output, change):
    with serving(output, enter=False) as (_, client):
        path, token = client.entrance.split("token=")
        refused(client.ask(f"{path}token={change(token)}"))
        refused(client.ask(f"{path}token=%FF%00"))
        assert client.enter().get(ANY)


def test_two_servers_have_different_secrets(serving, output):
    with serving(output) as (_, one), serving(output) as (_, other):
        assert one.entrance != other.entrance
        assert one.cookie.split("=")[0] != other.cookie.split("=")[0]  # browsers send cookies to every port
        assert one.cookie.split("=")[1] != other.cookie.split("=")[1]
        refused(other.ask(ANY, cookie=False, Cookie=one.cookie))


def test_the_secrets_cannot_be_guessed(page):
    token = page.entrance.split("token=")[1]
    assert len(token) >= 43  # 256 bits in base64


def test_attributes_of_the_cookie(serving, output):
    with serving(output, enter=False) as (_, client):
        _, headers, _ = client.ask(client.entrance)
    attributes = headers["set-cookie"].split("; ")[1:]
    assert set(attributes) == {"HttpOnly", "SameSite=Strict", "Path=/"}


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:{port}", "127.0.0.1", "localhost", "127.0.0.1:1", "[::1]:{port}", "127.0.0.1:{port}.evil.example",
     "localhost.:{port}", "127.1:{port}", "0.0.0.0:{port}", ""],
)  # fmt: skip
def test_another_host_is_refused(page, host):
    """DNS rebinding: evil.example's page asks evil.example, whose name has become 127.0.0.1."""
    refused(page.ask(ANY, Host=host.format(port=page.port)))


def test_both_own_names_work(page):
    for host in ("127.0.0.1", "localhost", "LOCALHOST"):
        assert page.ask(ANY, Host=f"{host}:{page.port}")[0] == 200


def test_no_host_and_two_hosts_are_refused(page):
    own = f"Host: 127.0.0.1:{page.port}\r\n"
    for hosts in ("", own + "Host: evil.example\r\n", own + own):
        answer = page.raw(
            f"GET {ANY} HTTP/1.1\r\n{hosts}Cookie: {page.cookie}\r\nConnection: close\r\n\r\n".encode()
        )
        assert answer.split(b" ")[1] in (b"400", b"403"), answer
        assert b"field" not in answer


def test_the_address_in_the_request_line_is_no_way_around(page):
    host = f"Host: 127.0.0.1:{page.port}\r\n"
    answer = page.raw(
        f"GET http://evil.example{ANY} HTTP/1.1\r\n{host}Cookie: {page.cookie}\r\nConnection: close\r\n\r\n".encode()
    )
    assert b"field" not in answer


@pytest.mark.parametrize(
    "origin",
    [
        "http://evil.example",
        "null",
        "http://127.0.0.1",
        "https://127.0.0.1:{port}",
        "http://127.0.0.1:1",
        "file://",
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_another_origin_is_refused(page, origin, method):
    body = {"positives": [[30, 30]]} if method == "POST" else None
    path = "/api/similar" if method == "POST" else ANY
    refused(page.ask(path, method, body, Origin=origin.format(port=page.port)))
    assert page.ask(path, method, body, Origin=f"http://127.0.0.1:{page.port}")[0] == 200


@pytest.mark.parametrize("site", ["cross-site", "same-site", "anything"])
def test_another_site_is_refused(page, site):
    """same-site too: every port of this machine is one site."""
    refused(page.ask(ANY, Sec_Fetch_Site=site))
    refused(page.ask(page.entrance, Sec_Fetch_Site=site))


def test_a_foreign_page_does_not_use_up_the_token(serving, output):
    with serving(output, enter=False) as (_, client):
        refused(client.ask(client.entrance, Sec_Fetch_Site="cross-site"))
        refused(client.ask(client.entrance, Origin="http://evil.example"))
        refused(client.ask(client.entrance, Host="evil.example"))
        assert client.enter().get(ANY)


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "PROPFIND"])
def test_other_methods_are_refused(page, method):
    refused(page.ask(ANY, method), 405)
    refused(page.ask("/", method), 405)


def test_a_preflight_gets_no_permission(page):
    origin = f"http://127.0.0.1:{page.port}"
    for given in (origin, "http://evil.example"):
        _, headers, _ = page.ask(ANY, "OPTIONS", Origin=given, Access_Control_Request_Method="POST")
        assert not [name for name in headers if name.lower().startswith("access-control")]


def test_routes_take_one_method(page):
    assert page.ask("/api/similar")[0] == 405
    assert page.ask(ANY, "POST", {})[0] == 405


@pytest.mark.parametrize(
    "path", [ANY, "/", "/nothing", "/api/tile/pca/0/0/0", "/api/tile/pca/9/9/9", "/api/pixel"]
)
@pytest.mark.parametrize("cookie", [True, False])
def test_every_answer_has_the_headers(page, path, cookie):
    _, headers, _ = page.ask(path, cookie=cookie)
    policy = headers["content-security-policy"]
    assert policy.startswith("default-src 'none';")
    assert "unsafe" not in policy
    assert "*" not in policy
    assert "http" not in policy
    assert "frame-ancestors 'none'" in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cross-origin-resource-policy"] == "same-origin"
    assert headers["cache-control"] == "no-store"
    assert not [name for name in headers if name.lower().startswith("access-control")]
    assert "server" not in headers


MOST = 1_000_000


def post(page, head, body=b""):
    own = f"Host: 127.0.0.1:{page.port}\r\nCookie: {page.cookie}\r\nConnection: close"
    return page.raw(f"POST /api/similar HTTP/1.1\r\n{own}\r\n{head}\r\n\r\n".encode() + body)


def test_a_body_that_is_declared_too_large_is_not_read(page):
    for size in (MOST + 1, 10**12, 10**30):
        answer = post(page, f"Content-Length: {size}")
        assert answer.split(b" ")[1] in (b"413", b"400"), answer
    assert b" 413 " in post(page, f"Content-Length: {MOST + 1}")


def test_a_body_that_grows_too_large_is_cut(page):
    chunk = b"10000\r\n" + b" " * 0x10000 + b"\r\n"
    answer = post(page, "Transfer-Encoding: chunked", chunk * 16)
    assert b" 413 " in answer
    body = json.dumps({"positives": [[30, 30]]}).encode()
    small = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
    assert b" 200 OK" in post(page, "Transfer-Encoding: chunked", small)


def test_the_largest_body_is_read(page):
    body = json.dumps({"positives": [[30, 30]]})
    assert page.ask("/api/similar", "POST", body.ljust(MOST))[0] == 200


def test_without_the_cookie_no_body_is_read(page):
    cookie, page.cookie = page.cookie, "a=b"
    assert b" 403 " in post(page, f"Content-Length: {MOST}")
    page.cookie = cookie


def test_endless_headers_are_refused(page):
    answer = page.raw(f"GET {ANY} HTTP/1.1\r\nHost: 127.0.0.1:{page.port}\r\nX: ".encode() + b"x" * 10**6)
    assert answer.split(b" ")[1] in (b"400", b"431") or answer == b""


TRICKS = ["../guard.py", "..%2fguard.py", "%2e%2e/guard.py", "%2e%2e%2fguard.py", "/etc/passwd", "%2fetc%2fpasswd", "..\\guard.py",
          "app.js/../../guard.py", "app.js%00.css", "guard.py", "", ".", "..", "index.html%2f..%2f..%2fguard.py", "page/../guard.py"]  # fmt: skip


@pytest.mark.parametrize("trick", TRICKS)
@pytest.mark.parametrize("where", ["/static/", "/api/tile/", "/api/tile/pca/0/0/", "/"])
def test_no_request_becomes_a_path(page, where, trick):
    host = f"Host: 127.0.0.1:{page.port}\r\nCookie: {page.cookie}\r\nConnection: close\r\n"
    answer = page.raw(f"GET {where}{trick} HTTP/1.1\r\n{host}\r\n".encode())
    if where + trick in ("/", "/.", "/.."):
        return
    assert answer.split(b" ")[1] in (b"400", b"404"), answer
    assert b"root:" not in answer
    assert b"import" not in answer


@pytest.mark.parametrize(
    "path",
    ["pca/-1/0/0", "pca/0/-1/0", "pca/0/0/1", "pca/0/1/0", "pca/1/0/0", "pca/99/0/0", "pca/0/0/99999999999999999999", "other/0/0/0",
     "pca/0/0", "pca/0/0/0/0", "pca/a/0/0", "PCA/0/0/0", "pca/0/0/0?output=1", "pca/0/0/0?output=99"],
)  # fmt: skip
def test_tiles_that_there_are_not(page, path):
    assert page.ask(f"/api/tile/{path}")[0] == 404


@pytest.mark.parametrize(
    "query", ["output=-1", "output=a", "output=1e9", "output=" + "9" * 400, "output=%D9%A1", "output="]
)
def test_numbers_that_are_none(page, query):
    assert page.ask(f"/api/tile/pca/0/0/0?{query}")[0] == 400


@pytest.mark.parametrize(
    "body",
    ["", "{", "[]", "null", "1", '{"positives": 1}', '{"positives": [[1]]}', '{"positives": [[1, 2, 3]]}', '{"positives": [[1.5, 2]]}',
     '{"positives": [["1", 2]]}', '{"positives": [[1, 2]], "path": "/etc/passwd"}', '{"positives": [[30, 30]], "output": "0"}',
     '{"positives": []}', '{"positives": [[-1, 0]]}', '{"positives": [[50, 0]]}', '{"positives": [[0, 40]]}', '{"positives": [[0, 0]]}',
     '{"positives": [[30, 30]], "negatives": [[0, 1000000000000000000000000]]}', '{"positives": [[30, 30]' + ", [30, 30]" * 100 + "]}",
     "[" * 100_000, "\ud800", '{"positives": [[1e999, 0]]}'],
)  # fmt: skip
def test_questions_that_are_none(page, body):
    status, _, content = page.ask("/api/similar", "POST", body.encode("utf-8", "surrogatepass"))
    assert status == 400
    error = json.loads(content)["error"]
    assert error
    assert "\n" not in error
    assert len(error) < 300
    assert page.get(ANY)


def test_an_output_that_there_is_not(page):
    assert page.post("/api/similar", {"positives": [[30, 30]], "output": 1}, 404)["error"]
    assert page.post("/api/unpack", {"output": -1}, 404)["error"]


def test_many_connections_do_not_stop_the_page(page):
    held = [socket.create_connection((HOST, page.port), timeout=5) for _ in range(30)]
    try:
        assert page.get(ANY)
    finally:
        for each in held:
            each.close()


def test_a_closed_server_answers_nobody(serving, output):
    with serving(output) as (_, client):
        assert client.get(ANY)
    with pytest.raises(ConnectionRefusedError):
        client.ask(ANY)


def test_the_first_colours_are_there(page):
    """So that what is refused above would have had something to show."""
    assert np.unique(page.tile("pca/0/0/0", np.uint8, 4)[:40, :50, 3]).tolist() == [0, 255]
    assert Client(page.server.address).port == page.port
