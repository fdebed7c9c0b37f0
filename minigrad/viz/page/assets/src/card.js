// What is written about a node, a box, a line.

import { bytes, h, num, s, seconds } from "./dom.js";
import { cardMaps } from "./panels.js";

const KINDS = {
  op: "operation", elementwise: "elementwise", gate: "gate", parameter: "parameter",
  input: "input", state: "state", loss: "loss", output: "output", module: "module",
  overview: "summary", steps: "loop", layers: "layers", repeats: "repeats", opened: "opened op", step: "one step",
};

const LOOKS = "Where it looks (first example of the batch)";

function facts(rows) {
  const kept = rows.filter(([, value]) => value !== null && value !== undefined && value !== "");
  return kept.length
    ? h("dl", {}, ...kept.flatMap(([key, value]) => [h("dt", {}, key), h("dd", {}, value)]))
    : null;
}

function head(kind, title, sub) {
  return [
    h("p", { class: `chip ${kind}` }, KINDS[kind] ?? kind),
    h("h2", {}, title),
    sub ? h("p", { class: "sub" }, sub) : null,
  ];
}

export function rules(texts) {
  if (!texts?.length) return null;
  return h(
    "div",
    { class: "rules" },
    h("h3", {}, "Derivative rule"),
    ...texts.map((text) => {
      const [name, rule] = text.split(/: (.*)/s);
      return rule === undefined
        ? h("p", {}, text)
        : h("p", {}, h("span", { class: "to" }, `∂${name}`), " = ", h("code", {}, rule));
    }),
    h("p", { class: "small" }, "g is the gradient that arrives, y the result"),
  );
}

const stats = (found) =>
  found
    ? `${num(found[2])} … ${num(found[3])}, mean ${num(found[1])}` +
      (found[4] ? `, ${found[4]} not finite` : "")
    : "";

export function nodeCard(model, node, step, on) {
  const one = node.lines.length === 1 ? node.lines[0] : null;
  const line = one !== null && model.tape[one] ? one : null;
  const place = [...model.around(node.box)].map((b) => model.boxes[b].title).reverse();
  const [value, gradient] = line === null ? [null, null] : [model.value(line), model.gradient(line)];
  return [
    ...head(node.kind, node.title, place.join(" › ")),
    node.doc ? h("p", {}, node.doc) : null,
    node.opens !== undefined
      ? h("button", { type: "button", class: "wide", onclick: () => on.toggle(node.opens) },
          "Open: the same function in plain ops")
      : null,
    ...(node.notes ?? []).map((note) => h("p", { class: "small" }, note)),
    facts([
      ["op", node.op && node.op !== node.title && node.kind !== "module" ? node.op : ""],
      ["name", node.name !== node.title ? node.name : ""],
      ["shape", (node.shapes ?? []).map(([shape]) => shape).join("  ")],
      ["dtype", [...new Set((node.shapes ?? []).map(([, dtype]) => dtype))].join(", ")],
      ["settings", node.params],
      ["value", stats(value) || node.facts?.value],
      ["|gradient|", num(node.facts?.grad ?? gradient?.[0] ?? "")],
      ["warning", node.facts?.bad],
      [
        "tape",
        one !== null
          ? model.place(one).replace("tape ", "")
          : node.lines.length
            ? `${node.lines.length.toLocaleString("en-US")} lines`
            : "",
      ],
      ["keeps", node.saved ? `${bytes(node.saved)} for backward` : ""],
      ["forward took", node.facts?.forward ? seconds(node.facts.forward) : ""],
      ["backward took", node.facts?.seconds ? seconds(node.facts.seconds) : ""],
      ["code", node.place],
    ]),
    ...(cardMaps(node.maps, LOOKS) ?? []),
    node.lines.length > 1 ? strips(model, node.lines, step) : null,
    rules(node.rules),
  ];
}

