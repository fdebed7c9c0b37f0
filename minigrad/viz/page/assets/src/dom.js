// Elements and numbers. Text enters the page as text nodes only.

export const $ = (id) => document.getElementById(id);

/** An element: h("p", { class: "rule", onclick: f }, "text", child, …). */
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === false || value === null || value === undefined) continue;
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else element.setAttribute(key, value === true ? "" : value);
  }
  element.append(...children.flat().filter((c) => c !== null && c !== undefined && c !== ""));
  return element;
}

const SVG = "http://www.w3.org/2000/svg";
export function s(tag, attributes = {}, ...children) {
  const element = document.createElementNS(SVG, tag);
  for (const [key, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined) element.setAttribute(key, value);
  }
  element.append(...children.flat());
  return element;
}

/** Four significant figures, as in the pictures: 0.1568, 1.2e-5, 48,321. */
export function num(x, figures = 4) {
  if (typeof x !== "number") return String(x);
  if (Number.isInteger(x) && Math.abs(x) >= 10 ** (figures - 1)) return x.toLocaleString("en-US");
  const small = x !== 0 && Math.abs(x) < 1e-4;
  const text = small
    ? x.toExponential(figures - 1).replace(/\.?0*e/, "e")
    : String(Number(x.toPrecision(figures)));
  return x < 0 ? text.replace("-", "−") : text;
}

export function bytes(n) {
  if (n < 1024) return `${n} bytes`;
  if (n < 1024 * 1024) return `${num(n / 1024, 3)} KiB`;
  return `${num(n / 1024 / 1024, 3)} MiB`;
}

export function seconds(t) {
  return t < 1e-3 ? `${num(t * 1e6, 3)} µs` : t < 1 ? `${num(t * 1e3, 3)} ms` : `${num(t, 3)} s`;
}

export const still = () => matchMedia("(prefers-reduced-motion: reduce)").matches;
