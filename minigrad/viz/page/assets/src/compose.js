// DOT of what is to be shown. With nothing opened it is the text of view.py, line by line.

const FAINT = "#01FE08"; // the stand-in of the theme's box line

export function compose(model) {
  const { nodes, boxes } = model;
  const out = ["digraph minigrad {", ...model.head];
  const children = new Map([[-1, []]]);
  const open = (box) => {
    const chain = [];
    for (; box >= 0 && !children.has(box); box = boxes[box].parent) chain.push(box);
    for (const inner of chain.reverse()) {
      children.set(inner, []);
      children.get(boxes[inner].parent).push(["cluster", inner]);
    }
  };
  const done = new Set();
  const shown = new Set();
  nodes.forEach((node, i) => {
    const closed = model.closed(node.box);
    if (closed >= 0) {
      if (done.has(closed)) return;
      done.add(closed);
      open(boxes[closed].parent);
      children.get(boxes[closed].parent).push(["box", closed]);
      return;
    }
    const loop = model.revealed(node.box);
    if (loop >= 0) {
      if (done.has(`r${loop}`)) return;
      done.add(`r${loop}`);
      open(loop);
      children.get(loop).push(["steps", loop]);
      return;
    }
    if (isState(model, node)) return;
    shown.add(node.n);
    open(node.box);
    children.get(node.box).push(["node", i]);
  });
  const stack = [...children.get(-1)].reverse();
  while (stack.length) {
    const [what, i] = stack.pop();
    if (what === "end") out.push("}");
    else if (what === "node") out.push(`${nodes[i].n} ${nodes[i].dot}`);
    else if (what === "box") out.push(`b${i} ${boxes[i].dot}`);
    else if (what === "steps") out.push(...steps(model, i));
    else {
      out.push(`subgraph cluster_${i} {`, `graph ${boxes[i].cluster}`);
      stack.push(["end", i], ...[...children.get(i)].reverse());
    }
  }
  for (const column of model.columns) {
    const kept = column.filter((name) => shown.has(name));
    if (kept.length > 1) out.push(`{rank=same; edge [style=invis]; ${kept.join(" -> ")}}`);
  }
  out.push(...edges(model), "}");
  return `${out.join("\n")}\n`;
}

/** States belong to the folded loop: where its steps are shown, values go from step to step. */
export function isState(model, node) {
  return node.kind === "state" && node.loop >= 0 && model.boxes[node.loop].shown !== null;
}

function steps(model, loop) {
  const box = model.boxes[loop];
  const out = [];
  const groups = new Map();
  for (const line of box.body) {
    const k = model.repetition.get(line)[1];
    if (!groups.has(k)) groups.set(k, []);
    groups.get(k).push(line);
  }
  const leaves = ownLeaves(model, loop, groups);
  for (let k = 0; k < box.count; k += 1) {
    if (box.shown.has(k)) {
      const title = box.one.replace("@@", String(model.index(loop, k)));
      out.push(`subgraph cluster_${loop}_${k} {`, `graph ${title}`);
      for (const line of groups.get(k)) out.push(`l${line} ${model.kind(line).dot}`);
      for (const [ref, first] of leaves) {
        if (first === k) out.push(`v${-ref} ${model.leaves[-1 - ref][4]}`);
      }
      out.push("}");
      out.push(...inTime(model, loop, k, groups));
    } else if (model.gapOf(loop, k) === k) {
      let end = k;
      while (end + 1 < box.count && !box.shown.has(end + 1)) end += 1;
      const [from, to] = [model.index(loop, k), model.index(loop, end)];
      const span = from === to ? from : `${from} … ${to}`;
      out.push(`g${loop}_${k} ${model.gap.replace("@@", `${box.clock.index} = ${span}`)}`);
      k = end;
    }
  }
  return out;
}

/** Leaves that stand inside the loop, each with the first of the shown steps that reads it. */
function ownLeaves(model, loop, groups) {
  const step = new Map();
  for (const [k, lines] of groups) {
    if (model.boxes[loop].shown.has(k)) for (const line of lines) step.set(line, k);
  }
  const first = new Map();
  for (const [src, dst] of model.links) {
    if (src >= 0 || !step.has(dst) || first.has(src)) continue;
    if (model.showsLine(src) === `v${-src}`) first.set(src, step.get(dst));
  }
  return first;
}

/** Invisible edges: what a step begins with stands to the right of the step before. */
function inTime(model, loop, k, groups) {
  if (!k) return [];
  const before = model.boxes[loop].shown.has(k - 1)
    ? `l${groups.get(k - 1).at(-1)}`
    : `g${loop}_${model.gapOf(loop, k - 1)}`;
  const own = new Set(groups.get(k));
  const body = new Set(model.boxes[loop].body);
  const fed = new Set(model.links.filter(([s, d]) => own.has(d) && body.has(s)).map(([, d]) => d));
  const first = groups.get(k).filter((line) => !fed.has(line));
  return first.map((line) => `${before} -> l${line} [style=invis]`);
}

function edges(model) {
  const { nodes } = model;
  const order = [];
  const merged = new Map();
  const add = (from, to, attributes, grad, plain) => {
    if (!from || !to) return;
    const text = `${from} -> ${to} ${attributes}`;
    if (plain) order.push(text);
    else if (from !== to) {
      const ends = `${from} -> ${to}`;
      const before = merged.get(ends);
      if (!before) {
        merged.set(ends, { at: order.length, grad });
        order.push(text);
      } else if (grad && !before.grad) {
        before.grad = true;
        order[before.at] = text;
      }
    }
  };
  const single = (i) => model.revealed(nodes[i].box) >= 0 && model.closed(nodes[i].box) < 0;
  const opened = nodes.map((node, i) => single(i) || isState(model, node));
  for (const [src, dst, attributes, grad] of model.edges) {
    if (opened[src] || opened[dst]) continue;
    const plain = model.closed(nodes[src].box) < 0 && model.closed(nodes[dst].box) < 0;
    add(model.shows(src), model.shows(dst), attributes, grad, plain);
  }
  if (opened.some(Boolean)) {
    const style = (grad) => model.edges.find((e) => e[3] === grad && !e[4])?.[2] ?? "";
    const styles = [style(false), style(true)].map((a) => a.replace(/ weight="[^"]*"/, ""));
    for (const [src, dst, , grad] of model.links) {
      const ends = [src, dst].map((ref) => (ref < 0 ? model.leaves[-1 - ref][2] : model.owner(ref)));
      if (ends.some((i) => i >= 0 && opened[i])) {
        const to = model.showsLine(dst);
        if (model.showsLine(src).startsWith("v") && !to.startsWith("l")) continue;
        const far = src < 0 && to.startsWith("g") ? `[color="${FAINT}" dir="none"]` : styles[grad];
        add(model.showsLine(src), to, far, Boolean(grad), false);
      }
    }
  }
  return order;
}
