/** Code in a link: in the fragment, which no browser sends to a server. It is shown, never run. */

/** Longer addresses are cut off by programs that pass them on. */
const LONGEST = 8000;

function toBase64Url(text: string): string {
  const bytes = new TextEncoder().encode(text);
  const binary = Array.from(bytes, (byte) => String.fromCharCode(byte)).join("");
  return btoa(binary).replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "");
}

function fromBase64Url(text: string): string {
  const binary = atob(text.replaceAll("-", "+").replaceAll("_", "/"));
  const bytes = Uint8Array.from(binary, (letter) => letter.charCodeAt(0));
  return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
}

/** The code that a fragment brings; null where it brings none, an Error where it cannot be read. */
export function codeIn(fragment: string): string | Error | null {
  const code = new URLSearchParams(fragment.replace(/^#/, "")).get("code");
  if (code === null || code === "") return null;
  try {
    return fromBase64Url(code).replaceAll("\r\n", "\n");
  } catch {
    return new Error("The code in this link cannot be read: part of the link is missing.");
  }
}

/** The address of this page with the code; an Error where it would be too long for a link. */
export function linkTo(code: string): string | Error {
  const url = new URL(location.href);
  url.hash = new URLSearchParams({ panel: "python", code: toBase64Url(code) }).toString();
  if (url.href.length > LONGEST) {
    return new Error(`A link can have ${LONGEST} characters, and this one would have ${url.href.length}.`);
  }
  return url.href;
}
