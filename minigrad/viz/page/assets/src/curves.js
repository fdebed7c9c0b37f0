// Curves as SVG, with names at their ends; a cursor reads all of them at one place.

import { h, num, s } from "./dom.js";

// Okabe and Ito's hues; dashes say the same for those who do not see them.
const LOOKS = [
  ["parameter", ""], ["gradient", "9 4"], ["input", "3 3"], ["state", "12 3 3 3"], ["gate", "1 3"], ["line", "6 2"],
];
const SUPER = "⁰¹²³⁴⁵⁶⁷⁸⁹";
const power = (e) => `10${e < 0 ? "⁻" : ""}${[...String(Math.abs(e))].map((d) => SUPER[d]).join("")}`;

export class Curves {
  constructor(panel, say) {
    Object.assign(this, panel);
    this.say = say;
    this.at = null;
    this.count = Math.max(...this.series.map((one) => one.length));
    this.svg = s("svg", {
      class: "curves", tabindex: "0", role: "img", "aria-label": this.#summary(),
    });
    this.svg.addEventListener("keydown", (event) => this.#key(event));
    this.svg.addEventListener("pointermove", (event) => this.#point(event));
    this.svg.addEventListener("pointerleave", () => this.#show(null));
    this.svg.addEventListener("blur", () => this.#show(null));
  }

  #summary() {
    const each = this.names.map((name, i) => {
      const one = this.series[i];
      return `${name} from ${num(one[0], 3)} to ${num(one.at(-1), 3)}`;
    });
    return `${this.title}: ${each.join("; ")}; arrow keys read the points`;
  }

  #key(event) {
    const way = { ArrowRight: 1, ArrowLeft: -1, Home: -Infinity, End: Infinity }[event.key];
    if (!way || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    event.stopPropagation();
    const at = this.at === null ? (way > 0 ? 0 : this.count - 1) : this.at + way;
    this.#show(Math.min(Math.max(at, 0), this.count - 1));
  }

  #point(event) {
    const box = this.svg.getBoundingClientRect();
    const at = Math.round(((event.clientX - box.left - this.left) / this.wide) * (this.count - 1));
    this.#show(at >= 0 && at < this.count ? at : null);
  }

  #show(at) {
    if (at === this.at) return;
    this.at = at;
    this.svg.querySelector(".cursor")?.remove();
    if (at === null) return this.say("");
    const x = this.px(at);
    const dots = this.series
      .map((one) => one[at])
      .filter((y) => this.#shown(y))
      .map((y) => s("circle", { cx: x, cy: this.py(y), r: 4 }));
    this.svg.append(
      s("g", { class: "cursor" }, s("path", { d: `M${x} ${this.top}v${this.tall}` }), ...dots),
    );
    const values = this.names.map((name, i) => `${name} ${num(this.series[i][at] ?? "–", 3)}`);
    return this.say(`${this.x || "x"} = ${this.first + at}: ${values.join(", ")}`);
  }

  #shown(y) {
    return Number.isFinite(y) && (!this.log || y > 0);
  }

  draw(width) {
    const known = [...this.series.flat(), ...(this.mark === null ? [] : [this.mark])].filter((y) => this.#shown(y));
    const height = Math.max(260, Math.min(460, width * 0.5));
    [this.left, this.top] = [64, 26];
    const longest = Math.max(...this.names.map((name) => name.length));
    const right = Math.min(190, 42 + 8 * longest);
    this.wide = width - this.left - right;
    this.tall = height - this.top - 52;
    const scale = this.log ? Math.log10 : (y) => y;
    let [low, high] = [Math.min(...known), Math.max(...known)].map(scale);
    if (!(high > low)) [low, high] = [low - 1, high + 1];
    const pad = 0.05 * (high - low);
    [low, high] = [low - pad, high + pad];
    this.px = (i) => this.left + (this.wide * i) / Math.max(this.count - 1, 1);
    this.py = (y) => this.top + this.tall * (1 - (scale(y) - low) / (high - low));
    this.at = null;
    this.svg.replaceChildren(...this.#axes(low, high, height), ...this.#lines());
    this.svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    this.svg.setAttribute("width", width);
    this.svg.setAttribute("height", height);
  }

  #axes(low, high, height) {
    const out = [];
    const text = (words, x, y, anchor = "middle", more = {}) =>
      s("text", { x, y, "text-anchor": anchor, ...more }, words);
    for (const value of this.log ? decades(low, high) : ticks(low, high)) {
      const y = this.py(this.log ? 10 ** value : value);
      out.push(s("path", { class: "grid", d: `M${this.left} ${y}h${this.wide}` }));
      out.push(text(this.log ? power(value) : num(value, 3), this.left - 8, y + 4, "end"));
    }
    const every = Math.max(1, Math.ceil(this.count / Math.max(2, this.wide / 48)));
    for (let i = 0; i < this.count; i += every) {
      out.push(text(String(this.first + i), this.px(i), this.top + this.tall + 20));
    }
    out.push(text(this.x, this.left + this.wide / 2, height - 10, "middle", { class: "name" }));
    out.push(text(this.y, this.left - 44, 14, "start", { class: "name" }));
    if (this.mark !== null) {
      out.push(s("path", { class: "mark", d: `M${this.left} ${this.py(this.mark)}h${this.wide}` }));
    }
    return out;
  }

  #lines() {
    const out = [];
    const ends = this.series.map((one) => {
      const last = one.findLastIndex((y) => this.#shown(y));
      return last < 0 ? this.top + this.tall : this.py(one[last]);
    });
    const order = ends.map((y, i) => [y, i]).sort((a, b) => a[0] - b[0]);
    let free = -Infinity; // names do not cover one another
    for (const pair of order) {
      pair[0] = Math.max(pair[0], free);
      free = pair[0] + 16;
    }
    const places = new Map(order.map(([y, i]) => [i, Math.min(y, this.top + this.tall + 14)]));
    this.series.forEach((one, i) => {
      const [hue, dash] = LOOKS[i % LOOKS.length];
      let d = "";
      let pen = false;
      one.forEach((y, k) => {
        if (this.#shown(y)) d += `${pen ? "L" : "M"}${this.px(k).toFixed(1)} ${this.py(y).toFixed(1)}`;
        pen = this.#shown(y);
      });
      out.push(s("path", { class: `curve ${hue}`, d, "stroke-dasharray": dash || null }));
      if (this.count <= 40) {
        one.forEach((y, k) => {
          if (this.#shown(y)) out.push(s("circle", { class: `point ${hue}`, cx: this.px(k), cy: this.py(y), r: 2.6 }));
        });
      }
      const x = this.left + this.wide + 8;
      out.push(s("path", { class: `curve ${hue}`, d: `M${x} ${places.get(i)}h18`, "stroke-dasharray": dash || null }));
      out.push(s("text", { class: "label", x: x + 23, y: places.get(i) + 4 }, this.names[i]));
    });
    return out;
  }
}

function decades(low, high) {
  const [from, to] = [Math.ceil(low), Math.floor(high)];
  const every = Math.max(1, Math.ceil((to - from) / 8));
  const out = [];
  for (let e = from; e <= to; e += every) out.push(e);
  return out.length > 1 ? out : ticks(low, high).map((x) => Math.round(100 * x) / 100);
}

function ticks(low, high) {
  const raw = (high - low) / 5;
  const unit = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((k) => k * unit).find((x) => x >= raw);
  const out = [];
  for (let x = Math.ceil(low / step) * step; x <= high; x += step) out.push(Number(x.toPrecision(6)));
  return out;
}
