// The page: reads its data, wires the parts together.

import { boxCard, lineCard, nodeCard } from "./card.js";
import { Colours } from "./colours.js";
import { compose } from "./compose.js";
import { $, h } from "./dom.js";
import { Engine, Superseded, unpack } from "./engine.js";
import { Model } from "./model.js";
import { Panels } from "./panels.js";
import { Stage, tools } from "./stage.js";
import { Stepper, stepCard } from "./stepper.js";

const model = new Model(JSON.parse(await unpack($("data").textContent)));
const engine = new Engine($("viz").textContent);
const on = { select, toggle, reveal };
const stage = new Stage(model, on);
const colours = new Colours(model, stage);
const panels = new Panels(model.panels);
const stepper = new Stepper(model, $("stepper"), step);
const byName = new Map(model.nodes.map((node) => [node.n, node]));
let selected = null;

function say(text) {
  $("status").textContent = text;
}

async function draw(closer) {
  const slow = setTimeout(() => say("laying out …"), 300);
  try {
    const svg = await engine.layout(compose(model));
    stage.show(svg);
    colours.paint();
    const frame = stage.frames.get(closer);
    const lost = document.activeElement === document.body; // the button that was pressed is gone
    if (stage.walking && closer && lost) stage.parts.get(stage.focus)?.focus({ preventScroll: true });
    if (frame) stage.camera.approach(frame.getBoundingClientRect());
    say("");
    if (stepper.at) mark(stepper.at);
    else if (selected) stage.select(selected);
    document.body.dataset.drawn = String(Number(document.body.dataset.drawn ?? 0) + 1);
  } catch (error) {
    if (error instanceof Superseded) return;
    say(`${error.message}; the table shows the same graph`);
    if (!stage.svg) table(true);
  } finally {
    clearTimeout(slow);
  }
}

function card(parts) {
  $("side").replaceChildren(...parts.flat().filter((part) => part));
}

function select(name) {
  selected = name;
  stage.select(name);
  const box = /^(?:b|cluster_|g)(\d+)/.exec(name);
  const current = stepper.at ? model.steps[stepper.at - 1][0] : null;
  if (box) return card(boxCard(model, Number(box[1]), on));
  const part = model.instance(name);
  if (!part) return undefined;
  const { node, lines, leaves, whole } = part;
  if (whole) return card(nodeCard(model, node, current, on));
  if (node.lines.length && lines.length === 1) return card(lineCard(model, lines[0]));
  const title = leaves.length === 1 ? model.nameOf(leaves[0]) : node.title;
  return card(nodeCard(model, { ...node, title, name: "", lines, facts: {} }, current, on));
}

function toggle(b) {
  const box = model.boxes[b];
  box.closed = !box.closed;
  if (box.face !== undefined && !box.closed) model.fold(b);
  const shut = box.face === undefined ? `b${b}` : model.nodes[box.face].n;
  stage.focus = box.closed ? shut : `cluster_${b}`;
  selected = stage.focus;
  if (box.closed && box.face !== undefined) select(selected);
  else card(boxCard(model, b, on));
  return draw(stage.focus);
}

/** Show the repetitions named in a text such as "3, 4, 17-19" one by one. */
function reveal(b, text) {
  const box = model.boxes[b];
  const chosen = new Set();
  for (const [, from, to] of text.matchAll(/(\d+)(?:\s*(?:-|–|…|\.\.)\s*(\d+))?/g)) {
    for (let t = Number(from); t <= Math.min(Number(to ?? from), Number(from) + 10000); t += 1) {
      const k = model.repeat(b, t);
      if (k >= 0 && k < box.count) chosen.add(k);
    }
  }
  const inside = model.nodes.filter((node) => [...model.around(node.box)].includes(b)).length;
  const many = inside * chosen.size;
  if (many > 600) return say(`${chosen.size} steps are ${many} nodes; choose fewer`);
  box.shown = chosen.size ? chosen : null;
  card(boxCard(model, b, on));
  return draw(`cluster_${b}`);
}

// -- the backward pass ---------------------------------------------------------------------------

function mark(at) {
  if (!at) return stage.mark(null, [], null);
  const [line, sent] = model.steps[at - 1];
  const passed = new Set(model.steps.slice(0, at - 1).map(([l]) => model.spot(l)));
  const targets = new Set();
  for (const [, target] of sent) {
    if (target === null) continue;
    targets.add(model.spot(target));
    const state = stateOf(line, target);
    if (state) targets.add(state);
  }
  const here = model.spot(line);
  const folded = model.nodes[model.owner(line)]?.lines.length > 1;
  return stage.mark(here, [...targets], [...passed], folded ? model.time(line) : "");
}

