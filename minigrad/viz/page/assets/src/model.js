// The graph behind the page: which node shows which tape line, under which boxes are closed.
//
// A node inside a loop of which single repetitions are shown has one instance for each of them:
// n5t3 is node n5 in repetition 3; in a loop in a loop, n5t3t0. The part after the name is its
// context.

export class Model {
  constructor(data) {
    Object.assign(this, data);
    this.boxes.forEach((box, b) => {
      box.shown = null; // chosen repetitions of an opened loop, or null: folded
      box.around = [...this.around(box.parent)].reverse(); // outermost first
      box.initially = box.closed;
      box.loop = b;
    });
    for (const key of ["tape", "steps", "leaves", "kinds", "links"]) this[key] ??= [];
    this.byName = new Map(this.nodes.map((node, i) => [node.n, i]));
    this.real = this.boxes.reduce((low, box) => Math.min(low, box.first ?? low), this.tape.length);
    this.#clocks();
    this.#readers();
  }

  /** The boxes around a box or node, innermost first. */
  *around(box) {
    for (; box >= 0; box = this.boxes[box].parent) yield box;
  }

  /** Which repetition of which loops a line belongs to. */
  #clocks() {
    this.repetition = new Map(); // line → Map(box → k)
    this.inner = new Map(); // line → [box, k], of the innermost one
    const inside = this.boxes.map(() => []);
    this.nodes.forEach((node) => {
      for (const b of this.around(node.box)) inside[b].push(...node.lines);
    });
    this.boxes.forEach((box, b) => {
      if (!box.clock) return;
      // Inside a composite, lines belong to one call of it.
      const outside = box.around.findLastIndex((o) => this.boxes[o].face !== undefined);
      const outer = box.around.slice(outside + 1).filter((o) => this.boxes[o].clock);
      const groups = outer.reduce((n, o) => n * this.boxes[o].count, 1);
      const lines = inside[b].sort((x, y) => x - y);
      const each = lines.length / groups / box.count;
      if (!Number.isInteger(each) || each < 1) return;
      box.body = lines;
      lines.forEach((line, i) => {
        const k = Math.floor((i % (each * box.count)) / each);
        if (!this.repetition.has(line)) this.repetition.set(line, new Map());
        this.repetition.get(line).set(b, k);
        this.inner.set(line, [b, k]);
      });
    });
    this.nodes.forEach((node) => {
      if (node.lines.length < 2 || node.kind === "overview") return;
      node.lines.forEach((line, k) => {
        if (!this.inner.has(line)) this.inner.set(line, [-1, k, node.lines.length]);
      });
    });
  }

  /** The lines that read a leaf inside the loops that it stands in. */
  #readers() {
    this.readers = new Map();
    for (const [src, dst] of this.links) {
      if (src >= 0) continue;
      if (!this.readers.has(src)) this.readers.set(src, []);
      this.readers.get(src).push(dst);
    }
  }

  /** "t = 19" of a line, or "". */
  time(line) {
    const [box, k, count] = this.inner.get(line) ?? [null];
    if (box === null || k === undefined) return "";
    if (box < 0) return `${k + 1} of ${count}`;
    const all = [...this.repetition.get(line)];
    return all.map(([b, n]) => `${this.boxes[b].clock.index} = ${this.index(b, n)}`).join(", ");
  }

  /** Which repetition of a box the line belongs to, as a function of the box. */
  at(line) {
    const found = this.repetition.get(line);
    return (box) => found?.get(box);
  }

  /** The number of a repetition, counted as the loop does, and back. */
  index(box, k) {
    const { back, first } = this.boxes[box].clock;
    return back ? first - k : first + k;
  }
  repeat(box, index) {
    const { back, first } = this.boxes[box].clock;
    return back ? first - index : index - first;
  }

  kind(line) {
    return this.kinds[this.tape[line][0]];
  }
  owner(line) {
    return this.tape[line][1];
  }
  /** The node of a line or a leaf. */
  nodeOf(ref) {
    return ref < 0 ? this.leaves[-1 - ref][2] : this.owner(ref);
  }
  value(line) {
    return this.tape[line][2] || null;
  }
  gradient(line) {
    return this.tape[line][3] || null;
  }
  saved(line) {
    return this.tape[line][4] || 0;
  }
  /** Of forward and backward. */
  seconds(line) {
    return (this.tape[line][5] || 0) + (this.tape[line][6] || 0);
  }

  /** "tape line 12", or which line of which composite. */
  place(line) {
    if (line < this.real) return `tape line ${line + 1}`;
    const box = this.boxes.filter((b) => b.first <= line).sort((x, y) => y.first - x.first)[0];
    return `line ${line - box.first + 1} of ${box.title}, opened`;
  }

  // -- what is shown ------------------------------------------------------------------------------

  /** The outermost closed box around a box, or −1. */
  closed(box) {
    let found = -1;
    for (const b of this.around(box)) if (this.boxes[b].closed) found = b;
    return found;
  }

  /** Whether some loop around a box is shown by single repetitions. */
  unfolded(box) {
    for (const b of this.around(box)) if (this.boxes[b].shown) return true;
    return false;
  }

  /** Fold the loops around a box: a composite is shown inside folded loops. */
  fold(box) {
    for (const b of this.around(this.boxes[box].parent)) this.boxes[b].shown = null;
  }

  /** A composite is shown inside folded loops only. */
  hidden(b) {
    const { face, parent } = this.boxes[b];
    return face !== undefined && this.unfolded(parent);
  }

  /** The box that a node stands in: parameters of an opened op stand with it. */
  boxOf(i) {
    const { box, inside } = this.nodes[i];
    const open = inside !== undefined && this.closed(inside) < 0 && !this.hidden(inside);
    return open ? inside : box;
  }

  /** Name of what shows node i: "" if nothing does, as for the other side of a fused op. */
  shows(i, of = () => undefined) {
    const node = this.nodes[i];
    if (node.kind === "state" && node.loop >= 0 && this.boxes[node.loop].shown) return "";
    const home = this.boxOf(i);
    const around = home < 0 ? [] : [...this.boxes[home].around, home];
    let context = "";
    for (const b of around) {
      const box = this.boxes[b];
      if (box.closed || this.hidden(b)) return box.face === undefined ? `b${b}${context}` : "";
      if (!box.shown) continue;
      const k = of(b);
      if (k === undefined) return "";
      if (!box.shown.has(k)) return `g${b}${context}_${this.gapOf(b, k)}`;
      context += `t${k}`;
    }
    const open = node.opens !== undefined && !this.boxes[node.opens].closed;
    return open && !this.unfolded(node.box) ? "" : node.n + context;
  }

  /** Name of what shows a line, or a leaf (−1, −2, …). */
  showsLine(ref) {
    if (ref >= 0) {
      const owner = this.owner(ref);
      return owner < 0 ? "" : this.shows(owner, this.at(ref));
    }
    const node = this.leaves[-1 - ref]?.[2] ?? -1;
    if (node < 0) return "";
    if (!this.unfolded(this.nodes[node].box)) return this.shows(node);
    let found = "";
    for (const line of this.readers.get(ref) ?? []) {
      const name = this.shows(node, this.at(line));
      if (name && !name.startsWith("g")) return name;
      found ||= name;
    }
    return found;
  }

  /** The node, lines and leaves behind a name such as n5t3; null if it is none of the kind. */
  instance(name) {
    const [base] = name.split(/t(?=\d+(?:t\d+)*$)/);
    const i = this.byName.get(name) ?? this.byName.get(base);
    if (i === undefined) return null;
    const node = this.nodes[i];
    if (node.n === name) return { node, lines: node.lines, leaves: [], whole: true };
    const lines = node.lines.filter((line) => this.showsLine(line) === name);
    const leaves = this.leaves
      .map((leaf, k) => [leaf, -1 - k])
      .filter(([leaf, ref]) => leaf[2] === i && this.showsLine(ref) === name)
      .map(([, ref]) => ref);
    return { node, lines, leaves, whole: false };
  }

  /** Likewise, or the frame of an opened op that stands in its place. */
  spot(ref) {
    const found = this.showsLine(ref);
    if (found || ref < 0) return found;
    const { opens } = this.nodes[this.owner(ref)] ?? {};
    return opens === undefined ? "" : `cluster_${opens}`;
  }

  /** The first repetition of the gap that k stands in. */
  gapOf(loop, k) {
    const { shown } = this.boxes[loop];
    while (k > 0 && !shown.has(k - 1)) k -= 1;
    return k;
  }

  /** What a line is called in the picture. */
  titleOf(line) {
    const owner = this.nodes[this.owner(line)];
    const own = owner && owner.kind !== "module" && owner.kind !== "overview";
    return own ? owner.title : this.kind(line).title;
  }

  nameOf(ref) {
    if (ref === null || ref === undefined) return "";
    if (ref < 0) return this.leaves[-1 - ref]?.[1] ?? "";
    const time = this.time(ref);
    return this.titleOf(ref) + (time && !/ of /.test(time) ? ` [${time}]` : "");
  }
}
