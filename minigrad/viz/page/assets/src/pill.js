// The value and the gradient of a single line, written into its node as labels.py does it.

import { num } from "./dom.js";

const VERMILION = ["#FFF4EC", "#FDDDC6", "#F9BC93", "#EF9354", "#DB6B1B", "#B24C00", "#7F3100", "#5A2200"];
const MUTED = "#01FE03"; // the stand-in of the theme
const rgb = (hex) => [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16));

/** Where a gradient stands between the ends of a logarithmic scale, 0 … 1. */
export function level(x, low, high) {
  if (!(x > 0) || !Number.isFinite(x)) return 0;
  if (high <= low) return 1;
  return Math.min(Math.max(0.06 + (0.94 * Math.log(x / low)) / Math.log(high / low), 0.06), 1);
}

function ramp(at) {
  const x = at * (VERMILION.length - 1);
  const i = Math.min(Math.floor(x), VERMILION.length - 2);
  const [a, b] = [rgb(VERMILION[i]), rgb(VERMILION[i + 1])];
  return a.map((v, c) => Math.round(v + (b[c] - v) * (x - i)));
}

/** The DOT of a node with two rows more; numbers only, so there is nothing to escape. */
export function withNumbers(model, line, dot) {
  const [value, gradient] = [model.value(line), model.gradient(line)];
  if (!dot.includes('COLSPAN="2"')) return dot;
  let rows = "";
  if (value && typeof value[2] === "number") {
    rows += `<TR><TD COLSPAN="2"><FONT POINT-SIZE="9.5" COLOR="${MUTED}">${num(value[2], 3)} … ${num(value[3], 3)}</FONT></TD></TR>`;
  }
  if (gradient && typeof gradient[0] === "number" && model.ends.length) {
    const colour = ramp(level(gradient[0], ...model.ends));
    const [red, green, blue] = colour;
    const ink = 0.2126 * red + 0.7152 * green + 0.0722 * blue > 118 ? "#0F172A" : "#FFFFFF";
    const hex = `#${colour.map((v) => v.toString(16).padStart(2, "0")).join("")}`;
    rows +=
      `<TR><TD ALIGN="RIGHT"><FONT POINT-SIZE="8" COLOR="${MUTED}">|grad|</FONT></TD>` +
      `<TD BGCOLOR="${hex}" STYLE="ROUNDED" CELLPADDING="2"><FONT POINT-SIZE="9" COLOR="${ink}"><B>${num(gradient[0], 3)}</B></FONT></TD></TR>`;
  }
  return dot.replace("</TABLE>>", `${rows}</TABLE>>`);
}
