"""The embed pages and oEmbed: what other sites may show of this one."""

from __future__ import annotations

import html
import json
import re
from pathlib import Path
from urllib.parse import parse_qs, quote, urlsplit

import pytest
from starlette.testclient import TestClient

import server
from thimble.hosting import oembed
from thimble.hosting.assets import Site
from thimble.hosting.pages import static_pages, static_rules

from .test_server import write_site

BASE = "http://testserver/"
FRAMED = ("frame.css", "frame.js")


def write_embeddable(folder: Path) -> Path:
    """The small site of the server's tests, with what the embed page names."""
    write_site(folder)
    build = json.loads((folder / "build.json").read_text())
    for name in FRAMED:
        stem, suffix = name.split(".")
        build["assets"][name] = f"assets/{stem}.1a2b3c4d.{suffix}"
    build["models"].append({**build["models"][0], "name": "tale 2", "title": "Tales"})
    del build["models"][1]["default"]
    (folder / "build.json").write_text(json.dumps(build))
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_embeddable(tmp_path / "site")


@pytest.fixture
def client(folder: Path) -> TestClient:
    return TestClient(server.create_app(folder), headers={"Accept-Encoding": "identity"})


def ask(client: TestClient, url: str, **more: str) -> dict[str, object]:
    response = client.get("/oembed", params={"url": url, **more})
    assert response.status_code == 200, response.text
    answer: dict[str, object] = response.json()
    return answer


def frame(answer: dict[str, object]) -> str:
    """The address of the iframe that an answer holds."""
    [source] = re.findall(r'<iframe src="([^"]*)"', str(answer["html"]))
    return html.unescape(source)


@pytest.mark.parametrize(("path", "root"), [("/embed/story", "../"), ("/embed/story/", "../../")])
def test_an_embed_page_may_stand_in_any_frame_and_asks_nothing_of_it(
    client: TestClient, path: str, root: str
) -> None:
    response = client.get(path, params={"prompt": "Once"})
    assert response.status_code == 200
    headers = response.headers
    policy = headers["content-security-policy"]
    assert "frame-ancestors *" in policy
    assert "worker-src 'self' data:" in policy
    assert "'unsafe-inline'" not in policy
    assert "cross-origin-opener-policy" not in headers
    assert headers["cross-origin-embedder-policy"] == "require-corp"  # so that our page may
    assert headers["cross-origin-resource-policy"] == "cross-origin"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cache-control"] == "private, no-cache"
    assert '<thimble-lm model="story">' in response.text
    assert "Stories &lt;b&gt;&amp; more&lt;/b&gt;, a small language model" in response.text
    assert f'src="{root}assets/frame.1a2b3c4d.js"' in response.text
    # One page for all prompts: the address is read in the browser.
    assert response.content == client.get(path).content


def test_there_is_no_embed_page_of_a_model_that_there_is_not(client: TestClient) -> None:
    for path in ("/embed/", "/embed/nobody", "/embed/story//", "/embed/story/more"):
        response = client.get(path)
        assert response.status_code == 404, path
        assert "frame-ancestors 'none'" in response.headers["content-security-policy"]
    assert client.get("/embed/tale%202").status_code == 200


def test_the_playground_itself_stays_out_of_frames(client: TestClient) -> None:
    assert "frame-ancestors 'none'" in client.get("/").headers["content-security-policy"]


def test_an_address_of_the_site_becomes_a_frame(client: TestClient) -> None:
    response = client.get("/oembed", params={"url": f"{BASE}embed/story?prompt=A+%22dog%22&x=1"})
    assert response.headers["content-type"] == "application/json"
    assert response.headers["access-control-allow-origin"] == "*"
    assert response.headers["cache-control"] == "no-store"  # it depends on the host asked for
    answer = response.json()
    assert answer["version"] == "1.0"
    assert answer["type"] == "rich"
    assert answer["title"] == "Stories <b>& more</b> · Thimble"
    assert answer["provider_name"] == "Thimble"
    assert answer["provider_url"] == BASE
    assert (answer["width"], answer["height"]) == (640, 420)
    assert 'width="640" height="420"' in answer["html"]
    assert "<b>" not in answer["html"]
    assert frame(answer) == f"{BASE}embed/story/?prompt=A%20%22dog%22"
    assert client.get(frame(answer)).status_code == 200


@pytest.mark.parametrize(
    ("url", "source"),
    [
        ("http://testserver/", "embed/story/"),
        ("http://testserver", "embed/story/"),
        ("http://TESTSERVER:80/", "embed/story/"),
        ("https://testserver/embed/story", "embed/story/"),
        ("embed/story", "embed/story/"),
        ("./", "embed/story/"),
        ("http://testserver/embed/tale%202/", "embed/tale%202/"),
        ("http://testserver/#prompt=A+cat&model=tale+2&max_tokens=9&seed=1&top_k=3",
         "embed/tale%202/?prompt=A%20cat&max-tokens=9&seed=1"),
        ("http://testserver/embed/story?readonly=&theme=dark&origin=https://b.example",
         "embed/story/?theme=dark"),
    ],
)  # fmt: skip
def test_what_an_address_says_of_the_text_goes_along(
    client: TestClient, url: str, source: str
) -> None:
    assert frame(ask(client, url)) == BASE + source


