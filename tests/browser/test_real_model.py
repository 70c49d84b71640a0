"""A model that people use, in the page: it writes what the native engine writes."""

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import Page

import thimble
from tests.browser.elsewhere import serving

OPTIONS = {"temperature": 0, "max_tokens": 16}
PROMPT = "The lighthouse keeper had not spoken to anyone for"

WRITE = """async ([address, file, prompt, options]) => {
  const { Thimble } = await import(address);
  const blob = await (await fetch(file)).blob();
  const session = await Thimble.create({ model: new File([blob], "SmolLM2.gguf") });
  return await session.prompt(prompt, options);
}"""


def test_the_page_writes_what_the_command_line_writes(
    page: Page, server: str, real_model: Path
) -> None:
    params = thimble.SamplingParams(temperature=0.0, max_tokens=16)
    model = thimble.load(real_model)
    wanted = "".join(piece.text for piece in model.session().generate(PROMPT, params))
    model.close()
    with serving() as place:
        place.pages["/model"] = (real_model.read_bytes(), {})
        page.goto(place.page("<p>Mine"))
        found = page.evaluate(WRITE, [f"{server}/thimble.js", "/model", PROMPT, OPTIONS])
    assert found == wanted and len(wanted) > 20
