// What the page asks for. A server answers (server-source.ts), or the page computes it itself (folder-source.ts).

export type LayerName = "truecolour" | "pca" | "clusters" | "observations";
export type ResultName = "similarity" | "change" | "classes";
export type Job = "unpack" | "similar" | "classify" | "map" | "accuracy" | "change";

export interface Pixel {
  col: number;
  row: number;
}

export interface Output {
  id: number;
  name: string;
  year: number | null;
  model: string | null;
  precision: string | null;
  dim: number;
  /** Pictures of large stores without overviews are made of the first dimensions only; without a server: of all */
  picture_dim?: number;
  stored_as: string;
  /** A code like EPSG:32631, or WKT; null: none */
  crs: string | null;
  width: number;
  height: number;
  /** x = a * col + b * row + c; y = d * col + e * row + f, of the corner of a pixel */
  transform: [number, number, number, number, number, number];
  pixel_ha: number | null;
  /** Of an output that is shown on the pixels of the first one: how far beside them its own lie, in pixels (null: in
   * another CRS), and which share of the first one it covers */
  placed?: { beside: number | null; shared: number } | null;
  layers: LayerName[];
  levels: { z: number; width: number; height: number }[];
  unpacked: boolean;
  /** Only pages without a server: each step-th pixel of the output is shown */
  step?: number;
}

export interface Info {
  outputs: Output[];
  tile: number;
  same_grid: boolean;
  /** Name of the folder that exports go to; null: there is no server, exports are downloads */
  exports: string | null;
  classes_possible: boolean;
  /** Outlines over the first output; null: the command was given none. `note`: what was left out, "" if nothing */
  segments?: { name: string; count: number; note: string } | null;
  version: string;
}

/** A field, in the output's CRS. Rings don't repeat their first corner. */
export interface Segment {
  /** Each a list of rings: the outer one, then holes */
  polygons: [number, number][][][];
  /** Only of a field with holes: rings without that cover the same */
  pieces?: [number, number][][];
}

export interface PixelFacts extends Pixel {
  x: number;
  y: number;
  lon: number | null;
  lat: number | null;
  valid: boolean;
  clear_s2: number | null;
  valid_s1: number | null;
  embedding: number[] | null;
}

export interface Histogram {
  from: number;
  to: number;
  counts: number[];
}

export interface RasterResult {
  version: number;
  /** 0: every pixel was compared; n: only those of the overview of level n so far */
  z: number;
  pixels: number;
  histogram: Histogram;
  suggested?: number;
}

export interface ClassArea {
  id: string;
  pixels: number;
  ha: number | null;
}

export interface NextPixel extends Pixel {
  margin: number;
}

export interface ClassifyResult {
  version: number;
  z: number;
  classes: ClassArea[];
  method: "mean" | "ridge";
  enough: boolean;
  next: NextPixel[];
  milliseconds: number;
}

export interface Accuracy {
  known: boolean;
  why?: string;
  balanced?: number;
  low?: number | null;
  high?: number | null;
  /** recall: share of the class's held-out labels that were mapped as it */
  per_class?: { name: string; recall: number; labels: number }[];
}

export interface LabelClass {
  id: string;
  name: string;
  colour: string;
}

export interface PointLabel extends Pixel {
  id: string;
  class: string;
  kind: "point";
}

export interface PolygonLabel {
  id: string;
  class: string;
  kind: "polygon";
  ring: [number, number][];
}

export type Label = PointLabel | PolygonLabel;

export interface LabelDocument {
  revision: number;
  classes: LabelClass[];
  labels: Label[];
}

export interface ImportedLabels extends LabelDocument {
  /** Labels that the file brought */
  added: number;
  /** What was left out; "": nothing */
  note: string | null;
}

/** A finished map: names of its folder and of the file with its labels, and what was unusual */
export interface MadeMap {
  name: string;
  labels: string;
  notes: string[];
}

export type SourceEvent =
  | { kind: "progress"; job: Job; output?: number; done: number; total: number }
  | { kind: "refined" | "done"; job: Job; output?: number; result: unknown }
  | { kind: "failed"; job: Job; output?: number; error: string }
  | { kind: "gone" | "back" };

export interface TileQuery {
  layer: LayerName | ResultName;
  z: number;
  x: number;
  y: number;
  output: number;
  version?: number;
}

/** An answer that is no answer: what the server said, in one line. `status` 0: nothing answered. */
export class SourceError extends Error {
  constructor(
    message: string,
    readonly status: number,
  ) {
    super(message);
  }
}

export interface Source {
  info(): Promise<Info>;
  tile(query: TileQuery, signal: AbortSignal): Promise<ArrayBuffer>;
  pixel(output: number, pixel: Pixel): Promise<PixelFacts>;
  similar(output: number, positives: Pixel[], negatives: Pixel[]): Promise<RasterResult>;
  change(a: number, b: number): Promise<RasterResult>;
  /** From the largest to the smallest */
  segments(): Promise<Segment[]>;
  labels(): Promise<LabelDocument>;
  /** Saves the whole document; an error with status 409: another window saved since `document.revision` */
  saveLabels(document: LabelDocument): Promise<number>;
  importLabels(name: string, bytes: ArrayBuffer): Promise<ImportedLabels>;
  classify(output: number): Promise<ClassifyResult>;
  /** null: the answer comes as an event `accuracy` */
  accuracy(output: number): Promise<Accuracy | null>;
  /** Each gives the name of what was written; null: it comes as an event of the job */
  exportLabels(format: string): Promise<string | null>;
  exportMap(output: number, method: string): Promise<string | null>;
  exportSimilarity(version: number, threshold: number): Promise<string | null>;
  cancel(job: Job): Promise<void>;
  listen(hear: (event: SourceEvent) => void): void;
}
