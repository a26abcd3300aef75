"""Who may ask: browsers of this machine with the key, for nothing but pages and one image."""

from __future__ import annotations

import http.client
import socket
from urllib.parse import urlsplit

import pytest

from ssl_patches.studies.view.server import new_key, serving
from ssl_patches.studies.view.site import LARGEST_MB


@pytest.fixture
def browser(run, browse):
    with browse(run) as found:
        yield found


def test_it_listens_on_the_loopback_only(browser):
    parts = urlsplit(browser.address)
    assert parts.hostname == "127.0.0.1"
    with socket.socket() as other, pytest.raises(OSError, match="refused"):
        other.connect(("127.0.0.2", parts.port))


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "", "localhost@evil"])
def test_another_host_is_refused(browser, host):
    status, _, content = browser.ask(Host=f"{host}:80" if host else "")
    assert status == 403
    assert b"jigsaw" not in content


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_tunnel_from_any_port_is_answered(browser, host):
    assert browser.ask(Host=f"{host}:1234")[0] == browser.ask(Host=host)[0] == 200


def test_a_page_of_others_may_not_ask(browser):
    own = browser.address.rpartition("/kkk")[0]
    assert browser.ask(Origin="http://evil.example")[0] == 403
    assert browser.ask(Origin="null")[0] == 403
    assert browser.ask(Origin=own)[0] == 200


def test_without_the_key_nothing_is_answered(browser):
    root = browser.address.rpartition("/kkk")[0]
    for path in ("/", "/run/0/", "//", "/kkkkkkkkk", "/KKKKKKKKKK/", "/%6b", "/ü".encode()):
        at = urlsplit(root)
        asking = http.client.HTTPConnection(at.hostname, at.port, timeout=30)
        asking.putrequest("GET", path if isinstance(path, str) else "/%C3%BC")
        asking.endheaders()
        answer = asking.getresponse()
        assert (answer.status, b"jigsaw" in answer.read()) == (403, False)
        asking.close()
    assert len({new_key() for _ in range(50)}) == 50


def test_a_dropped_image_is_bounded_before_it_is_read(browser):
    at = urlsplit(browser.address)
    for length, status in (
        (LARGEST_MB * 2**20 + 1, 413),
        ("1e3", 411),
        ("-1", 411),
        ("9" * 40, 413),
    ):
        asking = http.client.HTTPConnection(at.hostname, at.port, timeout=30)
        asking.putrequest("POST", f"{at.path}run/0/near")
        asking.putheader("Content-Length", str(length))
        asking.endheaders()
        assert asking.getresponse().status == status
        asking.close()


@pytest.mark.parametrize("method", ["PUT", "DELETE", "OPTIONS", "HEAD", "PATCH"])
def test_no_other_method_is_taken(browser, method):
    at = urlsplit(browser.address)
    asking = http.client.HTTPConnection(at.hostname, at.port, timeout=30)
    asking.request(method, at.path)
    assert asking.getresponse().status == 501
    asking.close()


def test_every_answer_is_fenced_in(browser):
    for path in ("", "nowhere", "run/0/figures/health"):
        headers = browser.ask(path)[1]
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
        assert headers["Referrer-Policy"] == "no-referrer"
        assert headers["Cache-Control"] == "no-store"
        assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
        assert "Python" not in headers["Server"]


def test_a_port_in_use_is_told_with_what_to_type():
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with (
            pytest.raises(ValueError, match=f"port={port}: is in use; set port=0"),
            serving(None, key="k", port=port),
        ):
            pass
