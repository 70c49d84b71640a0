/** Light, dark, or as the system has it; a choice is saved on this machine. */

const KEY = "thimble.theme";
const THEMES = ["auto", "light", "dark"] as const;
type Theme = (typeof THEMES)[number];

const WORDS: Record<Theme, string> = { auto: "Auto", light: "Light", dark: "Dark" };

/** Storage may be forbidden; then the choice lasts as long as the page. */
function read(): Theme {
  try {
    const saved = localStorage.getItem(KEY);
    return THEMES.find((theme) => theme === saved) ?? "auto";
  } catch {
    return "auto";
  }
}

function keep(theme: Theme): void {
  try {
    if (theme === "auto") localStorage.removeItem(KEY);
    else localStorage.setItem(KEY, theme);
  } catch {
    // Nothing to keep it in.
  }
}

/** Let `button` go through the themes; `name` says which one it is. */
export function themeButton(button: HTMLButtonElement, name: HTMLElement): void {
  let theme = read();
  const show = (): void => {
    if (theme === "auto") delete document.documentElement.dataset["theme"];
    else document.documentElement.dataset["theme"] = theme;
    name.textContent = WORDS[theme];
    button.setAttribute("aria-label", `Theme: ${WORDS[theme]}`);
  };
  button.addEventListener("click", () => {
    theme = THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length] ?? "auto";
    keep(theme);
    show();
  });
  show();
  button.hidden = false;
}
