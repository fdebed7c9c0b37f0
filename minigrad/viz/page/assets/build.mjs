// Builds what the page carries, and writes the checksums that the tests hold.
// npm ci && npm run build

import { createHash } from "node:crypto";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { gzipSync } from "node:zlib";
import { buildSync } from "esbuild";

process.chdir(import.meta.dirname);

const page = buildSync({
  entryPoints: ["src/main.js"], bundle: true, minify: true, write: false, charset: "utf8",
  target: "es2022", format: "esm",
});
writeFileSync("page.js", page.outputFiles[0].text);

const packed = gzipSync(readFileSync("node_modules/@viz-js/viz/dist/viz-global.js"), { level: 9 });
packed[9] = 255; // the system it was packed on is nobody's business
writeFileSync("viz.js.gz", packed);

const files = [
  "NOTICE.txt", "build.mjs", "package-lock.json", "package.json", "page.css", "page.js",
  "viz.js.gz", ...readdirSync("src").map((name) => `src/${name}`),
].sort();
const line = (name) =>
  `${createHash("sha256").update(readFileSync(name)).digest("hex")}  ${name}\n`;
writeFileSync("SHA256SUMS", files.map(line).join(""));
