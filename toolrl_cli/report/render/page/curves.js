"use strict";
const WIDTH = 320, HEIGHT = 212, LEFT = 40, RIGHT = 8, TOP = 8, BOTTOM = 38;
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
  const plots = section.querySelector(".plots");
  const draw = () => plots.replaceChildren(...curves.panels.map((panel) => drawPanel(panel, curves, shown)));
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

function drawPanel(panel, curves, shown) {
  const lines = panel.lines.filter((line) => shown.has(line.arm));
  const values = lines.flatMap((line) => line.y.flatMap((y, i) => [y - (line.h[i] ?? 0), y + (line.h[i] ?? 0)]));
  const last = Math.max(1, ...lines.map((line) => line.x[line.x.length - 1]));
  const [low, high] = withMargin(Math.min(...values), Math.max(...values));
  const ticks = niceTicks(low, high).filter((tick) => tick >= low && tick <= high);
  const x = (step) => LEFT + (step / last) * (WIDTH - LEFT - RIGHT);
  const y = (value) => TOP + ((high - value) / (high - low)) * (HEIGHT - TOP - BOTTOM);
  const plot = svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": panel.title });
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
    const point = (i, offset) => `${x(line.x[i]).toFixed(1)},${y(line.y[i] + offset).toFixed(1)}`;
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
  }
  hover(plot, lines, curves, last, x);
  const unit = panel.title.endsWith(panel.unit) ? null : make("span", { class: "spread" }, ` ${panel.unit}`);
  return make("figure", {}, make("figcaption", {}, panel.title, unit), plot);
}

function label(x, y, anchor, text) {
  return svg("text", { x, y, "text-anchor": anchor }, text);
}

function hover(plot, lines, curves, last, x) {
  const cursor = svg("line", { class: "cursor", y1: TOP, y2: HEIGHT - BOTTOM, visibility: "hidden" });
  const tip = document.getElementById("tip");
  plot.append(cursor);
  plot.addEventListener("pointermove", (event) => {
    const box = plot.getBoundingClientRect();
    const share = ((event.clientX - box.left) / box.width * WIDTH - LEFT) / (WIDTH - LEFT - RIGHT);
    const step = Math.round(Math.min(1, Math.max(0, share)) * last);
    const found = lines.map((line) => ({ line, at: nearest(line.x, step) })).filter((one) => one.at >= 0);
    if (!found.length) return;
    cursor.setAttribute("x1", x(step));
    cursor.setAttribute("x2", x(step));
    cursor.setAttribute("visibility", "visible");
    tip.replaceChildren(make("strong", {}, `step ${step}`), ...found.slice(0, 14).map(({ line, at }) => make("div", {},
      make("i", { style: `background:${curves.arms[line.arm].colour}` }), `${curves.arms[line.arm].name}: ${line.y[at]}`,
      line.h[at] == null ? "" : ` ± ${line.h[at]}`, ` (${line.n[at]})`)));
    tip.hidden = false;
    const left = Math.min(event.clientX + 14, window.innerWidth - tip.offsetWidth - 8);
    tip.style.left = `${Math.max(8, left)}px`;
    tip.style.top = `${Math.min(event.clientY + 14, window.innerHeight - tip.offsetHeight - 8)}px`;
  });
  plot.addEventListener("pointerleave", () => { cursor.setAttribute("visibility", "hidden"); tip.hidden = true; });
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
