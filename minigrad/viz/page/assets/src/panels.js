// Figures beside the graph, each on a tab, each with its numbers as a table.

import { $, h, num } from "./dom.js";
import { Curves } from "./curves.js";
import { HeatMap } from "./maps.js";

export class Panels {
  constructor(panels) {
    this.shown = -1;
    if (!panels?.length) return;
    this.figures = [];
    this.rooms = panels.map((panel, i) => this.#room(panel, i));
    $("room").setAttribute("role", "tabpanel");
    $("room").setAttribute("aria-labelledby", "tab-0");
    $("room").after(...this.rooms);
    this.tabs = ["Graph", ...panels.map((panel) => panel.title)].map((title, i) =>
      h("button", {
        type: "button", role: "tab", id: `tab-${i}`, "aria-selected": String(i === 0),
        "aria-controls": i ? `panel-${i}` : "room", tabindex: i ? "-1" : "0",
        onclick: () => this.show(i - 1), onkeydown: (event) => this.#walk(event, i),
      }, title),
    );
    document.querySelector("header").append(
      h("div", { id: "tabs", role: "tablist", "aria-label": "Graph and figures" }, ...this.tabs),
    );
    new ResizeObserver(() => this.draw()).observe(document.body);
    const again = () => this.draw();
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", again);
    new MutationObserver(again).observe(document.documentElement, { attributes: true });
  }

  /** Show panel i, or the graph: −1. */
  show(i) {
    this.shown = i;
    document.body.classList.toggle("figures", i >= 0);
    this.rooms.forEach((room, k) => (room.hidden = k !== i));
    this.tabs.forEach((tab, k) => {
      tab.setAttribute("aria-selected", String(k === i + 1));
      tab.tabIndex = k === i + 1 ? 0 : -1;
    });
    this.draw();
  }

  draw() {
    if (this.shown < 0) return;
    const room = this.rooms[this.shown];
    const width = Math.min(1080, room.clientWidth - 56);
    for (const figure of this.figures[this.shown]) figure.draw(figure.part ? width * figure.part : width);
  }

  #walk(event, i) {
    const way = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!way) return;
    event.preventDefault();
    event.stopPropagation();
    const next = (i + way + this.tabs.length) % this.tabs.length;
    this.show(next - 1);
    this.tabs[next].focus();
  }

  #room(panel, i) {
    const words = h("output", { class: "reading" }, "");
    const say = (text) => (words.textContent = text);
    const figures = panel.kind === "lines" ? [new Curves(panel, say)] : maps(panel, say);
    this.figures.push(figures);
    const details = h("details", {}, h("summary", {}, "The numbers as a table"));
    details.addEventListener("toggle", () => {
      if (details.open && !details.querySelector("table")) details.append(...tables(panel));
    });
    return h(
      "section",
      { class: "panel", role: "tabpanel", id: `panel-${i + 1}`, "aria-labelledby": `tab-${i + 1}`, hidden: true, tabindex: "0" },
      h("h2", {}, panel.title),
      panel.about ? h("p", { class: "about" }, panel.about) : null,
      h("div", { class: "figures-of" }, ...figures.map((figure) => figure.svg ?? figure.canvas)),
      words,
      details,
    );
  }
}

function maps(panel, say) {
  const { names, maps: all, ends, rows, columns, x, y, cross } = panel;
  const square = all[0].length > 1 && all[0][0].length <= 2.2 * all[0].length;
  return all.map((values, i) => {
    const figure = new HeatMap(values, {
      name: all.length > 1 || cross ? names[i] : "", ends: ends[i], rows, columns, x: i === all.length - 1 || square ? x : "", y, cross, say,
      largest: square ? Math.max(3, Math.min(64, (all.length > 1 ? 460 : innerHeight - 330) / values.length)) : 46,
    });
    figure.part = all.length > 1 && square ? 0.485 : 1;
    return figure;
  });
}

function tables(panel) {
  const one = (corner, name, rows, columns, values) =>
    h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": name },
      h("table", {},
        h("caption", {}, name),
        h("thead", {}, h("tr", {}, h("td", {}, corner), ...columns.map((c) => h("th", { scope: "col" }, c)))),
        h("tbody", {}, ...values.map((line, r) =>
          h("tr", {}, h("th", { scope: "row" }, rows[r]), ...line.map((v) => h("td", {}, num(v))))))));
  const numbers = (n, first = 0) => Array.from({ length: n }, (_, i) => String(first + i));
  if (panel.kind === "lines") {
    const longest = Math.max(...panel.series.map((s) => s.length));
    return [one(panel.x, panel.title, panel.names, numbers(longest, panel.first), panel.series)];
  }
  return panel.maps.map((values, i) =>
    one(panel.y, panel.names[i], panel.rows ?? numbers(values.length), panel.columns ?? numbers(values[0].length), values));
}

/** Attention maps on a card, one per head. */
export function cardMaps(found, words) {
  if (!found?.length) return null;
  const reading = h("output", { class: "reading" }, "");
  const figures = found.map(({ name, rows }) => new HeatMap(rows.map((row) => row.map((x) => x ?? "NaN")), {
    name: found.length > 1 ? name : "", ends: null, x: "source", y: "target", largest: 20, square: rows.length > 1,
    say: (text) => (reading.textContent = text),
  }));
  const room = h("div", { class: "card-maps" }, ...figures.map((figure) => figure.canvas));
  const side = $("side");
  const width = Math.max(120, side.clientWidth - 42);
  for (const figure of figures) figure.draw(found.length > 1 ? (width - 8) / 2 : width);
  return [h("h3", {}, words), room, reading];
}
