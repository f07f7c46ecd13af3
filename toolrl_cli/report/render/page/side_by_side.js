"use strict";
const SIDE_BY_SIDE = 100;

// One row an item, one column an arm; an opened item shows what each of them answered.
function itemsSideBySide(items, rows, kind, find) {
  const head = make("h3", {}, items.benchmark);
  const arms = Object.keys(items.right).map(Number);
  if (!arms.length) return [head, make("p", { class: "quiet" }, items.why || "There are no per-item verdicts.")];
  const asked = (i) => arms.filter((row) => items.asked[row][i]);
  const fits = (i) => (kind === "differ" ? armsDisagree(items, i) : kind === "cut" ? asked(i).some((row) => isOf(items, row, i, kind))
    : asked(i).every((row) => isOf(items, row, i, kind)));
  const found = items.ids.map((_, i) => i).filter((i) => asked(i).length && fits(i) && (!find || textsOf(items, i, arms).includes(find)));
  const whose = { wrong: " that every arm has wrong", right: " that every arm has right", cut: " that some arm was cut at", differ: " on which arms disagree", all: "" }[kind];
  const more = found.length > SIDE_BY_SIDE ? ` The first ${SIDE_BY_SIDE} are shown.` : "";
  const told = make("p", { class: "quiet" }, `${found.length} of ${items.ids.length} items${whose}. A cell says how many of the arm's seeds have it right.${more}`);
  if (!found.length) return [head, told];
  const body = make("tbody", {}, ...found.slice(0, SIDE_BY_SIDE).flatMap((i) => itemRow(items, rows, arms, i)));
  return [head, told, make("div", { class: "scroll" }, make("table", { class: "verdicts" },
    make("thead", {}, make("tr", {}, make("th", { scope: "col" }, "Item"), ...arms.map((row) => make("th", { scope: "col" }, ...breakable(rows[row].arm))))), body))];
}

function itemRow(items, rows, arms, i) {
  const open = make("button", { type: "button", "aria-expanded": "false" }, make("code", {}, items.ids[i]), ` ${items.categories[i]}`);
  const row = make("tr", {}, make("th", { scope: "row" }, open), ...arms.map((arm) => verdict(items.right[arm][i], items.asked[arm][i])));
  open.addEventListener("click", () => {
    const shown = open.getAttribute("aria-expanded") === "true";
    open.setAttribute("aria-expanded", String(!shown));
    if (shown) { row.nextElementSibling.remove(); return; }
    row.after(make("tr", { class: "opened" }, make("td", { colspan: arms.length + 1 }, ...openedItem(items, rows, arms, i))));
  });
  return [row];
}

// The answers beside each other, those that are equal once; what was asked below them.
function openedItem(items, rows, arms, i) {
  if (!items.texts[i]) return [make("p", { class: "quiet" }, "Its texts are in the items' file alone.")];
  const alike = new Map();
  for (const arm of arms.filter((one) => items.asked[one][i])) {
    const { output = "", reason = "", stop = "" } = (items.answers[arm] || {})[i] || {};
    const key = JSON.stringify([output, reason, stop]);
    if (!alike.has(key)) alike.set(key, { output, why: [reason, stop === "length" ? "cut at the limit" : ""].filter(Boolean).join("; "), names: [] });
    const asked = items.asked[arm][i];
    alike.get(key).names.push(rows[arm].arm + (asked > 1 ? ` (one of ${asked} seeds)` : ""));
  }
  const told = items.texts[i];
  return [make("div", { class: "responses" }, ...[...alike.values()].map((one) => make("section", { class: "response" },
    make("p", {}, make("strong", {}, one.names.join(", ")), one.why ? `: ${one.why}` : ""), make("pre", {}, one.output || "(nothing)")))),
  ...[["Gold answer", told.gold], ["What was asked", told.asked], ["Tools", told.tools]].filter(([, text]) => text)
    .map(([name, text]) => make("details", {}, make("summary", {}, name), make("pre", {}, text)))];
}

function verdict(right, asked) {
  if (!asked) return make("td", { class: "state" }, "–");
  const kind = right === asked ? "best" : right ? "" : "failed";
  const sign = right === asked ? "✓" : right ? "~" : "✗";
  return make("td", { class: kind }, `${sign} ${asked > 1 ? `${right}/${asked}` : ["wrong", "right"][right]}`);
}
