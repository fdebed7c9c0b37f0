// Heat maps on a canvas: by pointer and by keyboard every cell can be read.

import { h, num } from "./dom.js";

const CIVIDIS = [
  "#00224E", "#123570", "#3B496C", "#575D6D", "#707173",
  "#8A8678", "#A59C74", "#C3B369", "#E1CC55", "#FEE838",
];
const rgb = (hex) => [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16));
const STOPS = CIVIDIS.map(rgb);

function colour(at) {
  const x = Math.min(Math.max(at, 0), 1) * (STOPS.length - 1);
  const i = Math.min(Math.floor(x), STOPS.length - 2);
  return STOPS[i].map((a, c) => Math.round(a + (STOPS[i + 1][c] - a) * (x - i)));
}

const BANDS = 20; // of a filled contour
const FONT = "Arial, 'Liberation Sans', Helvetica, sans-serif";

export class HeatMap {
  /**
   * rows of numbers (words where one is not finite), and:
   * name, ends [low, high], rows, columns (labels or null), x, y, cross, square, say(text), largest.
   */
  constructor(values, options) {
    Object.assign(this, { say: () => {}, largest: 46, x: "", y: "", name: "" }, options);
    this.values = values;
    this.cell = null; // [row, column] under the cursor
    const known = values.flat().filter(Number.isFinite);
    this.ends ??= [Math.min(0, ...known), Math.max(...known, 1e-12)];
    this.canvas = h("canvas", {
      class: "map", tabindex: "0", role: "img", "aria-label": this.#summary(),
      onkeydown: (event) => this.#key(event),
      onpointermove: (event) => this.#point(event),
      onpointerleave: () => this.#show(null),
      onblur: () => this.#show(null),
    });
  }

  label(axis, i) {
    const labels = axis ? this.columns : this.rows;
    const what = axis ? this.x : this.y;
    return labels?.[i] ?? `${what ? `${what.replace("step t", "t =")} ` : ""}${i}`;
  }