/** A gradient that goes to the step before passes through the state between them. */
function stateOf(line, target) {
  const owner = model.nodes[model.owner(line)];
  if (!owner || !model.showsLine(line)) return "";
  const to = target < 0 ? model.leaves[-1 - target][2] : model.owner(target);
  for (const [src, dst] of model.edges) {
    const state = model.nodes[src];
    if (model.nodes[dst] !== owner || state.kind !== "state") continue;
    const fed = model.edges.some(([a, b]) => b === src && a === to);
    const twin = model.nodes.findIndex((n) => n.n === state.n.replace(/in$/, "out"));
    if (fed || model.edges.some(([a, b]) => b === twin && a === to)) return model.shows(src, model.at(line));
  }
  return "";
}

function step(at) {
  mark(at);
  selected = null;
  stage.select(null);
  if (at) card(stepCard(model, at));
  else welcome();
}

function welcome() {
  const shown = new Set(model.nodes.map((_, i) => model.shows(i)).filter(Boolean)).size;
  const counted = `${model.lines.toLocaleString("en-US")} tape line${model.lines === 1 ? "" : "s"}`;
  const key = (keys, does) => [h("dt", {}, keys), h("dd", {}, does)];
  card([
    h("h2", {}, "This graph"),
    h("p", {}, `${counted}, drawn as ${shown} nodes.`),
    ...model.notes.slice(1).map((note) => h("p", { class: "small" }, note)),
    h("p", {}, "Select a node to read about it."),
    model.steps.length
      ? h("p", {}, "Walk the backward pass below: newest line first, as the engine does.")
      : null,
    h(
      "dl",
      { class: "keys" },
      ...key("← →", "step, or node to node"),
      ...key("space", "play"),
      ...key("+ − 0", "zoom, fit"),
      ...key("drag, wheel", "move, zoom"),
      ...key("double click", "closer; open a box"),
    ),
  ]);
}

// -- buttons and keys ----------------------------------------------------------------------------

function every(closed) {
  model.boxes.forEach((box) => {
    box.closed = box.face !== undefined || (closed && box.parent < 0);
    box.shown = null;
  });
  return draw();
}

function theme() {
  const root = document.documentElement;
  const dark = matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = (root.dataset.theme ?? (dark ? "dark" : "light")) === "dark" ? "light" : "dark";
}

/** The picture as it stands, as a file with the colours of the theme. */
function save() {
  const copy = stage.svg.cloneNode(true);
  for (const extra of copy.querySelectorAll(".fold, .tag")) extra.remove();
  const { x, y, w, h: tall } = stage.bounds;
  copy.setAttribute("viewBox", `${x} ${y} ${w} ${tall}`);
  copy.setAttribute("width", w);
  copy.setAttribute("height", tall);
  const parts = [...stage.svg.querySelectorAll(":not(.fold, .fold *, .tag, .tag *)")];
  [...copy.querySelectorAll("*")].forEach((element, i) => {
    const style = getComputedStyle(parts[i]);
    element.removeAttribute("style");
    for (const key of ["fill", "stroke"]) {
      if (element.hasAttribute(key)) element.setAttribute(key, style[key]);
    }
  });
  const text = new XMLSerializer().serializeToString(copy);
  const link = h("a", {
    href: URL.createObjectURL(new Blob([text], { type: "image/svg+xml" })),
    download: "graph.svg",
  });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

function table(force) {
  const shown = document.body.classList.toggle("tabled", force);
  $("tabling").setAttribute("aria-pressed", String(shown));
}

$("tools").append(
  ...tools([
    ["+", "Zoom in", () => stage.camera.zoom(1.3)],
    ["−", "Zoom out", () => stage.camera.zoom(1 / 1.3)],
    ["Fit", "Fit the graph", () => stage.camera.fit()],
    ...(model.boxes.length
      ? [
          ["Close all", "Close all boxes", () => every(true)],
          ["Open all", "Open all boxes", () => every(false)],
        ]
      : []),
    ["Table", "Show the graph as a table", () => table(), "tabling"],
    ["◐", "Light or dark", theme, "theme"],
    ["SVG", "Save the picture", save],
  ]),
  colours.control,
);
$("tabling").setAttribute("aria-pressed", "false");

document.addEventListener("keydown", (event) => {
  const busy = /^(INPUT|TEXTAREA|SELECT|BUTTON)$/.test(event.target.tagName);
  if (event.altKey || event.ctrlKey || event.metaKey) return;
  const keys = {
    ArrowRight: () => stepper.go(stepper.at + 1), ArrowLeft: () => stepper.go(stepper.at - 1),
    Home: () => stepper.go(0), End: () => stepper.go(stepper.count), " ": () => stepper.toggle(),
    "+": () => stage.camera.zoom(1.3), "=": () => stage.camera.zoom(1.3), "-": () => stage.camera.zoom(1 / 1.3),
    0: () => stage.camera.fit(),
  };
  const typing = event.target.tagName === "INPUT" || panels.shown >= 0;
  if (!keys[event.key] || typing || (busy && /^( |Arrow|Home|End)/.test(event.key))) return;
  event.preventDefault();
  keys[event.key]();
});

window.minigrad = { model, stage, colours, panels, stepper, engine, draw, compose: () => compose(model), reveal, toggle };
welcome();
if (stage.show(null)) {
  colours.paint();
  document.body.dataset.drawn = "1";
} else draw();
