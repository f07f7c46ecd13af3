"use strict";
document.getElementById("title").textContent = DATA.title;
document.getElementById("tables").replaceChildren(...DATA.tables.map(showTable));
showClaims();
setUpCurves();
setUpCompare();
setUpItems();
setUpRollouts();
setUpRuns();
document.getElementById("contents").replaceChildren(
  ...DATA.tables.map((table, index) => make("a", { href: `#table-${index}` }, table.title)),
  ...["claims", "curves", "compare", "items", "rollouts", "runs"].map((id) => document.getElementById(id)).filter((section) => !section.hidden)
    .map((section) => make("a", { href: `#${section.id}` }, section.querySelector("h2").textContent)));
