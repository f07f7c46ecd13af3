"use strict";
// Text reaches the page through textContent alone: names and model outputs are data, never markup.
const DATA = JSON.parse(document.getElementById("data").textContent);

function make(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value !== false && value != null) node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.filter((child) => child != null));
  return node;
}

function grid(head, rows, kind) {
  return make("div", { class: "scroll" }, make("table", { class: kind },
    make("thead", {}, make("tr", {}, ...head.map((text) => make("th", { scope: "col" }, text)))),
    make("tbody", {}, ...rows.map((row) => make("tr", {}, ...row.map((cell) => make("td", {}, cell)))))));
}

function showTable(table, position) {
  const body = make("tbody");
  const heads = table.columns.map((column, index) =>
    make("th", { scope: "col", "aria-sort": "none" },
      make("button", { type: "button", onclick: () => sortBy(index) }, column.label)));
  let order = null;
  let wanted = "";

  function sortBy(index) {
    const worst = table.columns[index].direction === "lower" ? ["ascending", "descending"] : ["descending", "ascending"];
    const next = { none: worst[0], [worst[0]]: worst[1], [worst[1]]: "none" }[heads[index].getAttribute("aria-sort")];
    heads.forEach((head) => head.setAttribute("aria-sort", "none"));
    heads[index].setAttribute("aria-sort", next);
    order = next === "none" ? null : { index, sign: next === "ascending" ? 1 : -1 };
    fill();
  }

  function compare(a, b) {
    const [x, y] = [a.cells[order.index].value, b.cells[order.index].value];
    if (x == null || y == null) return (x == null) - (y == null);
    return order.sign * (x - y);
  }

  function fill() {
    const rows = [];
    for (const group of table.groups) {
      let members = table.rows.filter((row) => row.group === group);
      members = members.filter((row) => row.arm.toLowerCase().includes(wanted));
      if (order) members = members.slice().sort(compare);
      if (group && members.length) {
        rows.push(make("tr", { class: "group" }, make("td", { colspan: table.columns.length + 1 }, group)));
      }
      rows.push(...members.map((row) => showRow(table, row)));
    }
    if (!rows.length) {
      const none = table.rows.length ? "No arm has this in its name." : "This table has no rows.";
      rows.push(make("tr", { class: "none" }, make("td", { class: "quiet", colspan: table.columns.length + 1 }, none)));
    }
    body.replaceChildren(...rows);
  }

  fill();
  const filter = make("input", {
    type: "search", placeholder: "Filter arms", "aria-label": `Filter the arms of ${table.title}`,
    oninput: (event) => { wanted = event.target.value.trim().toLowerCase(); fill(); },
  });
  return make("section", { id: `table-${position}` },
    make("h2", {}, table.title),
    make("p", { class: "controls" }, filter),
    make("div", { class: "scroll" }, make("table", { class: hasLongNames(table) ? "long" : null },
      make("thead", {}, make("tr", {}, make("th", { scope: "col" }, "Arm"), ...heads)), body)),
    make("ul", { class: "notes" }, ...table.notes.map((note) => make("li", {}, note))));
}

function hasLongNames(table) {
  return table.rows.some((row) => row.label.length > 24);
}

// A long name may be broken after its signs, on a narrow screen.
function breakable(name) {
  return name.split(/(?<=[-+_/.,])/).flatMap((part, index) => (index ? [make("wbr"), part] : [part]));
}

function showRow(table, row) {
  return make("tr", {}, make("th", { scope: "row", title: row.arm }, ...breakable(row.label)),
    ...row.cells.map((cell, index) => make("td", {}, showCell(table, row, cell, index))));
}

function showCell(table, row, cell, index) {
  const kind = cell.best ? "best" : cell.second ? "second" : cell.value == null ? "state" : "";
  const bad = /^(failed|unreadable|mixed|ambiguous)/.test(cell.main) ? " failed" : "";
  return make("button", { type: "button", class: kind + bad, onclick: () => openCell(table, row, cell, index) },
    make("span", { class: "main" }, cell.main), cell.spread ? make("span", { class: "spread" }, ` ${cell.spread}`) : null,
    ...cell.sub.map((text) => make("span", { class: "sub" }, text)));
}

function openCell(table, row, cell, index) {
  document.getElementById("cell-title").textContent = `${row.arm}, ${table.columns[index].label}`;
  const found = cell.sources.map(([stage, value, state]) => ({ ...DATA.evaluations[stage], value, state }));
  const parts = [make("p", {}, cell.spread ? `${cell.main} ${cell.spread}` : cell.main)];
  if (cell.test) parts.push(make("p", {}, cell.test));
  if (cell.note) parts.push(make("p", { class: "quiet" }, cell.note));
  if (found.length) {
    parts.push(grid(["Runs", "Seeds", "Value", "Checkpoint", "Evaluation", "Items"], found.map((one) => [
      one.runs.join(", "), one.seeds.join(", "), one.value == null ? one.state : String(one.value),
      make("code", {}, one.trained ? checkpoint(one) : "model as given"),
      make("code", {}, one.stage), make("code", {}, one.items || "none"),
    ])));
  }
  document.getElementById("cell-body").replaceChildren(...parts);
  document.getElementById("cell").showModal();
}

function checkpoint(one) {
  const step = one.step == null || one.checkpoint.startsWith("step") ? "" : `, step ${one.step}`;
  return `${one.trained}, ${one.checkpoint || "as exported"}${step}`;
}

function showClaims() {
  if (!DATA.claims.length) return;
  const section = document.getElementById("claims");
  section.hidden = false;
  const untested = DATA.claims.filter((claim) => !claim.tested);
  section.querySelector(".list").replaceChildren(
    ...DATA.claims.filter((claim) => claim.tested).map(showClaim),
    ...(untested.length ? [make("details", {},
      make("summary", {}, `${untested.length} claims on which these sweeps have no results`), ...untested.map(showClaim))] : []));
}

function showClaim(claim) {
  return make("div", { class: `claim ${claim.verdict}` },
    make("p", {}, make("strong", {}, claim.verdict), ` ${claim.text}`, claim.on ? ` (${claim.on})` : ""),
    ...claim.steps.map((text) => make("p", { class: "quiet" }, text)),
    make("p", { class: "quiet" }, `printed: ${claim.printed}`));
}
