"use strict";

function setUpCompare() {
  const tables = DATA.tables.map((table, index) => ({ table, index })).filter((one) => one.table.rows.length > 1);
  if (!tables.length || !DATA.tables.some((table) => table.rows.some((row) => row.settings))) return;
  document.getElementById("compare").hidden = false;
  const [which, a, b] = ["compare-table", "compare-a", "compare-b"].map((id) => document.getElementById(id));
  const option = (text, value) => make("option", { value }, text);
  which.replaceChildren(...tables.map((one) => option(one.table.title, one.index)));
  const fill = () => {
    const rows = DATA.tables[which.value].rows;
    for (const [select, chosen] of [[a, 0], [b, 1]]) {
      select.replaceChildren(...rows.map((row, index) => option(row.arm, index)));
      select.value = chosen;
    }
    show();
  };
  const show = () => {
    const table = DATA.tables[which.value];
    document.getElementById("compare-result").replaceChildren(
      ...settingsOf(table.rows[a.value], table.rows[b.value]), ...itemsOf(table, Number(a.value), Number(b.value)));
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
  return [grid(["Setting", "A", "B"], differing.map((key) =>
    [make("code", {}, key), a.settings[key] ?? "–", b.settings[key] ?? "–"]), "settings")];
}

function itemsOf(table, a, b) {
  const items = table.items;
  const [first, second] = [items.verdicts[a], items.verdicts[b]];
  if (!first || !second) return [make("p", { class: "quiet" }, items.why || "One of the two has no per-item verdicts.")];
  const counts = { both: 0, a: 0, b: 0, none: 0 };
  const only = { a: [], b: [] };
  for (let i = 0; i < items.ids.length; i++) {
    const pair = first[i] + second[i];
    if (pair.includes("-")) continue;
    const kind = { 11: "both", 10: "a", "01": "b", "00": "none" }[pair];
    counts[kind]++;
    if (only[kind]) only[kind].push(i);
  }
  const key = `${Math.min(a, b)},${Math.max(a, b)}`;
  const p = items.p[key];
  const ends = (items.bootstrap[key] || []).map((value) => (a < b ? value : 0 - value));
  const [low, high] = ends.slice(1).sort((x, y) => x - y);
  return [
    make("p", {}, `Both right ${counts.both}, only A ${counts.a}, only B ${counts.b}, neither ${counts.none}`,
      p == null ? "; too many arms to test each pair here: `toolrl report --pair` does" : `; McNemar's exact p ${p}`, ". An item counts as right by the majority of its seeds."),
    ends.length ? make("p", {}, `A - B over these items: ${signed(ends[0])} points, `
      + `95 % interval ${signed(low)} to ${signed(high)} (paired bootstrap, clustered by item; not corrected for looking at many pairs).`) : "",
    ...[["Only A right", only.a], ["Only B right", only.b]].map(([title, found]) => listItems(title, found, items, a, b)),
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
      make("p", {}, make("code", {}, items.ids[i]), ` ${items.categories[i]}`),
      ...[["asked", items.prompts[i]], ["A", (items.outputs[a] || {})[i]], ["B", (items.outputs[b] || {})[i]]]
        .filter(([, text]) => text).map(([label, text]) => make("pre", {}, `${label}: ${text}`)))));
    if (found.length > 500) details.append(make("p", { class: "quiet" }, "The rest is in the items' files."));
  });
  return details;
}