@pytest.mark.parametrize(
    ("wanted", "size"),
    [
        ({"maxwidth": "320"}, (320, 420)),
        ({"maxheight": "100"}, (640, 100)),
        ({"maxwidth": "1", "maxheight": "1"}, (1, 1)),
        ({"maxwidth": "9999", "maxheight": "99999999999"}, (640, 420)),
    ],
)
def test_a_frame_is_no_larger_than_is_wanted(
    client: TestClient, wanted: dict[str, str], size: tuple[int, int]
) -> None:
    answer = ask(client, BASE, **wanted)
    assert (answer["width"], answer["height"]) == size
    assert f'width="{size[0]}" height="{size[1]}"' in str(answer["html"])


@pytest.mark.parametrize(
    ("query", "status", "words"),
    [
        ({}, 400, "url"),
        ({"url": ""}, 400, "url"),
        ({"url": BASE, "maxwidth": "wide"}, 400, "'wide'"),
        ({"url": BASE, "maxheight": "0"}, 400, "'0'"),
        ({"url": BASE, "maxwidth": "-5"}, 400, "'-5'"),
        ({"url": BASE, "maxwidth": "\u0663"}, 400, "\u0663"),
        ({"url": BASE, "format": "xml"}, 501, "xml"),
        ({"url": BASE, "format": ""}, 501, "''"),
        ({"url": "https://example.org/embed/story"}, 404, "example.org"),
        ({"url": "http://testserver:81/"}, 404, "81"),
        ({"url": "http://testserver.example.org/"}, 404, "example"),
        ({"url": "http://user@example.org/"}, 404, "example"),
        ({"url": "//example.org/"}, 404, "example"),
        ({"url": "http://testserver:port/"}, 404, "port"),
        ({"url": "http://[/"}, 404, "["),
        ({"url": "javascript:alert(1)"}, 404, "javascript"),
        ({"url": f"{BASE}models.json"}, 404, "models.json"),
        ({"url": f"{BASE}embed/nobody"}, 404, "nobody"),
        ({"url": f"{BASE}#model=nobody"}, 404, "nobody"),
    ],
)
def test_what_cannot_be_embedded_is_refused_with_the_reason(
    client: TestClient, query: dict[str, str], status: int, words: str
) -> None:
    response = client.get("/oembed", params=query)
    assert response.status_code == status
    assert response.json()["status"] == status
    assert words in response.json()["error"]
    assert response.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("path", ["/", "/embed/story", "/embed/story/?prompt=A+dog"])
def test_every_page_says_where_oembed_tells_of_it(client: TestClient, path: str) -> None:
    response = client.get(path)
    [address] = re.findall(r"<([^>]*)>", response.headers["link"])
    assert 'type="application/json+oembed"' in response.headers["link"]
    assert address.startswith(f"{BASE}oembed?")
    from_header = client.get(address).json()
    [relative] = re.findall(r'json\+oembed" href="([^"]*)"', response.text)
    from_page = client.get(str(response.url.join(html.unescape(relative)))).json()
    assert from_page["title"] == from_header["title"]
    assert frame(from_header).startswith(frame(from_page))
    assert ("A%20dog" in frame(from_header)) == ("prompt" in path)


def test_behind_a_proxy_that_serves_a_sub_path(folder: Path) -> None:
    client = TestClient(server.create_app(folder), root_path="/lm")
    answer = ask(client, f"{BASE}lm/embed/story")
    assert frame(answer) == f"{BASE}lm/embed/story/"
    assert client.get("/oembed", params={"url": f"{BASE}embed/story"}).status_code == 404
    assert f"url={quote(BASE + 'lm/', safe='')}" in client.get("/lm/").headers["link"]


@pytest.mark.parametrize("base", [None, "https://example.org/lm/"])
def test_the_export_holds_the_embed_pages(folder: Path, base: str | None) -> None:
    site = Site(folder)
    pages = static_pages(server.TEMPLATES, site, base)
    page = pages["embed/story/index.html"]
    assert 'src="../../assets/frame.1a2b3c4d.js"' in page
    assert "worker-src 'self' data:" in page
    assert "frame-ancestors" not in page  # which a policy in a page may not say
    rules = static_rules()["/embed/*"]
    assert "frame-ancestors *" in rules["Content-Security-Policy"]
    assert rules["Cross-Origin-Embedder-Policy"] == "require-corp"
    links = re.findall(r'json\+oembed" href="([^"]*)"', page + pages["index.html"])
    if base is None:
        assert not links
        return
    assert links == [f"{base}embed/story/oembed.json"] * 2
    told = json.loads(pages["embed/story/oembed.json"])
    assert frame(told) == f"{base}embed/story/"


def test_a_link_survives_any_address() -> None:
    page = 'https://example.org/embed/a b?prompt="<&>é'
    query = parse_qs(urlsplit(oembed.link(page)).query)
    assert query == {"format": ["json"], "url": [page]}
