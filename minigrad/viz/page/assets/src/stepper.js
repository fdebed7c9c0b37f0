// The backward pass, one tape line at a time, in the order in which the engine walks the tape.

import { h, num, still } from "./dom.js";
import { rules } from "./card.js";

export class Stepper {
  constructor(model, root, show) {
    this.model = model;
    this.show = show; // called with the number of the step, 0: before the first
    this.at = 0;
    this.count = model.steps.length;
    if (!this.count) {
      root.hidden = true;
      return;
    }
    const button = (text, label, action) =>
      h("button", { type: "button", "aria-label": label, title: label, onclick: action }, text);
    this.slider = h("input", {
      type: "range", min: 0, max: this.count, value: 0, step: 1,
      "aria-label": "Step of the backward pass",
      oninput: () => this.go(Number(this.slider.value)),
    });
    this.play = button("Play", "Play", () => this.toggle());
    this.play.id = "play";
    this.words = h("output", { id: "where" }, "");
    root.append(
      h("h2", {}, "backward()"),
      button("|◀", "Before the first step", () => this.go(0)),
      button("◀", "Previous step", () => this.go(this.at - 1)),
      this.play,
      button("▶", "Next step", () => this.go(this.at + 1)),
      this.slider,
      this.words,
    );
    this.#say();
  }

  go(at) {
    if (!this.count) return;
    this.at = Math.max(0, Math.min(this.count, at));
    this.slider.value = String(this.at);
    this.#say();
    this.show(this.at);
    if (this.at === this.count) this.stop();
  }

  toggle() {
    if (this.timer) return this.stop();
    if (this.at === this.count) this.go(0);
    this.play.textContent = "Pause";
    this.play.setAttribute("aria-label", "Pause");
    this.timer = setInterval(() => this.go(this.at + 1), still() ? 1200 : 650);
    return this.go(this.at + 1);
  }

  stop() {
    clearInterval(this.timer);
    this.timer = null;
    this.play.textContent = "Play";
    this.play.setAttribute("aria-label", "Play");
  }

  #say() {
    const { model } = this;
    if (!this.at) {
      this.words.textContent = `${this.count} steps, newest line first`;
      this.slider.setAttribute("aria-valuetext", "before the first step");
      return;
    }
    const [line] = model.steps[this.at - 1];
    const time = model.time(line);
    const text =
      `step ${this.at} of ${this.count} · line ${line + 1} · ${model.titleOf(line)}` +
      (time ? ` · ${time}` : "");
    this.words.textContent = text;
    this.slider.setAttribute("aria-valuetext", text);
  }
}

function gradient(found) {
  const [norm, shape, values] = found;
  if (norm === undefined) return null;
  if (values === undefined) return h("p", { class: "norm" }, `‖·‖ = ${num(norm)}  ${shape}`);
  if (shape === "()") return h("p", { class: "norm" }, num(values));
  return [h("p", { class: "norm" }, `‖·‖ = ${num(norm)}  ${shape}`), matrix(values)];
}

/** The elements of a small array, as a table. */
function matrix(values) {
  let rows = values;
  while (Array.isArray(rows[0]?.[0])) rows = rows.flat();
  if (!Array.isArray(rows[0])) rows = [rows];
  if (!rows[0]?.length) return null;
  return h(
    "div",
    { class: "scroll", tabindex: "0", role: "group", "aria-label": "elements" },
    h("table", { class: "elements" }, h("tbody", {}, ...rows.map((row) =>
      h("tr", {}, ...row.map((x) => h("td", {}, num(x, 3))))))),
  );
}

/** What happens at a step: what arrives, by which rule, what goes where. */
export function stepCard(model, at) {
  const [line, sent, ...came] = model.steps[at - 1];
  const kind = model.kind(line);
  const time = model.time(line);
  return [
    h("p", { class: "chip loss" }, `step ${at} of ${model.steps.length}`),
    h("h2", {}, model.titleOf(line), time ? h("small", {}, ` ${time}`) : null),
    h("p", { class: "sub" }, `tape line ${line + 1}${kind.op !== model.titleOf(line) ? ` · ${kind.op}` : ""}`),
    h("h3", {}, "Gradient that arrives"),
    gradient(came) ??
      h("p", { class: "small" }, "not recorded: draw inside viz.record(loss) to see the numbers"),
    rules(kind.rules),
    h("h3", {}, sent.length ? "What goes on" : "Nothing goes on from here"),
    ...sent.map(([arg, target, nth, total, ...found]) =>
      h(
        "div",
        { class: "sent" },
        h("p", {}, h("span", { class: "to" }, `∂${kind.args[arg] ?? kind.args.at(-1) ?? arg}`), " → ",
          h("b", {}, model.nameOf(target) || "an input")),
        total > 1
          ? h("p", { class: "count" }, `${nth === 1 ? "first" : "added"}: ${nth} of ${total}`,
              h("progress", { max: total, value: nth, "aria-label": `${nth} of ${total}` }))
          : null,
        gradient(found),
      ),
    ),
  ];
}
