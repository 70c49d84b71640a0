"""The public module where its worker, its site or a page's policy fails or forbids."""

from __future__ import annotations

from urllib.parse import quote

from playwright.sync_api import Page

from tests.browser.api import Api
from tests.browser.conftest import kill_engine


def test_a_dead_worker_rejects_and_the_next_session_has_a_new_one(fresh_api: Api) -> None:
    fresh_api("""globalThis.session = await Thimble.create();""")
    kill_engine(fresh_api.page)
    error, later, text = fresh_api("""
      const error = await failure(session.prompt("Once upon a time", { max_tokens: 100000 }));
      const later = await failure(session.tokenize("x"));
      return [error, later, await (await Thimble.create()).prompt("Hi", { max_tokens: 2 })];
    """)
    assert error["name"] == later["name"] == "CrashError"
    assert "boom" in error["message"]
    assert text


def test_a_site_that_is_gone_is_told(page: Page, elsewhere: str, server: str) -> None:
    page.goto(elsewhere)
    page.route("**/build.json", lambda route: route.fulfill(status=503))
    error = Api(page, server)("return failure(Thimble.create());")
    assert error["name"] == "LoadError"
    assert "build.json" in error["message"]
    page.unroute("**/build.json")
    assert Api(page, server)("return (await Thimble.models()).length > 0;")


def test_python_that_does_not_start_is_told(page: Page, elsewhere: str, server: str) -> None:
    page.goto(elsewhere)
    page.route("**/python_stdlib.*.zip", lambda route: route.fulfill(status=404))
    error = Api(page, server)("return failure(Thimble.create());")
    assert error["name"] in ("StartError", "CrashError")
    page.unroute("**/python_stdlib.*.zip")
    text = Api(page, server)("return (await Thimble.create()).prompt('Hi', { max_tokens: 2 });")
    assert text


def test_a_host_page_with_a_policy_of_its_own_works_with_what_the_docs_name(
    page: Page, elsewhere: str, server: str
) -> None:
    policy = (
        f"default-src 'none'; script-src {server} 'wasm-unsafe-eval'; "
        f"worker-src blob: {server}; connect-src {server}"
    )
    page.goto(f"{elsewhere}?policy={quote(policy)}")
    text = Api(page, server)("return (await Thimble.create()).prompt('Hi', { max_tokens: 2 });")
    assert text


def test_a_policy_that_forbids_the_worker_is_told_what_to_allow(
    page: Page, elsewhere: str, server: str
) -> None:
    policy = f"script-src {server} 'wasm-unsafe-eval'; worker-src 'none'"
    page.goto(f"{elsewhere}?policy={quote(policy)}")
    error = Api(page, server)("return failure(Thimble.create());")
    assert error["name"] == "StartError"
    assert f"worker-src blob: {server}" in error["message"]
