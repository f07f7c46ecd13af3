"use strict";
const WIDTH = 320, HEIGHT = 212, LEFT = 44, RIGHT = 14, TOP = 8, BOTTOM = 38;
const SVG = "http://www.w3.org/2000/svg";

function svg(tag, attributes = {}, ...children) {
  const node = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

function setUpCurves() {
  const curves = DATA.curves;
  // Black is the ink of a light page alone.
  for (const arm of curves.arms) if (arm.colour === "#000000") arm.colour = "var(--ink)";
  if (!curves.panels.length) return;
  const section = document.getElementById("curves");
  section.hidden = false;
  const shown = new Set(curves.arms.map((_, index) => index).filter((index) => index < 12));
  const width = document.getElementById("curves-smooth");
  const draw = () => {
    for (const [name, training] of [[".plots", false], [".training .plots", true]]) {
      section.querySelector(name).replaceChildren(...curves.panels.filter((panel) => panel.training === training)
        .map((panel) => drawPanel(panel, curves, shown, Number(width.value))));
    }
  };
  width.addEventListener("change", draw);
  section.querySelector(".training").hidden = !curves.panels.some((panel) => panel.training);
  const notes = [...new Set(curves.panels.flatMap((panel) => panel.notes)), ...curves.notes];
  section.querySelector(".scales").textContent = notes.join(" ");
  section.querySelector(".legend").replaceChildren(...curves.arms.map((arm, index) => {
    const box = make("input", { type: "checkbox", checked: shown.has(index), onchange: (event) => {
      if (event.target.checked) shown.add(index); else shown.delete(index);
      draw();
    } });
    const line = svg("svg", { width: 26, height: 10 }, svg("line", {
      x1: 0, x2: 26, y1: 5, y2: 5, style: `stroke:${arm.colour}`, "stroke-width": 2.5, "stroke-dasharray": arm.dash }));
    return make("label", {}, box, line, arm.name);
  }));
  draw();
}

function drawPanel(panel, curves, shown, window) {
  const logged = panel.lines.filter((line) => shown.has(line.arm));
  const smooth = window > 1 && !panel.sparse;
  const lines = smooth ? logged.map((line) => smoothed(line, window)) : logged;
  const [least, most] = panel.limits || [-Infinity, Infinity];
  const within = (value) => Math.min(most, Math.max(least, value));
  const values = lines.flatMap((line) => line.y.flatMap((y, i) => line.h[i] == null ? [y] : [y, within(y - line.h[i]), within(y + line.h[i])]));
  const last = Math.max(1, ...lines.map((line) => line.x[line.x.length - 1]));
  const [low, high] = withMargin(Math.min(...values), Math.max(...values));
  const ticks = niceTicks(low, high).filter((tick) => tick >= low && tick <= high);
  const x = (step) => LEFT + (step / last) * (WIDTH - LEFT - RIGHT);
  const y = (value) => TOP + ((high - value) / (high - low)) * (HEIGHT - TOP - BOTTOM);
  const plot = svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", tabindex: 0, "aria-label": inWords(panel, lines, curves) });
  for (const tick of ticks) {
    plot.append(svg("line", { class: "grid", x1: LEFT, x2: WIDTH - RIGHT, y1: y(tick), y2: y(tick) }));
    plot.append(label(LEFT - 5, y(tick) + 3, "end", short(tick)));
  }
  for (const tick of niceTicks(0, last).filter((tick) => tick <= last && Number.isInteger(tick))) {
    plot.append(label(x(tick), HEIGHT - 22, "middle", short(tick)));
  }
  plot.append(label((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 6, "middle", "training step"));
  for (const line of lines) {
    const arm = curves.arms[line.arm];
    const point = (i, offset) => `${x(line.x[i]).toFixed(1)},${y(offset ? within(line.y[i] + offset) : line.y[i]).toFixed(1)}`;
    const known = line.x.map((_, i) => i).filter((i) => line.h[i] != null);
    if (known.length > 1) {
      const edge = [...known.map((i) => point(i, line.h[i])), ...known.reverse().map((i) => point(i, -line.h[i]))];
      plot.append(svg("polygon", { points: edge.join(" "), style: `fill:${arm.colour}`, opacity: 0.14 }));
    }
    // Beyond the last step that every seed reached, what changes may be who is averaged: drawn faint.
    const whole = line.n.lastIndexOf(Math.max(...line.n));
    const part = (from, to, opacity) => svg("polyline", {
      points: line.x.map((_, i) => point(i, 0)).slice(from, to).join(" "), fill: "none", opacity,
      style: `stroke:${arm.colour}`, "stroke-width": 1.6, "stroke-dasharray": arm.dash });
    plot.append(part(0, whole + 1, 1));
    if (whole + 1 < line.x.length) plot.append(part(whole, line.x.length, 0.4));
    // A line that is a single point, or has few, shows where they are.
    if (panel.sparse || line.x.length === 1) {
      plot.append(...line.x.map((step, i) => svg("circle", { cx: x(step), cy: y(line.y[i]), r: 2.2, style: `fill:${arm.colour}` })));
    }
  }
  hover(plot, lines, curves, last, x);
  const told = smooth ? `${panel.unit}, mean of ${window} steps or three points` : panel.unit;
  const unit = panel.title.endsWith(told) ? null : make("span", { class: "spread" }, ` ${told}`);
  return make("figure", {}, make("figcaption", {}, panel.title, unit), plot);
}

function label(x, y, anchor, text) {
  return svg("text", { x, y, "text-anchor": anchor }, text);
}

// What a plot shows, for those who do not see it: the last value of each line.
function inWords(panel, lines, curves) {
  const ends = lines.map((line) => {
    const i = line.x.length - 1;
    return `${curves.arms[line.arm].name} ${line.y[i]}${line.h[i] == null ? "" : ` plus or minus ${line.h[i]}`} at step ${line.x[i]}, ${line.n[i]} seeds`;
  });
  return `${panel.title} (${panel.unit}). ${ends.join("; ")}. Left and right arrows read other steps.`;
}

function hover(plot, lines, curves, last, x) {
  const cursor = svg("line", { class: "cursor", y1: TOP, y2: HEIGHT - BOTTOM, visibility: "hidden" });
  const tip = document.getElementById("tip");
  const steps = [...new Set(lines.flatMap((line) => line.x))].sort((a, b) => a - b);
  let at = steps.length - 1;
  plot.append(cursor);
  const show = (step, left, top) => {
    const found = lines.map((line) => ({ line, at: nearest(line.x, step) })).filter((one) => one.at >= 0);
    if (!found.length) return;
    cursor.setAttribute("x1", x(step));
    cursor.setAttribute("x2", x(step));
    cursor.setAttribute("visibility", "visible");
    tip.replaceChildren(make("strong", {}, `step ${step}`), ...found.slice(0, 14).map(({ line, at: i }) => make("div", {},
      make("i", { style: `background:${curves.arms[line.arm].colour}` }), `${curves.arms[line.arm].name}: ${line.y[i]}`,
      line.h[i] == null ? "" : ` ± ${line.h[i]}`, ` (${line.n[i]})`, line.x[i] === step ? "" : ` at ${line.x[i]}`)),
      found.length > 14 ? make("div", {}, `and ${found.length - 14} more`) : "");
    tip.hidden = false;
    tip.style.left = `${Math.max(8, Math.min(left + 14, window.innerWidth - tip.offsetWidth - 8))}px`;
    tip.style.top = `${Math.max(8, Math.min(top + 14, window.innerHeight - tip.offsetHeight - 8))}px`;
  };
  const hide = () => { cursor.setAttribute("visibility", "hidden"); tip.hidden = true; };
  plot.addEventListener("pointermove", (event) => {
    const box = plot.getBoundingClientRect();
    const share = ((event.clientX - box.left) / box.width * WIDTH - LEFT) / (WIDTH - LEFT - RIGHT);
    show(Math.round(Math.min(1, Math.max(0, share)) * last), event.clientX, event.clientY);
  });
  plot.addEventListener("keydown", (event) => {
    const moves = { ArrowLeft: at - 1, ArrowRight: at + 1, Home: 0, End: steps.length - 1 };
    if (!(event.key in moves) || !steps.length) return;
    event.preventDefault();
    at = Math.min(steps.length - 1, Math.max(0, moves[event.key]));
    const box = plot.getBoundingClientRect();
    show(steps[at], box.left + (x(steps[at]) / WIDTH) * box.width, box.top);
  });
  plot.addEventListener("pointerleave", hide);
  plot.addEventListener("blur", hide);
}

function nearest(steps, wanted) {
  let found = -1;
  for (let i = 0; i < steps.length; i++) {
    if (found < 0 || Math.abs(steps[i] - wanted) < Math.abs(steps[found] - wanted)) found = i;
  }
  return found;
}

// The range of the values with some room around; 0 to 1 where there are none.
function withMargin(low, high) {
  if (!Number.isFinite(low) || !Number.isFinite(high)) return [0, 1];
  const room = high - low < 1e-9 ? 0.5 : 0.04 * (high - low);
  return [low - room, high + room];
}

function niceTicks(low, high) {
  const rough = (high - low) / 6;
  const power = 10 ** Math.floor(Math.log10(rough));
  const size = [1, 2, 5, 10].map((factor) => factor * power).find((one) => one >= rough);
  const ticks = [];
  for (let tick = Math.floor(low / size); tick <= Math.ceil(high / size); tick++) ticks.push(Number((tick * size).toPrecision(12)));
  return ticks;
}

function short(value) {
  return String(Number(value.toPrecision(4)));
}
