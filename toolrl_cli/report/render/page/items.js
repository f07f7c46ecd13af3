"use strict";
const ITEMS_SHOWN = 200;

function setUpItems() {
  const tables = DATA.tables.map((table, index) => ({ table, index })).filter((one) => one.table.items.some((items) => items.ids.length));
  if (!tables.length) return;
  document.getElementById("items").hidden = false;
  const [which, row, kind, find] = ["table", "row", "kind", "find"].map((name) => document.getElementById(`items-${name}`));
  which.replaceChildren(...tables.map((one) => make("option", { value: one.index }, one.table.title)));
  const fill = () => {
    const { rows, items, opens } = DATA.tables[which.value];
    const asked = rows.map((one, index) => ({ one, index })).filter(({ index }) => items.some((each) => each.right[index]));
    const all = asked.length > 1 ? [make("option", { value: "all" }, "all arms, side by side")] : [];
    row.replaceChildren(...all, ...asked.map(({ one, index }) => make("option", { value: index }, one.arm)));
    row.value = asked.some(({ index }) => index === opens[1]) ? opens[1] : (asked[0] || {}).index;
    show();
  };
  const show = () => {
    const wanted = find.value.trim().toLowerCase();
    const { rows, items } = DATA.tables[which.value];
    document.getElementById("items-result").replaceChildren(...items.flatMap((each) => (row.value === "all"
      ? itemsSideBySide(each, rows, kind.value, wanted) : itemsOfArm(each, Number(row.value), kind.value, wanted))));
  };
  which.addEventListener("change", fill);
  for (const control of [row, kind]) control.addEventListener("change", show);
  find.addEventListener("input", show);
  fill();
}

function itemsOfArm(items, row, kind, find) {
  const head = make("h3", {}, items.benchmark);
  const right = items.right[row];
  if (!right) return [head, make("p", { class: "quiet" }, items.why || "This arm has no per-item verdicts.")];
  const answers = items.answers[row] || {};
  const found = items.ids.map((_, i) => i).filter((i) => items.asked[row][i] && (kind === "differ" ? armsDisagree(items, i) : isOf(items, row, i, kind))
    && (!find || textsOf(items, i, [row]).includes(find)));
  const known = found.filter((i) => items.texts[i]).length;
  const less = known < found.length ? ` ${found.length - known} have their texts in the items' file alone.` : "";
  const seeds = Math.max(...items.asked[row]) > 1 ? " Of several seeds one answer is shown, a wrong one where there is one." : "";
  const more = found.length > ITEMS_SHOWN ? ` The first ${ITEMS_SHOWN} are shown.` : "";
  return [head, make("p", { class: "quiet" }, `${found.length} of ${items.asked[row].filter(Boolean).length} items.${less}${seeds}${more}`),
    ...found.slice(0, ITEMS_SHOWN).map((i) => {
      const details = make("details", {}, make("summary", {}, make("code", {}, items.ids[i]),
        ` ${items.categories[i]}: right ${right[i]} of ${items.asked[row][i]}`, ` ${(answers[i] || {}).reason || ""}`));
      details.addEventListener("toggle", () => {
        if (details.childElementCount === 1) details.append(...itemTexts(items, i, { answer: row }));
      });
      return details;
    })];
}

// Whether an arm's answer to an item is wrong, right or cut; one of several seeds that is wrong makes it wrong.
function isOf(items, row, i, kind) {
  if (kind === "all") return true;
  if (kind === "cut") return ((items.answers[row] || {})[i] || {}).stop === "length";
  return (items.right[row][i] === items.asked[row][i]) === (kind === "right");
}

function armsDisagree(items, i) {
  const rows = Object.keys(items.right).filter((row) => items.asked[row][i]);
  return new Set(rows.map((row) => items.right[row][i] / items.asked[row][i])).size > 1;
}

function textsOf(items, i, rows) {
  const said = rows.flatMap((row) => Object.values((items.answers[row] || {})[i] || {}));
  return [items.ids[i], items.categories[i], ...Object.values(items.texts[i] || {}), ...said].join("\n").toLowerCase();
}

// What is known of an item: what was asked, the tools, the gold answer, and each arm's answer with why it is wrong.
function itemTexts(items, i, arms) {
  const told = items.texts[i] || {};
  const said = Object.entries(arms).flatMap(([label, row]) => {
    const answer = (items.answers[row] || {})[i] || {};
    const why = [answer.reason, answer.stop === "length" ? "cut at the limit" : ""].filter(Boolean).join("; ");
    return [[why ? `${label} (${why})` : label, answer.output]];
  });
  return [["asked", told.asked], ["tools", told.tools], ["gold", told.gold], ...said]
    .filter(([, text]) => text).map(([label, text]) => make("pre", {}, `${label}: ${text}`));
}
