// DOT of what is to be shown. With no loop unfolded it is the text of view.py, line by line.

import { withNumbers } from "./pill.js";

const FAINT = "#01FE08"; // the stand-in of the theme's box line

export function compose(model) {
  const { nodes } = model;
  const out = ["digraph minigrad {", ...model.head];
  const tree = new Tree(model);
  nodes.forEach((node, i) => {
    if (!model.unfolded(node.box)) tree.put(i, model.shows(i), () => undefined, node.dot);
    else for (const part of instances(model, i)) tree.put(i, part.name, part.of, part.dot);
  });
  out.push(...tree.text());
  for (const context of tree.contexts) {
    for (const column of model.columns) {
      const kept = column.map((name) => name + context).filter((name) => tree.names.has(name));
      if (kept.length > 1) out.push(`{rank=same; edge [style=invis]; ${kept.join(" -> ")}}`);
    }
  }
  const edges = new Edges(model);
  out.push(...edges.order, ...tree.inTime(edges), "}");
  return `${out.join("\n")}\n`;
}

/** What shows the lines, the leaves or the states of a node, for each context one. */
function instances(model, i) {
  const node = model.nodes[i];
  const found = new Map();
  const add = (name, of, dot) => {
    if (!name) return;
    if (!found.has(name)) found.set(name, { name, of, dot });
    else if (dot && !node.lines.length) found.get(name).dot = node.dot; // many leaves as one
  };
  if (node.kind === "state") {
    for (const line of model.boxes[node.loop]?.body ?? []) {
      add(model.shows(i, model.at(line)), model.at(line), node.dot);
    }
  }
  const shared = new Set();
  for (const line of node.lines) {
    const name = model.showsLine(line);
    if (found.has(name)) shared.add(name);
    add(name, model.at(line), withNumbers(model, line, model.kind(line).dot));
  }
  for (const name of shared) found.get(name).dot = model.kind(node.lines[0]).dot; // many lines as one
  model.leaves.forEach((leaf, k) => {
    if (leaf[2] !== i) return;
    const name = model.showsLine(-1 - k);
    const readers = model.readers.get(-1 - k) ?? [];
    const reader = readers.find((line) => model.shows(i, model.at(line)) === name);
    if (reader !== undefined && !name.startsWith("g")) add(name, model.at(reader), leaf[4] ?? node.dot);
  });
  return found.values();
}

/** Frames inside frames, and the nodes in them. */
class Tree {
  constructor(model) {
    this.model = model;
    this.children = new Map([["", []]]);
    this.names = new Set();
    this.contexts = new Set([""]);
    this.loops = new Map(); // loop in its context → [[k, names], …] of its steps and gaps
  }

  put(i, name, of, dot) {
    if (!name || this.names.has(name)) return;
    this.names.add(name);
    const { model } = this;
    const box = model.boxOf(i);
    let home = "";
    let context = "";
    for (const b of box < 0 ? [] : [...model.boxes[box].around, box]) {
      const around = model.boxes[b];
      if (around.closed) return this.#add(home, [`b${b}${context}`, around.dot]);
      home = this.#frame(home, `cluster_${b}${context}`, around.cluster);
      if (!around.shown) continue;
      const k = of(b);
      const gap = !around.shown.has(k);
      const steps = this.#steps(`${b}${context}`);
      const first = gap ? model.gapOf(b, k) : k;
      if (!steps.has(first)) steps.set(first, []);
      steps.get(first).push(name);
      if (gap) return this.#add(home, [name, this.#gap(b, first)]);
      const title = around.one.replace("@@", String(model.index(b, k)));
      home = this.#frame(home, `cluster_s${b}${context}t${k}`, title);
      context += `t${k}`;
      this.contexts.add(context);
    }
    return this.#add(home, [name, dot]);
  }

  #add(home, entry) {
    this.children.get(home).push(entry);
  }

  #frame(home, name, attributes) {
    if (!this.children.has(name)) {
      this.children.set(name, []);
      this.#add(home, [name, attributes, true]);
    }
    return name;
  }

  #steps(key) {
    if (!this.loops.has(key)) this.loops.set(key, new Map());
    return this.loops.get(key);
  }

  #gap(b, from) {
    const { model } = this;
    const box = model.boxes[b];
    let to = from;
    while (to + 1 < box.count && !box.shown.has(to + 1)) to += 1;
    const [first, last] = [model.index(b, from), model.index(b, to)];
    const span = from === to ? first : `${first} … ${last}`;
    return model.gap.replace("@@", `${box.clock.index} = ${span}`);
  }

  text() {
    const out = [];
    const stack = [...this.children.get("")].reverse();
    while (stack.length) {
      const [name, attributes, frame] = stack.pop();
      if (!name) out.push("}");
      else if (!frame) out.push(`${name} ${attributes}`);
      else {
        out.push(`subgraph ${name} {`, `graph ${attributes}`);
        stack.push([""], ...[...this.children.get(name)].reverse());
      }
    }
    return out;
  }

  /** Invisible edges: what a step begins with stands to the right of the step before. */
  inTime(edges) {
    const out = [];
    for (const steps of this.loops.values()) {
      const order = [...steps.keys()].sort((a, b) => a - b);
      const all = new Set([...steps.values()].flat());
      order.slice(1).forEach((k, j) => {
        const before = steps.get(order[j]).at(-1);
        for (const name of steps.get(k)) {
          const fed = (edges.into.get(name) ?? []).some((from) => all.has(from));
          const leaf = !edges.into.has(name);
          if (!fed && !(leaf && edges.leaves.has(name))) out.push(`${before} -> ${name} [style=invis]`);
        }
      });
    }
    return out;
  }
}

