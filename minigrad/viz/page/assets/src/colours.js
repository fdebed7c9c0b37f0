// `color_by` on the page: fills that say where the gradient, the time or the memory is.
// The scales are those of shade.py; the theme's colours come from the style sheet.

import { $, bytes, h, num, s, seconds } from "./dom.js";
import { level } from "./pill.js";

const DECADES = 4; // of a logarithmic scale, below the largest value
const MEASURES = {
  grad: ["|gradient|", (x) => num(x, 3), "call backward(), under viz.record for those inside"],
  time: ["forward and backward", seconds, "draw with record=, from viz.record around backward()"],
  memory: ["memory kept", (x) => bytes(Math.round(x)), "draw before backward() frees it"],
};

export class Colours {
  constructor(model, stage) {
    this.model = model;
    this.stage = stage;
    this.by = model.by ?? "";
    this.kinds = [...$("key").childNodes];
    const known = { grad: false, time: false, memory: false };
    for (const node of model.nodes) {
      known.grad ||= Number.isFinite(node.facts?.grad);
      known.time ||= Boolean(node.facts?.seconds || node.facts?.forward);
      known.memory ||= Boolean(node.saved);
    }
    model.tape.forEach((_, line) => {
      known.grad ||= model.gradient(line) !== null;
      known.memory ||= model.saved(line) > 0;
    });
    const option = (value, text, there, why) =>
      h("option", { value, disabled: !there, selected: value === this.by, title: there ? null : why },
        text);
    this.select = h(
      "select",
      { id: "by", onchange: () => this.choose(this.select.value) },
      option("", "kind", true),
      ...Object.entries(MEASURES).map(([key, [name, , why]]) => option(key, name, known[key], why)),
      option("module", "module", model.modules.length > 0, "there are no modules"),
      model.by === "given" ? option("given", model.given_name || "value", true) : null,
    );
    this.control = h("label", { class: "by" }, "Colour ", this.select);
  }

  choose(by) {
    this.by = by;
    this.paint();
  }

  /** Fill every node that is shown, and say in the legend what the fills mean. */
  paint() {
    const { by, stage } = this;
    const values = new Map();
    for (const [name, part] of stage.parts ?? []) {
      const shape = part.querySelector(":scope > .shape");
      if (!shape) continue;
      shape.style.fill = shape.style.stroke = "";
      if (by) values.set(shape, this.#value(name));
    }
    if (by === "module") return this.#modules(values);
    if (!by) return $("key").replaceChildren(...this.kinds);
    return this.#scale(values);
  }

  #scale(values) {
    const linear = this.by === "given";
    const known = [...values.values()].filter((x) => Number.isFinite(x) && (linear || x > 0));
    const high = Math.max(...known);
    const low = linear ? Math.min(...known) : Math.max(Math.min(...known), high * 10 ** -DECADES);
    const at = (x) => {
      if (linear) return high > low ? (x - low) / (high - low) : 1;
      return level(x, low, high);
    };
    const name = linear ? "value" : this.by;
    for (const [shape, value] of values) {
      if (typeof value === "string") shape.style.fill = value;
      else if (Number.isFinite(value)) {
        shape.style.fill = mix(name, at(value));
        const strong = `color-mix(in srgb, var(--by-${name}-stroke) ${100 * at(value)}%, var(--line))`;
        shape.style.stroke = at(value) < 0.02 ? "var(--line)" : strong;
      }
    }
    const [title, text] = MEASURES[this.by] ?? [this.model.given_name, (x) => num(x, 3)];
    if (!known.length) return $("key").replaceChildren(`colour: ${title}`);
    const cells = Array.from({ length: 16 }, (_, i) => {
      const cell = s("rect", { x: 6 * i, width: 6.5, height: 10 });
      cell.style.fill = mix(name, i / 15);
      return cell;
    });
    const ramp = s("svg", { class: "ramp", width: 96, height: 10, "aria-hidden": "true" }, ...cells);
    return $("key").replaceChildren(
      h("span", {}, `colour, ${title}: ${text(low)} `, ramp, ` ${text(high)}${linear ? "" : " (log)"}`),
    );
  }

  #modules(values) {
    const { modules, more_modules: more } = this.model;
    for (const [shape, at] of values) {
      if (!(at >= 0)) continue;
      shape.style.fill = `var(--module-${at}-fill)`;
      shape.style.stroke = `var(--module-${at}-stroke)`;
    }
    const patch = (name, i) => {
      const box = s("rect", { x: 1, y: 1, width: 14, height: 9, rx: 2, "stroke-width": 1.5 });
      box.style.fill = `var(--module-${i}-fill)`;
      box.style.stroke = `var(--module-${i}-stroke)`;
      const last = more && i === modules.length - 1;
      return h("span", {}, s("svg", { class: "ramp", width: 16, height: 11, "aria-hidden": "true" }, box),
        ` ${name}${last ? " and others" : ""}`);
    };
    $("key").replaceChildren(...modules.map(patch));
  }

  /** What is measured at a part of the picture; undefined where nothing is known. */
  #value(name) {
    const { model, by } = this;
    const box = /^b(\d+)/.exec(name);
    if (box) {
      const b = Number(box[1]);
      if (by === "module") return model.boxes[b].module;
      const inside = model.nodes.filter((node) => this.#inside(node, b));
      return combine(by, inside.map((node) => this.#node(node, node.lines, true)));
    }
    const part = model.instance(name);
    if (!part) return undefined;
    if (by === "module") return model.module_of[model.byName.get(part.node.n)];
    return this.#node(part.node, part.lines, part.whole);
  }

  /** Whether a node counts for a closed box: composites do not, their fused line does. */
  #inside(node, b) {
    for (const around of this.model.around(node.box)) {
      if (around === b) return true;
      if (this.model.boxes[around].face !== undefined) return false;
    }
    return false;
  }

  #node(node, lines, whole) {
    const { model, by } = this;
    if (by === "given") return model.given[model.byName.get(node.n)] ?? undefined;
    if (whole && by === "grad") return node.facts?.grad ?? one(lines, (l) => model.gradient(l)?.[0]);
    if (whole && by === "time") return timed(node.facts);
    if (whole && by === "memory") return node.lines.length ? (node.saved ?? 0) : undefined;
    const measure = {
      grad: (line) => model.gradient(line)?.[0],
      time: (line) => model.seconds(line),
      memory: (line) => model.saved(line),
    }[by];
    return lines.length ? combine(by, lines.map(measure)) : undefined;
  }
}

const timed = (facts) =>
  facts?.seconds || facts?.forward ? (facts.seconds ?? 0) + (facts.forward ?? 0) : undefined;
const one = (lines, f) => (lines.length === 1 ? f(lines[0]) : undefined);

function combine(by, values) {
  const known = values.filter((x) => Number.isFinite(x));
  if (!known.length) return undefined;
  return by === "grad" ? Math.hypot(...known) : known.reduce((a, b) => a + b, 0);
}

/** The colour at 0 … 1 of a scale with three stops. */
function mix(name, at) {
  const i = at < 0.5 ? 0 : 1;
  const part = 100 * (1 - (2 * at - i));
  return `color-mix(in srgb, var(--by-${name}-${i}) ${part}%, var(--by-${name}-${i + 1}))`;
}
