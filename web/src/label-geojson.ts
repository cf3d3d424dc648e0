// Labels to and from GeoJSON, for pages without a server. Coordinates are those of the output's CRS, and the file names
// it: GDAL and QGIS read that. (The program converts to longitude and latitude; a page can't without its tables.)

import { CLASS_COLOURS } from "./colours";
import { centre, fromCrs, pixelAt, toCrs, type Xy } from "./geometry";
import { SourceError, type Label, type LabelDocument, type Output } from "./source";

interface Feature {
  properties?: Record<string, unknown> | null;
  geometry?: { type: string; coordinates: unknown } | null;
}

interface Collection {
  type?: string;
  crs?: { properties?: { name?: string } };
  features?: Feature[];
}

export function writeLabels({ classes, labels }: LabelDocument, output: Output): string {
  const features = labels.map((label) => {
    const named = classes.find((one) => one.id === label.class);
    const geometry =
      label.kind === "point"
        ? { type: "Point", coordinates: toCrs(centre(label), output) }
        : { type: "Polygon", coordinates: [label.ring] };
    return { type: "Feature", properties: { class: named?.name, colour: named?.colour }, geometry };
  });
  const name = urn(output);
  const crs = name === null ? undefined : { type: "name", properties: { name } };
  return JSON.stringify({ type: "FeatureCollection", crs, features });
}

/** The labels of a document and those of a file. */
export function readLabels(text: string, into: LabelDocument, output: Output): LabelDocument {
  let read: Collection;
  try {
    read = JSON.parse(text) as Collection;
  } catch {
    throw new SourceError("The file is not GeoJSON.", 400);
  }
  if (!Array.isArray(read.features)) throw new SourceError("The file is not a GeoJSON FeatureCollection.", 400);
  const crs = read.crs?.properties?.name ?? null;
  if (crs !== urn(output)) {
    const found = crs ?? "longitude and latitude";
    throw new SourceError(`The file's CRS is ${found}; this page reads files of its own only, in ${output.crs ?? "none"}.`, 400);
  }
  const classes = [...into.classes];
  const labels: Label[] = [...into.labels];
  for (const { properties, geometry } of read.features) {
    const name = String(properties?.class ?? "");
    if (!name || !geometry) continue;
    let known = classes.find((one) => one.name === name);
    if (!known) {
      const said = String(properties?.colour ?? "");
      const colour = /^#[0-9a-f]{6}$/i.test(said) ? said.toUpperCase() : CLASS_COLOURS[classes.length % CLASS_COLOURS.length]!;
      known = { id: `c${next(classes)}`, name, colour };
      classes.push(known);
    }
    const id = `l${next(labels)}`;
    if (geometry.type === "Point") {
      const pixel = pixelAt(fromCrs(geometry.coordinates as Xy, output), output);
      if (pixel) labels.push({ id, class: known.id, kind: "point", ...pixel });
    } else if (geometry.type === "Polygon") {
      labels.push({ id, class: known.id, kind: "polygon", ring: (geometry.coordinates as Xy[][])[0]! });
    }
  }
  return { revision: into.revision, classes, labels };
}

/** The CRS as GDAL and QGIS read it in GeoJSON; null where it has no code. */
function urn({ crs }: Output): string | null {
  const code = /^([A-Z]+):(\d+)$/.exec(crs ?? "");
  return code && `urn:ogc:def:crs:${code[1]}::${code[2]}`;
}

function next(used: { id: string }[]): number {
  return Math.max(0, ...used.map(({ id }) => Number(id.slice(1)) || 0)) + 1;
}
