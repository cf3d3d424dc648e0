// Builds the page: `node build.mjs [FOLDER]`. The same source and lockfile give the same bytes on every machine.

import { mkdir, readFile, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

import { build } from "esbuild";

const here = dirname(fileURLToPath(import.meta.url));
const out = process.argv[2] ?? join(here, "../engine/tessera_engine/view/page");

const read = (path) => readFile(join(here, path), "utf8");

/** The packages whose files went into the bundle, in alphabetical order. */
function packagesOf(inputs) {
  const names = Object.keys(inputs).map((path) => path.match(/node_modules\/((?:@[^/]+\/)?[^/]+)\//)?.[1]);
  return [...new Set(names.filter(Boolean))].sort();
}

async function licenceOf(name) {
  const { version, license } = JSON.parse(await read(`node_modules/${name}/package.json`));
  for (const file of ["LICENSE", "LICENSE.md", "LICENSE.txt", "license", "LICENCE"]) {
    const text = await read(`node_modules/${name}/${file}`).catch(() => null);
    if (text) return `${name} ${version} (${license})\n\n${text.trim()}\n`;
  }
  throw new Error(`${name} has no licence file`);
}

await mkdir(out, { recursive: true });
const result = await build({
  absWorkingDir: here,
  entryPoints: ["src/main.ts", "src/app.css"],
  entryNames: "app",
  outdir: out,
  bundle: true,
  minify: true,
  format: "iife",
  target: "es2022",
  legalComments: "none",
  charset: "utf8",
  banner: { js: "/* tessera-engine (MIT) with OpenLayers and others, see licences.txt. Source: web/ */" },
  metafile: true,
});
const licences = await Promise.all(packagesOf(result.metafile.inputs).map(licenceOf));
await writeFile(join(out, "licences.txt"), `The page has these packages in it.\n\n${licences.join(`\n${"-".repeat(72)}\n\n`)}`);
const page = await read("src/index.html");
const fill = (folder, data) => page.replaceAll("{folder}", folder).replace("{data}", data);
await writeFile(join(out, "index.html"), fill("static/", ""));
await writeFile(join(out, "folder.html"), fill("", '<script src="data.js"></script>\n    '));
await writeFile(join(out, "icon.svg"), await read("src/icon.svg"));
