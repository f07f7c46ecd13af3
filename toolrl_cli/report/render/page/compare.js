"use strict";
const SETTINGS_SHOWN = 12;

function setUpCompare() {
  const tables = DATA.tables.map((table, index) => ({ table, index })).filter((one) => one.table.rows.length > 1);
  if (!tables.length || !DATA.tables.some((table) => table.rows.some((row) => row.settings))) return;
  document.getElementById("compare").hidden = false;
  const [which, a, b] = ["compare-table", "compare-a", "compare-b"].map((id) => document.getElementById(id));
  const option = (text, value) => make("option", { value }, text);
  which.replaceChildren(...tables.map((one) => option(one.table.title, one.index)));
  const fill = () => {
    const { rows, opens } = DATA.tables[which.value];
    for (const [select, chosen] of [[a, opens[0]], [b, opens[1]]]) {
      select.replaceChildren(...rows.map((row, index) => option(row.arm, index)));
      select.value = chosen;
    }
    show();
  };
  const show = () => {
    const table = DATA.tables[which.value];
    document.getElementById("compare-result").replaceChildren(
      ...table.items.flatMap((items) => itemsOf(items, Number(a.value), Number(b.value), table.items.length > 1)), ...settingsOf(table.rows[a.value], table.rows[b.value]));
  };
  which.addEventListener("change", fill);
  a.addEventListener("change", show);
  b.addEventListener("change", show);
  fill();
}

function settingsOf(a, b) {
  if (!a.settings || !b.settings) return [make("p", { class: "quiet" }, "One of the two is not in these sweeps.")];
  const keys = [...new Set([...Object.keys(a.settings), ...Object.keys(b.settings)])].sort();
  const differing = keys.filter((key) => a.settings[key] !== b.settings[key]);
  if (!differing.length) return [make("p", { class: "quiet" }, "Their configurations do not differ.")];
  const table = grid(["Setting", "A", "B"], differing.map((key) =>
    [make("code", {}, key), a.settings[key] ?? "–", b.settings[key] ?? "–"]), "settings");
  return [make("details", { open: differing.length <= SETTINGS_SHOWN },
    make("summary", {}, `Their configurations differ in ${differing.length} settings`), table)];
}

function itemsOf(items, a, b, named) {
  const head = named ? [make("h3", {}, items.benchmark)] : [];
  const quiet = (text) => [...head, make("p", { class: "quiet" }, text)];
  const [right, asked] = [[items.right[a], items.right[b]], [items.asked[a], items.asked[b]]];
  if (!right[0] || !right[1]) return quiet(items.why || "One of the two has no per-item verdicts.");
  if (a === b) return quiet("A and B are the same row.");
  const pair = items.pairs[`${Math.min(a, b)},${Math.max(a, b)}`];
  if (!pair) return quiet("Too many arms to test each pair here: `toolrl report --pair` does.");
  if (pair.why) return quiet(`Not compared: ${pair.why}.`);
  const only = { a: [], b: [] };
  let [all, none, equal] = [0, 0, 0];
  for (let i = 0; i < items.ids.length; i++) {
    if (!asked[0][i] || !asked[1][i]) continue;
    const [x, y] = [right[0][i] * asked[1][i], right[1][i] * asked[0][i]];
    if (x > y) only.a.push(i);
    else if (x < y) only.b.push(i);
    else if (!right[0][i]) none++;
    else if (right[0][i] === asked[0][i]) all++;
    else equal++;
  }
  const turn = a < b ? 1 : -1;
  const [low, high] = [turn * pair.low, turn * pair.high].sort((x, y) => x - y);
  return [...head,
    make("p", {}, `A right more often ${only.a.length}, B more often ${only.b.length}, both always ${all}, `
      + `both never ${none}${equal ? `, equally often ${equal}` : ""}; exact sign test's p ${pair.sign_p}.`),
    make("p", {}, `A - B over these ${pair.n} items: ${signed(turn * pair.difference)} points, 95 % interval `
      + `${signed(low)} to ${signed(high)} (Bonett and Price), exact sign-flip p ${pair.p} (each item one piece of evidence; `
      + "not corrected for looking at many pairs)."),
    ...[["A right more often", only.a], ["B right more often", only.b]].map(([title, found]) => listItems(title, found, items, a, b)),
  ];
}

function signed(value) {
  return `${value < 0 ? "−" : "+"}${Math.abs(value).toFixed(1)}`;
}

function listItems(title, found, items, a, b) {
  const details = make("details", {}, make("summary", {}, `${title}: ${found.length} items`));
  details.addEventListener("toggle", () => {
    if (details.childElementCount > 1) return;
    details.append(...found.slice(0, 500).map((i) => make("div", {},
      make("p", {}, make("code", {}, items.ids[i]), ` ${items.categories[i]}`), ...itemTexts(items, i, { A: a, B: b }))));
    if (found.length > 500) details.append(make("p", { class: "quiet" }, "The rest is in the items' files."));
  });
  return details;
}
