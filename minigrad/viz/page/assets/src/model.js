// The graph behind the page: which node shows which tape line, under which boxes are closed.

export class Model {
  constructor(data) {
    Object.assign(this, data);
    this.boxes.forEach((box) => {
      box.shown = null; // chosen repetitions of an opened loop, or null: folded
      box.initially = box.closed;
    });
    this.tape ??= [];
    this.steps ??= [];
    this.leaves ??= [];
    this.kinds ??= [];
    this.links ??= [];
    this.#clocks();
  }

  /** The boxes around a box or node, innermost first. */
  *around(box) {
    for (; box >= 0; box = this.boxes[box].parent) yield box;
  }

  /** Which repetition of which loop a line belongs to. */
  #clocks() {
    this.repetition = new Map(); // line → [box, k], of the outermost loop
    this.inner = new Map(); // line → [box, k], of the innermost one
    this.boxes.forEach((box, b) => {
      if (!box.clock) return;
      const lines = this.nodes
        .filter((n) => [...this.around(n.box)].includes(b))
        .flatMap((n) => n.lines)
        .sort((x, y) => x - y);
      const outer = [...this.around(box.parent)].find((o) => this.boxes[o].clock);
      const groups = outer === undefined ? 1 : this.boxes[outer].count;
      const each = lines.length / groups / box.count;
      if (!Number.isInteger(each) || each < 1) return;
      box.body = outer === undefined ? lines : null;
      lines.forEach((line, i) => {
        const at = [b, Math.floor((i % (each * box.count)) / each)];
        if (outer === undefined) this.repetition.set(line, at);
        this.inner.set(line, at);
      });
    });
    this.nodes.forEach((node) => {
      if (node.lines.length < 2 || node.kind === "overview") return;
      node.lines.forEach((line, k) => {
        if (!this.inner.has(line)) this.inner.set(line, [-1, k, node.lines.length]);
      });
    });
  }

  /** "t = 19" of a line, or "". */
  time(line) {
    const [box, k, count] = this.inner.get(line) ?? [null];
    if (box === null || k === undefined) return "";
    if (box < 0) return `${k + 1} of ${count}`;
    const { clock, count: total } = this.boxes[box];
    return `${clock.index} = ${clock.back ? total - 1 - k : k}`;
  }

  index(box, k) {
    const { clock, count } = this.boxes[box];
    return clock.back ? count - 1 - k : k;
  }

  kind(line) {
    return this.kinds[this.tape[line][0]];
  }
  owner(line) {
    return this.tape[line][1];
  }
  value(line) {
    return this.tape[line][2] || null;
  }
  gradient(line) {
    return this.tape[line][3] || null;
  }

  /** The outermost closed box around a box, or −1; single steps are shown without inner boxes. */
  closed(box) {
    let found = -1;
    for (const b of this.around(box)) {
      if (this.boxes[b].closed) found = b;
      else if (this.boxes[b].shown) found = -1;
    }
    return found;
  }

  /** The loop around a box of which single repetitions are shown, or −1. */
  revealed(box) {
    let found = -1;
    for (const b of this.around(box)) if (this.boxes[b].shown) found = b;
    return found;
  }

  /** Name in the picture of what shows node i of the folded graph; "" if nothing does. */
  shows(i) {
    const node = this.nodes[i];
    const closed = this.closed(node.box);
    if (closed >= 0) return `b${closed}`;
    return this.revealed(node.box) >= 0 ? "" : node.n;
  }

  /** Name in the picture of what shows a line, or a leaf (−1, −2, …). */
  showsLine(ref) {
    if (ref < 0) {
      const leaf = this.leaves[-1 - ref];
      if (!leaf || leaf[2] < 0) return "";
      const { box } = this.nodes[leaf[2]];
      const single = this.closed(box) < 0 && this.revealed(box) >= 0;
      return single ? `v${-ref}` : this.shows(leaf[2]);
    }
    const owner = this.owner(ref);
    if (owner < 0) return "";
    const box = this.nodes[owner].box;
    if (this.closed(box) >= 0) return this.shows(owner);
    const loop = this.revealed(box);
    if (loop < 0) return this.shows(owner);
    const [, k] = this.repetition.get(ref) ?? [loop, 0];
    if (this.boxes[loop].shown.has(k)) return `l${ref}`;
    return `g${loop}_${this.gapOf(loop, k)}`;
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
