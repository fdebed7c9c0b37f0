// The picture: its parts, the keyboard, marks.

import { Camera } from "./camera.js";
import { $, h, s, still } from "./dom.js";

export class Stage {
  constructor(model, on) {
    this.model = model;
    this.on = on; // { select(name), toggle(box) }
    this.canvas = $("canvas");
    this.marked = null;
    this.camera = new Camera(this.canvas);
    // Arrows walk the nodes only for those who came by keyboard; else they step.
    this.walking = true;
    document.addEventListener("pointerdown", () => (this.walking = false), true);
    document.addEventListener("keydown", (e) => e.key === "Tab" && (this.walking = true), true);
  }

  /** Show the SVG that is on the page already, or the text of a new one. */
  show(text) {
    const before = this.svg && text ? this.#places() : null;
    if (text) {
      const parsed = new DOMParser().parseFromString(text, "image/svg+xml").documentElement;
      if (parsed.nodeName !== "svg") throw new Error("the layout is not a picture");
      this.canvas.replaceChildren(document.importNode(parsed, true));
    }
    this.svg = this.canvas.querySelector("svg");
    if (!this.svg) return false;
    this.#dress();
    const focus = this.focus && this.parts.has(this.focus) ? this.focus : null;
    this.#rove(focus ?? this.parts.keys().next().value);
    this.camera.fit(this.bounds);
    if (before) this.#glide(before);
    return true;
  }

