"use strict";

function setUpRollouts() {
  if (!DATA.rollouts.length) return;
  document.getElementById("rollouts").hidden = false;
  const [arm, step, earlier, later] = ["arm", "step", "earlier", "later"].map((name) => document.getElementById(`rollouts-${name}`));
  arm.replaceChildren(...DATA.rollouts.map((one, index) => make("option", { value: index }, one.arm)));
  const fill = () => {
    const near = Number(step.selectedOptions.length ? step.selectedOptions[0].textContent : 0);
    const { steps } = DATA.rollouts[arm.value];
    step.replaceChildren(...steps.map((one, index) => make("option", { value: index }, String(one.step))));
    step.value = Math.max(0, nearest(steps.map((one) => one.step), near));
    show();
  };
  const show = () => {
    const { steps } = DATA.rollouts[arm.value];
    earlier.disabled = Number(step.value) <= 0;
    later.disabled = Number(step.value) >= steps.length - 1;
    document.getElementById("rollouts-result").replaceChildren(...rolloutsAt(DATA.rollouts[arm.value], steps[step.value]));
  };
  const move = (by) => { step.value = Number(step.value) + by; show(); };
  arm.addEventListener("change", fill);
  step.addEventListener("change", show);
  earlier.addEventListener("click", () => move(-1));
  later.addEventListener("click", () => move(1));
  fill();
}

function rolloutsAt(of, at) {
  if (!at) return [make("p", { class: "quiet" }, `Nothing that was logged can be shown${of.why ? `: ${of.why}` : ""}.`)];
  const kind = of.kind === "validation" ? "validation answers" : "responses it was trained on";
  const few = `Of run ${of.run}, ${kind}: the first prompts of ${of.steps.length} of ${of.of} logged steps.`;
  const why = of.why ? ` ${of.kind === "validation" ? "The parts are as logged, without their terms" : "Their reward is not laid open"}: ${of.why}.` : "";
  const others = DATA.curves.arms.map((arm) => arm.name).filter((name) => !DATA.rollouts.some((one) => one.arm === name));
  const none = others.length ? ` Not here, because they logged none or come after the first ${DATA.rollouts.length}: ${others.join(", ")}.` : "";
  return [make("p", { class: "quiet" }, few + why + none), ...at.prompts.map((prompt) => make("article", { class: "prompt" },
    make("h3", {}, `Step ${at.step}: ${prompt.responses.length} ${prompt.all == null ? "" : `of ${prompt.all} `}responses to one prompt`),
    make("details", {}, make("summary", {}, "Prompt"), make("pre", {}, prompt.prompt)),
    make("details", {}, make("summary", {}, "Gold answer"), make("pre", {}, prompt.gold)),
    make("div", { class: "responses" }, ...prompt.responses.map(showResponse))))];
}

function showResponse(response, position) {
  const total = response.score == null ? "no score" : `reward ${short(response.score)}`;
  const parts = response.parts.length ? [make("table", { class: "parts" },
    make("thead", {}, make("tr", {}, ...["Part", "Raw", "Weight", "Adds"].map((text) => make("th", { scope: "col" }, text)))),
    make("tbody", {}, ...response.parts.flatMap(showPart)))] : [];
  return make("section", { class: "response", "aria-label": `Response ${position + 1}` },
    make("p", {}, make("strong", {}, total), response.note ? ` ${response.note}` : ""), make("pre", {}, response.output), ...parts);
}

function showPart(part) {
  const number = (value) => make("td", {}, value == null ? "–" : short(value));
  const row = make("tr", {}, make("th", { scope: "row" }, part.name), number(part.raw), number(part.weight), number(part.weighted));
  if (!part.terms.length) return [row];
  const terms = part.terms.map(([name, formula, value]) => make("li", {}, `${name}: ${formula} = ${short(value)}`));
  return [row, make("tr", {}, make("td", { colspan: 4, class: "terms" }, make("ul", {}, ...terms)))];
}
