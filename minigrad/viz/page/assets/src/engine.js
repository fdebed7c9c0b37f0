// Graphviz in a worker: started when it is needed, ended when it takes too long.

const HANDLER = `
let viz = null;
onmessage = async ({ data }) => {
  try {
    viz ??= await Viz.instance();
    postMessage({ id: data.id, svg: viz.renderString(data.dot, { format: "svg" }) });
  } catch (error) {
    postMessage({ id: data.id, error: String(error && error.message || error) });
  }
};`;

/** The text behind base64 of gzip. */
export async function unpack(base64) {
  const packed = Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).text();
}

export class Engine {
  constructor(base64, limit = 20000) {
    this.base64 = base64;
    this.limit = limit;
    this.id = 0;
  }

  /** The SVG of a DOT text; an earlier request that is still running is dropped. */
  async layout(dot) {
    this.id += 1;
    const id = this.id;
    if (this.cancel) this.cancel();
    if (!this.url) {
      const source = await unpack(this.base64);
      this.url ??= URL.createObjectURL(
        new Blob([source, HANDLER], { type: "text/javascript" }),
      );
    }
    if (id !== this.id) throw new Superseded();
    this.worker ??= new Worker(this.url);
    return new Promise((resolve, reject) => {
      const end = (kill) => {
        clearTimeout(timer);
        this.cancel = null;
        if (kill) {
          this.worker.terminate();
          this.worker = null;
        }
      };
      const timer = setTimeout(() => {
        end(true);
        reject(new Error(`the layout took more than ${this.limit / 1000} s`));
      }, this.limit);
      this.cancel = () => {
        end(true);
        reject(new Superseded());
      };
      this.worker.onmessage = ({ data }) => {
        if (data.id !== id) return;
        end(false);
        if (data.error) reject(new Error(data.error));
        else resolve(data.svg);
      };
      this.worker.onerror = (event) => {
        end(true);
        reject(new Error(event.message || "the layout engine could not start"));
      };
      this.worker.postMessage({ id, dot });
    });
  }
}

export class Superseded extends Error {}