  #summary() {
    const { values } = this;
    let best = [0, 0];
    values.forEach((line, r) =>
      line.forEach((x, c) => {
        if (Number.isFinite(x) && !(x <= values[best[0]][best[1]])) best = [r, c];
      }),
    );
    const most = `largest ${num(values[best[0]][best[1]], 3)} at ${this.label(0, best[0])}, ${this.label(1, best[1])}`;
    return `${this.name || "heat map"}: ${values.length} by ${values[0].length}, ${most}; arrow keys read the cells`;
  }

  #key(event) {
    const way = { ArrowRight: [0, 1], ArrowLeft: [0, -1], ArrowDown: [1, 0], ArrowUp: [-1, 0] }[event.key];
    if (!way || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    event.stopPropagation();
    const [r, c] = this.cell ?? [0, 0];
    const inside = (x, n) => Math.min(Math.max(x, 0), n - 1);
    this.#show(
      this.cell
        ? [inside(r + way[0], this.values.length), inside(c + way[1], this.values[0].length)]
        : [0, 0],
    );
  }

  #point(event) {
    const box = this.canvas.getBoundingClientRect();
    const r = Math.floor((event.clientY - box.top - this.top) / this.tall);
    const c = Math.floor((event.clientX - box.left - this.left) / this.wide);
    this.#show(this.values[r]?.[c] === undefined ? null : [r, c]);
  }

  #show(cell) {
    if (String(cell) === String(this.cell)) return;
    this.cell = cell;
    this.draw();
    if (!cell) return this.say("");
    const value = this.values[cell[0]][cell[1]];
    this.say(`${this.label(0, cell[0])}, ${this.label(1, cell[1])}: ${num(value)}`);
  }

  /** Draw into a width in CSS pixels. */
  draw(width = this.width) {
    this.width = width;
    const { canvas, values } = this;
    const pen = canvas.getContext("2d");
    const style = getComputedStyle(document.documentElement);
    const ink = (name) => style.getPropertyValue(`--${name}`).trim();
    pen.font = `12px ${FONT}`;
    const wordy = (labels) => (labels ? Math.min(110, Math.max(...labels.map((t) => pen.measureText(t).width))) : 0);
    this.left = this.rows ? wordy(this.rows) + 10 : this.y ? 20 : 2;
    const room = width - this.left - 58;
    const [n, m] = [values.length, values[0].length];
    this.wide = Math.max(Math.min(this.largest, room / m), 1);
    const square = this.square || this.rows || n > 24;
    this.tall = square ? this.wide : Math.max(5, Math.min(14, 150 / n));
    const across = wordy(this.columns);
    const turned = !this.cross && across > this.wide - 4;
    this.top = this.name ? 22 : 4;
    const below = (this.columns ? (turned ? across * 0.78 + 12 : 20) : this.x ? 20 : 4) + (this.columns && this.x ? 16 : 0);
    const height = this.top + n * this.tall + below;
    const ratio = devicePixelRatio || 1;
    const total = Math.min(width, Math.ceil(this.left + m * this.wide + 58));
    canvas.width = Math.round(total * ratio);
    canvas.height = Math.round(height * ratio);
    canvas.style.width = `${total}px`;
    canvas.style.height = `${height}px`;
    pen.scale(ratio, ratio);
    pen.fillStyle = ink("ink");
    pen.textBaseline = "alphabetic";
    if (this.name) {
      pen.font = `bold 13px ${FONT}`;
      pen.fillText(this.name, this.left, 14);
    }
    this.#cells(pen, ink);
    this.#labels(pen, ink, turned, across);
    this.#scale(pen, ink, this.left + m * this.wide + 12, n * this.tall);
  }

  #cells(pen, ink) {
    const [low, high] = this.ends;
    if (this.cross) this.#bands(pen);
    const gap = Math.min(this.wide, this.tall) >= 14 ? 1 : 0;
    const written = this.wide >= 32 && this.tall >= 16;
    this.values.forEach((line, r) =>
      line.forEach((x, c) => {
        const [px, py] = [this.left + c * this.wide, this.top + r * this.tall];
        if (this.cross) return;
        const known = Number.isFinite(x);
        const [red, green, blue] = known ? colour((x - low) / (high - low || 1)) : [203, 213, 225];
        pen.fillStyle = `rgb(${red},${green},${blue})`;
        pen.fillRect(px, py, this.wide - gap + (gap ? 0 : 0.4), this.tall - gap + (gap ? 0 : 0.4));
        if (!known) {
          pen.strokeStyle = "#B00020";
          pen.strokeRect(px + 1, py + 1, this.wide - gap - 2, this.tall - gap - 2);
        }
        if (written) {
          pen.fillStyle = 0.2126 * red + 0.7152 * green + 0.0722 * blue > 118 ? "#0F172A" : "#FFFFFF";
          pen.font = `11px ${FONT}`;
          pen.textAlign = "center";
          if (!known || Math.abs(x) > 0.005 * (high - low)) pen.fillText(num(x, 2), px + this.wide / 2, py + this.tall / 2 + 4);
        }
      }),
    );
    if (this.cross) {
      const [x, y] = [this.left + (this.values[0].length * this.wide) / 2, this.top + (this.values.length * this.tall) / 2];
      for (const [style, width] of [["#0F172A", 5], ["#FFFFFF", 2.5]]) {
        pen.strokeStyle = style;
        pen.lineWidth = width;
        pen.beginPath();
        pen.moveTo(x - 9, y);
        pen.lineTo(x + 9, y);
        pen.moveTo(x, y - 9);
        pen.lineTo(x, y + 9);
        pen.stroke();
      }
    }
    if (this.cell) {
      const [r, c] = this.cell;
      const box = [this.left + c * this.wide, this.top + r * this.tall, this.wide, this.tall];
      pen.lineWidth = 4;
      pen.strokeStyle = ink("paper");
      pen.strokeRect(...box);
      pen.lineWidth = 2;
      pen.strokeStyle = ink("gradient-text");
      pen.strokeRect(...box);
    }
  }

  /** A smooth surface in bands: filled contours. */
  #bands(pen) {
    const { values } = this;
    const [low, high] = this.ends;
    const [n, m] = [values.length, values[0].length];
    const ratio = devicePixelRatio || 1;
    const [w, tall] = [Math.round(m * this.wide * ratio), Math.round(n * this.tall * ratio)];
    const image = pen.createImageData(w, tall);
    const between = (at, count) => {
      const x = Math.min(Math.max(at * count - 0.5, 0), count - 1);
      const i = Math.min(Math.floor(x), Math.max(count - 2, 0));
      return [i, Math.min(i + 1, count - 1), x - i];
    };
    for (let y = 0; y < tall; y += 1) {
      const [r, below, dy] = between((y + 0.5) / tall, n);
      for (let x = 0; x < w; x += 1) {
        const [c, right, dx] = between((x + 0.5) / w, m);
        const top = values[r][c] * (1 - dx) + values[r][right] * dx;
        const bottom = values[below][c] * (1 - dx) + values[below][right] * dx;
        const level = (top * (1 - dy) + bottom * dy - low) / (high - low || 1);
        const shade = Number.isFinite(level) ? colour((Math.floor(level * BANDS) + 0.5) / BANDS) : [203, 213, 225];
        image.data.set([...shade, 255], 4 * (y * w + x));
      }
    }
    pen.putImageData(image, Math.round(this.left * ratio), Math.round(this.top * ratio));
  }

  #labels(pen, ink, turned, across) {
    const [n, m] = [this.values.length, this.values[0].length];
    const bottom = this.top + n * this.tall;
    pen.font = `12px ${FONT}`;
    pen.fillStyle = ink("ink");
    const each = (room, size) => Math.max(1, Math.ceil((this.cross ? 3 * size : size) / room));
    if (this.rows) {
      pen.textAlign = "right";
      for (let r = 0; r < n; r += each(this.tall, 13)) {
        pen.fillText(this.rows[r], this.left - 7, this.top + (r + 0.5) * this.tall + 4, 110);
      }
    } else if (this.y) {
      pen.save();
      pen.fillStyle = ink("muted");
      pen.translate(13, this.top + (n * this.tall) / 2);
      pen.rotate(-Math.PI / 2);
      pen.textAlign = "center";
      pen.fillText(this.y, 0, 0);
      pen.restore();
    }
    if (this.columns) {
      for (let c = 0; c < m; c += each(this.wide, 13)) {
        pen.save();
        pen.translate(this.left + (c + 0.5) * this.wide, bottom + 14);
        if (turned) pen.rotate(-Math.PI / 4);
        pen.textAlign = turned ? "right" : "center";
        pen.fillText(this.columns[c], turned ? 3 : 0, turned ? -2 : 0, 110);
        pen.restore();
      }
    }
    if (this.x) {
      pen.fillStyle = ink("muted");
      pen.textAlign = "center";
      const y = this.columns ? bottom + (turned ? across * 0.78 + 24 : 32) : bottom + 15;
      const ends = this.columns ? this.x : `${this.x} = 0 … ${m - 1}`;
      pen.fillText(ends, this.left + (m * this.wide) / 2, y);
    }
  }

  #scale(pen, ink, x, height) {
    const tall = Math.max(24, Math.min(height - 2, 420));
    const [low, high] = this.ends;
    for (let i = 0; i < tall; i += 1) {
      pen.fillStyle = `rgb(${colour(1 - i / tall)})`;
      pen.fillRect(x, this.top + i, 9, 1.3);
    }
    pen.fillStyle = ink("muted");
    pen.font = `11px ${FONT}`;
    pen.textAlign = "left";
    pen.fillText(num(high, 2), x + 13, this.top + 9, 40);
    pen.fillText(num(low, 2), x + 13, this.top + tall, 40);
  }
}