/** Bars over the steps of a folded node: its values and its gradients. */
function strips(model, lines, step) {
  const out = [];
  const bars = (title, found, pick, log) => {
    const numbers = found.map((f) => (f ? pick(f) : null));
    const known = numbers.filter((x) => typeof x === "number" && (!log || x > 0));
    if (known.length < 2) return;
    const clock = lines.map((line) => model.time(line));
    const order = model.inner.get(lines[0])?.[0];
    const back = order >= 0 && model.boxes[order].clock.back;
    let [low, high] = [Math.min(...known), Math.max(...known)];
    if (log) low = Math.max(low, high * 1e-6) / 2;
    else [low, high] = [Math.min(low, 0), Math.max(high, 0)];
    const span = log ? Math.log(high / low) || 1 : high - low || 1;
    const [wide, tall] = [280, 54];
    const each = wide / lines.length;
    const y = (x) => tall - (tall * (log ? Math.log(Math.max(x, low) / low) : x - low)) / span;
    const rects = numbers.map((x, k) => {
      if (typeof x !== "number") return "";
      const top = log ? y(x) : Math.min(y(x), y(0));
      const height = log ? tall - y(x) : Math.abs(y(x) - y(0));
      return s("rect", {
        x: (back ? lines.length - 1 - k : k) * each + (each > 3 ? 0.5 : 0),
        y: top, width: each - (each > 3 ? 1 : 0), height: Math.max(height, 0.8),
        class: (log ? "bar gradient" : "bar") + (lines[k] === step ? " now" : ""),
      });
    });
    const words = `${title}: from ${num(numbers[0])} (${clock[0]}) to ${num(numbers.at(-1))} (${clock.at(-1)})`;
    out.push(
      h("h3", {}, title),
      s(
        "svg",
        { class: "bars", preserveAspectRatio: "none", viewBox: `0 0 ${wide} ${tall}`, role: "img", "aria-label": words },
        ...rects,
      ),
      h("p", { class: "axis" }, h("span", {}, clock[back ? clock.length - 1 : 0]),
        h("span", {}, `${num(Math.min(...known), 3)} … ${num(Math.max(...known), 3)}${log ? " (log)" : ""}`),
        h("span", {}, clock[back ? 0 : clock.length - 1])),
    );
  };
  const values = lines.map((line) => model.tape[line] && model.value(line));
  const gradients = lines.map((line) => model.tape[line] && model.gradient(line));
  bars("|gradient| per step", gradients, (f) => f[0], true);
  bars("mean value per step", values, (f) => f[1], false);
  return h("div", { class: "strips" }, ...out);
}

export function lineCard(model, line) {
  const kind = model.kind(line);
  return [
    ...head("op", model.titleOf(line), model.place(line)),
    kind.doc ? h("p", {}, kind.doc) : null,
    facts([
      ["op", kind.op !== kind.title ? kind.op : ""],
      ["step", model.time(line)],
      ["shape", kind.shape],
      ["dtype", kind.dtype],
      ["settings", kind.params],
      ["value", stats(model.value(line))],
      ["|gradient|", model.gradient(line) ? num(model.gradient(line)[0]) : ""],
    ]),
    rules(kind.rules),
  ];
}

function composite(model, box) {
  const face = model.nodes[box.face];
  const calls = face.lines.length;
  return (
    `The backward pass takes ${face.op} as one line, ${model.place(face.lines[0])}` +
    (calls > 1 ? `; one of its ${calls} calls is drawn.` : ".") +
    ` For the numbers inside: viz.record(loss, expand="${face.op}").`
  );
}

/** A frame or the node it was closed to: open, close, show single steps. */
export function boxCard(model, b, on) {
  const box = model.boxes[b];
  const out = [
    ...head(box.kind, box.title, box.detail),
    facts([
      ["repeated", box.count > 1 ? `${box.count.toLocaleString("en-US")} times` : ""],
      [box.face === undefined ? "tape" : "inside", `${box.lines.toLocaleString("en-US")} lines`],
    ]),
    box.face !== undefined ? h("p", { class: "small" }, composite(model, box)) : null,
    h("button", { type: "button", class: "wide", onclick: () => on.toggle(b) },
      box.closed ? "Open" : box.face === undefined ? "Close" : "Close: one fused op again"),
  ];
  if (box.closed) {
    const inside = model.nodes.filter((node) => [...model.around(node.box)].includes(b));
    out.push(...(cardMaps(inside.flatMap((node) => node.maps ?? []), LOOKS) ?? []));
  }
  if (box.body && box.count > 1 && !box.closed) {
    const { index } = box.clock;
    const some = [...new Set([0, 1, box.count - 1])].map((k) => model.index(b, k));
    const shown = box.shown ? [...box.shown].map((k) => model.index(b, k)).sort((x, y) => x - y) : [];
    const input = h("input", {
      type: "text", id: "steps", inputmode: "numeric", autocomplete: "off",
      placeholder: some.sort((x, y) => x - y).join(", "), value: shown.join(", "),
    });
    const form = h(
      "form",
      {
        onsubmit: (event) => {
          event.preventDefault();
          on.reveal(b, input.value);
        },
      },
      h("label", { for: "steps" }, `Show single steps, ${index} =`),
      h("span", { class: "row" }, input, h("button", { type: "submit" }, "Show")),
    );
    out.push(form);
    if (box.shown) {
      out.push(
        h("button", { type: "button", class: "wide", onclick: () => on.reveal(b, "") },
          "Fold the steps again"),
      );
    }
  }
  return out;
}
