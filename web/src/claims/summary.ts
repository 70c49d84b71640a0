/** The report in the page: all results in one table, beside an earlier report where one is loaded. */

import { check } from "./check";
import type { Report, Result } from "./report";
import { say, sayRange, sayResult } from "./words";

/** The table of a report, with a column for the other one. */
export function table(report: Report, other: Report | null): HTMLElement {
  const made = document.createElement("table");
  made.className = "claims-table";
  made.createCaption().textContent = other
    ? `Measured here, ${date(report)}, compared with a report of ${date(other)}`
    : `Measured here, ${date(report)}`;
  const names = other ? ["claim", "here", "spread", "there", "spread"] : ["claim", "number", "spread", "of what"];
  const head = made.createTHead().insertRow();
  for (const name of names) head.append(cell("th", name, "col"));
  const body = made.createTBody();
  const claims = new Map([...(other?.results ?? []), ...report.results].map((result) => [result.claim, result.title]));
  for (const [claim, title] of claims) {
    const mine = report.results.find((result) => result.claim === claim);
    const theirs = other?.results.find((result) => result.claim === claim);
    const row = body.insertRow();
    row.dataset["claim"] = claim;
    row.append(cell("th", title, "row"), ...figures(mine));
    if (other) row.append(...figures(theirs));
    else row.append(cell("td", mine?.quantities[0]?.name ?? mine?.error ?? ""));
    if (mine?.status === "failed") row.className = "failed";
  }
  const box = document.createElement("div");
  box.className = "claims-box";
  box.tabIndex = 0; // it scrolls
  box.setAttribute("role", "region");
  box.setAttribute("aria-label", "The report, as a table");
  box.append(made);
  return box;
}

/** What the numbers were measured with. */
export function facts(report: Report): HTMLElement {
  const { machine, model, thimble, build, samples } = report;
  const memory = machine.memory === null ? "" : `, at least ${machine.memory} GB of memory`;
  const rows: [string, string][] = [
    ["Machine", `${machine.cores} cores${memory}; ${machine.browser}`],
    ["Model", `${model.name}, ${model.parameters.toLocaleString("en")} parameters, SHA-256 ${model.sha256.slice(0, 16)}…`],
    ["Thimble", `${thimble}, build ${build.slice(0, 16)}…`],
    ["Samples", `${samples} of what takes a fraction of a second, fewer of what takes seconds`],
  ];
  const list = document.createElement("dl");
  list.className = "claims-facts";
  for (const [name, words] of rows) {
    const pair = document.createElement("div");
    pair.append(cell("dt", name), cell("dd", words));
    list.append(pair);
  }
  return list;
}

/** What may have disturbed a measurement, claim by claim. */
export function doubts(report: Report): HTMLElement {
  const list = document.createElement("ul");
  list.className = "claims-doubts";
  for (const { title, doubts } of report.results) {
    for (const words of doubts) list.append(cell("li", `${title}: ${words}`));
  }
  return list;
}

/** What of another report could be checked here. */
export function checks(report: Report, here: Report): HTMLElement {
  const list = document.createElement("ul");
  list.className = "claims-checks";
  for (const { words, holds } of check(report, here)) {
    const mark = holds === null ? "Unknown" : holds ? "Holds" : "Does not hold";
    const line = document.createElement("li");
    line.dataset["holds"] = String(holds);
    line.append(cell("strong", mark), ` ${words}`);
    list.append(line);
  }
  return list;
}

function figures(result: Result | undefined): HTMLElement[] {
  const [first] = result?.status === "done" ? result.quantities : [];
  if (!result) return [cell("td", "not measured", undefined, "number"), cell("td", "")];
  if (!first) return [cell("td", sayResult(result), undefined, "number"), cell("td", "")];
  return [cell("td", say(first.median, first.unit), undefined, "number"), cell("td", sayRange(first))];
}

function date({ made }: Report): string {
  const at = new Date(made);
  return Number.isNaN(at.getTime()) ? made : at.toLocaleString("en-GB", { dateStyle: "medium", timeStyle: "short" });
}

function cell(tag: string, words: string, scope?: string, name?: string): HTMLElement {
  const made = document.createElement(tag);
  made.textContent = words;
  if (scope) made.setAttribute("scope", scope);
  if (name) made.className = name;
  return made;
}