/** Arrows between what is shown. */
class Edges {
  constructor(model) {
    this.model = model;
    this.order = [];
    this.merged = new Map();
    this.into = new Map();
    this.leaves = new Set();
    const { nodes } = model;
    const unfolded = nodes.map((node) =>
      model.unfolded(node.box) || (node.kind === "state" && Boolean(model.boxes[node.loop]?.shown)));
    for (const [src, dst, attributes, grad] of model.edges) {
      if (unfolded[src] || unfolded[dst]) continue;
      const plain = model.closed(model.boxOf(src)) < 0 && model.closed(model.boxOf(dst)) < 0;
      this.#add(model.shows(src), model.shows(dst), attributes, grad, plain);
    }
    if (unfolded.some(Boolean)) this.#lines(unfolded);
  }

  #add(from, to, attributes, grad, plain) {
    if (!from || !to) return;
    const text = `${from} -> ${to} ${attributes}`;
    if (plain) this.order.push(text);
    else if (from !== to) {
      const ends = `${from} -> ${to}`;
      const before = this.merged.get(ends);
      if (!before) {
        this.merged.set(ends, { at: this.order.length, grad });
        this.order.push(text);
        if (!this.into.has(to)) this.into.set(to, []);
        this.into.get(to).push(from);
      } else if (grad && !before.grad) {
        before.grad = true;
        this.order[before.at] = text;
      }
    }
  }

  /** Arrows of single repetitions, from the links between the lines of the tape. */
  #lines(unfolded) {
    const { model } = this;
    const { nodes } = model;
    const style = (grad) => model.edges.find((e) => e[3] === grad && !e[4])?.[2] ?? "";
    const styles = [style(false), style(true)].map((a) => a.replace(/ (weight|minlen)="[^"]*"/g, ""));
    const sources = new Map(); // node → arrows into it
    for (const edge of model.edges) {
      if (!sources.has(edge[1])) sources.set(edge[1], []);
      sources.get(edge[1]).push(edge);
    }
    const plain = new Set(nodes.map((_, i) => (unfolded[i] ? "" : model.shows(i))));
    for (const [src, dst, arg, grad] of model.links) {
      for (const [from, to, state] of route(model, sources, src, dst, arg)) {
        if (!from || !to || (plain.has(from) && plain.has(to))) continue;
        const gap = to.startsWith("g");
        const own = src < 0 && !plain.has(from);
        if (own) this.leaves.add(from);
        if (gap && own) continue;
        const faint = src < 0 && gap ? `[color="${FAINT}" dir="none"]` : null;
        this.#add(from, to, faint ?? (state || styles[grad]), Boolean(grad), false);
      }
    }
  }
}

/**
 * The arrows of one link of the tape: through the states of the loops that stay folded, straight
 * through those of unfolded ones. Walked from the reader to the source, over the folded graph.
 */
function route(model, sources, src, dst, arg) {
  const { nodes } = model;
  const origin = model.nodeOf(src);
  const from = model.showsLine(src);
  const out = [];
  let to = model.showsLine(dst);
  let line = dst;
  let arrows = (sources.get(model.nodeOf(dst)) ?? []).filter((e) => e[6] === arg);
  let through = "";
  for (let depth = 0; depth < 9; depth += 1) {
    const straight = arrows.some((e) => e[0] === origin);
    const state = straight ? undefined : arrows.find((e) => nodes[e[0]].kind === "state");
    if (!state) break;
    const [s] = state;
    const name = model.shows(s, model.at(line));
    if (name) {
      out.push([name, to, state[2]]);
      to = name;
      through = state[2];
    }
    const { loop, n } = nodes[s];
    let next = s;
    if (n.endsWith("in") && model.at(line)(loop) > 0) {
      next = model.byName.get(n.replace(/in$/, "out"));
      if (src >= 0) line = src;
      const twin = model.shows(next, model.at(line));
      if (twin) to = twin;
    } else if (n.endsWith("out") && src >= 0) line = src;
    arrows = sources.get(next) ?? [];
  }
  out.push([from, to, through && arrows.find((e) => e[0] === origin)?.[2]]);
  return out;
}