  /** Names, roles and handles on the parts of Graphviz's SVG. */
  #dress() {
    const { svg } = this;
    svg.id = "graph";
    svg.removeAttribute("width");
    svg.removeAttribute("height");
    svg.removeAttribute("style");
    svg.setAttribute("role", "group");
    svg.setAttribute("aria-roledescription", "graph");
    svg.setAttribute("aria-labelledby", "title");
    svg.setAttribute("aria-describedby", "notes");
    svg.setAttribute("preserveAspectRatio", "xMidYMid meet");
    const inner = svg.querySelector("g.graph");
    inner.querySelector(":scope > title")?.remove();
    inner.removeAttribute("id");
    const paper = inner.querySelector(":scope > polygon");
    if (paper) paper.remove();
    this.parts = new Map();
    this.lines = new Map();
    this.frames = new Map();
    for (const g of svg.querySelectorAll("g.node, g.edge, g.cluster")) {
      const title = g.querySelector(":scope > title");
      const name = g.dataset.name ?? title?.textContent ?? "";
      title?.remove();
      g.dataset.name = name;
      g.removeAttribute("id");
      if (g.classList.contains("node")) this.#node(g, name);
      else if (g.classList.contains("cluster")) this.#cluster(g, name);
      else {
        if (!this.lines.has(name)) this.lines.set(name, []);
        this.lines.get(name).push(g);
      }
    }
    const [x, y, w, height] = svg.getAttribute("viewBox").split(/\s+/).map(Number);
    this.bounds = { x, y, w, h: height };
  }

  #node(g, name) {
    this.parts.set(name, g);
    g.querySelector("path, polygon, ellipse")?.classList.add("shape");
    g.setAttribute("role", "button");
    g.setAttribute("tabindex", "-1");
    g.setAttribute("aria-label", this.label(name, g));
    g.addEventListener("focus", () => this.#rove(name));
    g.addEventListener("click", () => !this.camera.dragged && this.on.select(name));
    g.addEventListener("keydown", (event) => this.#walk(event, name));
    const closed = /^b(\d+)/.exec(name)?.[1] ?? this.model.nodes[this.model.byName.get(name)]?.opens;
    if (closed !== undefined) {
      g.classList.add("closed");
      g.addEventListener("dblclick", (event) => {
        event.stopPropagation();
        this.on.toggle(Number(closed));
      });
      this.#plus(g, Number(closed));
    }
  }

  /** What can be opened has a sign for it on its corner; by keyboard, its card opens it. */
  #plus(g, box) {
    const { x, y, width } = g.querySelector(".shape").getBBox();
    const [cx, cy] = [x + width - 3, y + 3];
    const sign = s(
      "g",
      { class: "fold plus", "aria-hidden": "true" },
      s("circle", { cx, cy, r: 7.5 }),
      s("path", { d: `M${cx - 4} ${cy}h8M${cx} ${cy - 4}v8` }),
    );
    sign.addEventListener("click", (event) => {
      if (this.camera.dragged) return;
      event.stopPropagation();
      this.on.toggle(box);
    });
    g.append(sign);
  }

  /** A frame: its corner closes it, its title selects it. */
  #cluster(g, name) {
    const box = Number(/^cluster_(\d+)/.exec(name)?.[1] ?? -1);
    const shape = g.querySelector("path, polygon");
    if (box < 0 || !shape) return;
    this.frames.set(name, g);
    const { x, y, width } = shape.getBBox();
    const title = this.model.boxes[box].title;
    const button = s(
      "g",
      { class: "fold", role: "button", tabindex: "-1", "aria-label": `close ${title}` },
      s("rect", { x: x + width - 24, y: y + 7, width: 16, height: 16, rx: 4 }),
      s("path", { d: `M${x + width - 20} ${y + 15}h8` }),
    );
    button.addEventListener("click", () => !this.camera.dragged && this.on.toggle(box));
    button.addEventListener("focus", () => this.#rove(name));
    button.addEventListener("keydown", (event) => this.#walk(event, name));
    g.parentNode.append(button);
    this.parts.set(name, button);
    for (const text of g.querySelectorAll("text")) {
      text.addEventListener("click", () => !this.camera.dragged && this.on.select(name));
    }
  }

  label(name, g) {
    const text = [...g.querySelectorAll("text")].map((t) => t.textContent.trim()).join(" ");
    return text || name;
  }

  /** Move a part into sight if it is not. */
  reveal(name) {
    const part = this.parts.get(name);
    if (!part) return;
    const at = part.getBoundingClientRect();
    const room = this.canvas.getBoundingClientRect();
    const margin = 24;
    const over = (low, high, from, to) =>
      low < from + margin ? from + margin - low : high > to - margin ? to - margin - high : 0;
    const dx = over(at.left, at.right, room.left, room.right);
    const dy = over(at.top, at.bottom, room.top, room.bottom);
    if (dx || dy) this.camera.pan(dx, dy);
  }

  // -- keyboard ---------------------------------------------------------------------------------

  /** One part is in the tab order; arrows walk from part to part. */
  #rove(name) {
    this.parts.get(this.focus)?.setAttribute("tabindex", "-1");
    this.focus = name;
    this.parts.get(name)?.setAttribute("tabindex", "0");
  }

  #walk(event, name) {
    if (event.key === "Enter" || event.key === " ") {
      event.preventDefault();
      event.stopPropagation();
      if (name.startsWith("cluster")) this.on.toggle(Number(name.split("_")[1]));
      else this.on.select(name);
      return;
    }
    const way = { ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowDown: [0, 1], ArrowUp: [0, -1] };
    const direction = way[event.key];
    if (!direction || !this.walking || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    event.stopPropagation();
    const next = this.#neighbour(name, direction);
    if (!next) return;
    this.parts.get(next).focus({ preventScroll: true });
    this.reveal(next);
  }

  /** The nearest part in a direction; what stands straight ahead counts as nearer. */
  #neighbour(name, [dx, dy]) {
    const centre = (part) => {
      const box = part.getBoundingClientRect();
      return [box.left + box.width / 2, box.top + box.height / 2];
    };
    const [x, y] = centre(this.parts.get(name));
    let best = null;
    let least = Infinity;
    for (const [other, part] of this.parts) {
      if (other === name) continue;
      const [ox, oy] = centre(part);
      const ahead = (ox - x) * dx + (oy - y) * dy;
      const aside = Math.abs((ox - x) * dy) + Math.abs((oy - y) * dx);
      if (ahead < 2) continue;
      const cost = ahead + 2.5 * aside;
      if (cost < least) [least, best] = [cost, other];
    }
    return best;
  }

  // -- marks ------------------------------------------------------------------------------------

  select(name) {
    this.svg?.querySelector(".selected")?.classList.remove("selected");
    this.parts?.get(name)?.classList.add("selected");
  }

  /** The backward pass stands at a part; the gradient flows to others; these were passed. */
  mark(at, targets, passed, time) {
    if (!this.svg) return;
    this.svg.querySelector(".tag")?.remove();
    for (const old of this.svg.querySelectorAll(".at, .flow, .reached, .passed, .waiting")) {
      old.classList.remove("at", "flow", "reached", "passed", "waiting");
    }
    if (!at && !passed) return;
    for (const name of passed) this.parts.get(name)?.classList.add("passed");
    this.#place(at)?.classList.add("at");
    for (const target of targets) {
      this.#place(target)?.classList.add("reached");
      for (const line of this.lines.get(`${target}->${at}`) ?? []) {
        line.classList.add("flow");
        line.parentNode.append(line);
      }
    }
    const part = this.parts.get(at);
    if (part && time && !this.frames.has(at)) this.#tag(part, time);
    if (at) this.reveal(at);
  }

  #place(name) {
    return this.frames.get(name) ?? this.parts.get(name);
  }

  /** A small flag on a node: the step of the loop it stands at. */
  #tag(part, text) {
    const { x, y, width } = part.querySelector(".shape").getBBox();
    const wide = 7 * text.length + 10;
    const centre = x + width / 2;
    part.parentNode.append(
      s(
        "g",
        { class: "tag", "aria-hidden": "true" },
        s("rect", { x: centre - wide / 2, y: y - 21, width: wide, height: 17, rx: 5 }),
        s("text", { x: centre, y: y - 8.5, "text-anchor": "middle" }, text),
      ),
    );
  }

  #places() {
    const places = new Map();
    for (const [name, part] of this.parts) places.set(name, part.getBoundingClientRect());
    return places;
  }

  /** Parts that were there before glide to their new places. */
  #glide(before) {
    if (still()) return;
    for (const [name, part] of this.parts) {
      const old = before.get(name);
      if (!old || name.startsWith("cluster")) {
        part.animate([{ opacity: 0 }, { opacity: 1 }], { duration: 320 });
        continue;
      }
      const now = part.getBoundingClientRect();
      const dx = (old.left + old.width / 2 - now.left - now.width / 2) / this.camera.scale;
      const dy = (old.top + old.height / 2 - now.top - now.height / 2) / this.camera.scale;
      part.animate(
        [{ transform: `translate(${dx}px, ${dy}px)` }, { transform: "none" }],
        { duration: 320, easing: "cubic-bezier(.2,.8,.2,1)" },
      );
    }
    for (const g of this.svg.querySelectorAll("g.edge, g.cluster")) {
      g.animate([{ opacity: 0 }, { opacity: 1 }], { duration: 420 });
    }
  }
}

/** The buttons above the picture. */
export function tools(buttons) {
  return buttons.map(([text, label, action, id]) =>
    h("button", { type: "button", "aria-label": label, title: label, onclick: action, id }, text),
  );
}
