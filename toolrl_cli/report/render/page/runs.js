"use strict";

function setUpRuns() {
  const { runs, stages, all } = DATA.runs;
  if (!runs.length) return;
  document.getElementById("runs").hidden = false;
  const hours = all.gpu_hours ? `, ${short(all.gpu_hours)} GPU-hours` : all.unknown || !all.seconds ? "" : ", on CPUs";
  const unknown = all.unknown ? `; on what ${all.unknown} of the stages ran is not known` : "";
  const told = `${all.runs} runs of ${all.stages} stages, each counted once: ${lasting(all.seconds)}${hours}, all attempts together${unknown}.`;
  const rest = all.runs > runs.length ? ` The first ${runs.length} are shown; \`toolrl show RUN\` has each.` : "";
  document.getElementById("runs-result").replaceChildren(make("p", { class: "quiet" }, told + rest), make("div", { class: "scroll" },
    make("table", { class: "long" }, make("thead", {}, make("tr", {},
      ...["Run", "Seed", "Model", "Reward", "Stages", "Time", "GPU-hours", "W&B"].map((text) => make("th", { scope: "col" }, text)))),
    make("tbody", {}, ...runs.map((run) => runRow(run, stages))))));
}

function runRow(run, stages) {
  const own = run.stages.map((id) => [id, stages[id]]);
  const timed = own.map(([, stage]) => stage).filter((stage) => stage.seconds != null);
  const time = timed.reduce((total, stage) => total + stage.seconds, 0);
  const hours = timed.reduce((total, stage) => total + (stage.gpu_hours || 0), 0);
  const done = own.filter(([, stage]) => stage.status === "succeeded").length;
  const open = make("button", { type: "button", "aria-expanded": "false", title: "Its stages" }, ...breakable(run.run));
  const place = run.url ? make("a", { href: run.wandb, rel: "noreferrer" }, "open") : run.wandb ? make("code", {}, ...breakable(run.wandb)) : "–";
  const row = make("tr", {}, make("th", { scope: "row" }, open), ...[String(run.seed), run.model, run.reward || "–", `${done}/${own.length} done`,
    timed.length ? lasting(time) : "–", hours ? short(hours) : "–", place].map((cell) => make("td", {}, cell)));
  open.addEventListener("click", () => {
    const shown = open.getAttribute("aria-expanded") === "true";
    open.setAttribute("aria-expanded", String(!shown));
    if (shown) row.nextElementSibling.remove();
    else row.after(make("tr", { class: "opened" }, make("td", { colspan: 8 }, ...own.map(stageFacts))));
  });
  return row;
}

function stageFacts([id, stage]) {
  const facts = [["status", `${stage.status}${stage.attempts > 1 ? `, ${stage.attempts} attempts` : ""}`],
    ["time", stage.seconds == null ? "" : lasting(stage.seconds)], ["GPU-hours", stage.gpu_hours ? short(stage.gpu_hours) : ""],
    ["machine", stage.host], ["data", stage.data], ["versions", stage.versions], ["files", stage.files]];
  return make("details", {}, make("summary", {}, `${stage.kind} `, make("code", {}, id)),
    make("dl", {}, ...facts.filter(([, text]) => text).flatMap(([name, text]) => [make("dt", {}, name), make("dd", {}, text)])));
}

function lasting(seconds) {
  if (seconds < 60) return `${Math.round(seconds)} s`;
  const minutes = Math.round(seconds / 60);
  return minutes < 60 ? `${minutes} min` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}
