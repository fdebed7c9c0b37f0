// Pan and zoom by the viewBox of the picture: with pointers, the wheel, and by calls.

const LARGEST = 1.5; // screen pixels per point of the layout, when the whole is shown
const LEGIBLE = 0.7; // below that, small text cannot be read
const CLOSE = 1.15; // likewise, after a double click

export class Camera {
  constructor(canvas) {
    this.canvas = canvas;
    this.dragged = false; // a drag is under way: what ends it is no click
    this.#pointer();
    new ResizeObserver(() => {
      if (!this.bounds) return;
      if (this.fitted) this.fit();
      else this.#apply();
    }).observe(canvas);
  }

  /** Show the whole of what lies within `bounds`. */
  fit(bounds = this.bounds) {
    this.bounds = bounds;
    const { width, height } = this.canvas.getBoundingClientRect();
    const { x, y, w, h: tall } = bounds;
    const scale = Math.min(LARGEST, width / (w + 24), height / (tall + 24));
    this.scale = scale > 0 ? scale : 1;
    this.cx = x + w / 2;
    this.cy = y + tall / 2;
    this.#apply();
    this.fitted = true;
  }

  /** Come closer to a part of the screen, if what is on it is too small to be read. */
  approach({ left, top, width, height }) {
    if (this.scale >= LEGIBLE) return;
    const room = this.canvas.getBoundingClientRect();
    this.cx += (left + width / 2 - room.left - room.width / 2) / this.scale;
    this.cy += (top + height / 2 - room.top - room.height / 2) / this.scale;
    const larger = Math.min((0.94 * room.width) / width, (0.94 * room.height) / height);
    this.scale = Math.min(LARGEST, Math.max(1, larger) * this.scale);
    this.fitted = false;
    this.#apply();
  }

  zoom(factor, px, py) {
    const { left, top, width, height } = this.canvas.getBoundingClientRect();
    const dx = px === undefined ? 0 : px - left - width / 2;
    const dy = py === undefined ? 0 : py - top - height / 2;
    const scale = Math.min(8, Math.max(0.04, this.scale * factor));
    this.cx += dx / this.scale - dx / scale;
    this.cy += dy / this.scale - dy / scale;
    this.scale = scale;
    this.fitted = false;
    this.#apply();
  }

  pan(dx, dy) {
    this.cx -= dx / this.scale;
    this.cy -= dy / this.scale;
    this.fitted = false;
    this.#apply();
  }

  #apply() {
    const { width, height } = this.canvas.getBoundingClientRect();
    const [w, tall] = [width / this.scale, height / this.scale];
    this.canvas.querySelector("svg").setAttribute("viewBox", `${this.cx - w / 2} ${this.cy - tall / 2} ${w} ${tall}`);
  }

  #pointer() {
    const fingers = new Map();
    const { canvas } = this;
    canvas.addEventListener("pointerdown", (event) => {
      if (event.button) return;
      fingers.set(event.pointerId, event);
      this.dragged = false;
    });
    window.addEventListener("pointermove", (event) => {
      const last = fingers.get(event.pointerId);
      if (!last || !this.bounds) return;
      const others = [...fingers.values()].filter((f) => f.pointerId !== event.pointerId);
      const [dx, dy] = [event.clientX - last.clientX, event.clientY - last.clientY];
      if (!this.dragged && Math.hypot(dx, dy) < 4) return;
      this.dragged = true;
      canvas.classList.add("dragging");
      if (others.length === 1) {
        const o = others[0];
        const apart = (p) => Math.hypot(p.clientX - o.clientX, p.clientY - o.clientY) || 1;
        this.zoom(apart(event) / apart(last), o.clientX, o.clientY);
      } else this.pan(dx, dy);
      fingers.set(event.pointerId, event);
    });
    const up = (event) => {
      fingers.delete(event.pointerId);
      canvas.classList.remove("dragging");
      setTimeout(() => (this.dragged = false));
    };
    window.addEventListener("pointerup", up);
    window.addEventListener("pointercancel", up);
    canvas.addEventListener("dblclick", (event) => {
      if (!this.bounds) return;
      if (this.fitted) this.zoom(Math.max(CLOSE / this.scale, 1.5), event.clientX, event.clientY);
      else this.fit();
    });
    const framed = window !== window.top;
    canvas.addEventListener(
      "wheel",
      (event) => {
        if (!this.bounds || (framed && !event.ctrlKey && !event.metaKey)) return;
        event.preventDefault();
        const speed = event.ctrlKey ? 0.01 : 0.0016;
        this.zoom(Math.exp(-event.deltaY * speed), event.clientX, event.clientY);
      },
      { passive: false },
    );
  }
}
