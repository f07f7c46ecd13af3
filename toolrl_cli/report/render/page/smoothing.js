"use strict";
// The mean of a line over a window of steps around each of its points, or of its two neighbours where those are farther apart; its interval is that of no single step and is left out.
function smoothed(line, width) {
  const y = line.x.map((step, at) => {
    let [sum, count] = [0, 0];
    for (let i = 0; i < line.x.length; i++) {
      if (Math.abs(line.x[i] - step) <= width / 2 || Math.abs(i - at) <= 1) { sum += line.y[i]; count++; }
    }
    return Number((sum / count).toPrecision(4));
  });
  return { ...line, y, h: line.h.map(() => null) };
}
