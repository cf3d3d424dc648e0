// A page without a server: the embeddings lie in the page's folder, and the page computes everything itself.

import { decodeCodes, decodeFloats, decodeShorts, decodeBytes } from "./base64";
import { ask, type Codes } from "./compute";
import { toCrs } from "./geometry";
import { readLabels, writeLabels } from "./label-geojson";
import { learn } from "./learn";
import {
  SourceError,
  type Accuracy,
  type ClassifyResult,
  type Histogram,
  type ImportedLabels,
  type Info,
  type LabelDocument,
  type LayerName,
  type Output,
  type Pixel,
  type PixelFacts,
  type RasterResult,
  type Segment,
  type Source,
  type TileQuery,
} from "./source";

/** What data.js sets. Arrays are base64, little endian, pixels row by row from the top. */
export interface FolderData {
  info: Info;
  /** (pixels, dim) int8 */
  codes: string;
  /** (pixels) float32, NaN without data */
  scales: string;
  /** (pixels, 4) uint8 RGBA of each picture */
  layers: Partial<Record<LayerName, string>>;
  /** (pixels, 2) uint16: clear Sentinel-2, valid Sentinel-1 */
  observations: string | null;
  /** Longitude and latitude of the corners: upper left, upper right, lower left, lower right; null: not known */
  corners: [number, number][] | null;
  labels?: LabelDocument;
}

const BINS = 2000;
const STEPS = 65534;

/** Share of the pixels above the threshold that is suggested. */
const TOP_SHARE = 0.01;

const ONLY_WITH_PROGRAM = "This page is a copy to look at. Run tessera-engine view for this.";

export class FolderSource implements Source {
  private readonly output: Output;
  private readonly codes: Codes;
  private readonly observations: Uint16Array | null;
  private readonly pictures = new Map<string, Uint32Array>();
  private similarity: { version: number; stored: Uint16Array } | null = null;
  private classes: { version: number; stored: Uint16Array } | null = null;
  private versions = 0;
  private saved: LabelDocument;

  constructor(private readonly data: FolderData) {
    const [output] = data.info.outputs;
    if (!output) throw new Error("data.js has no output.");
    this.output = output;
    this.codes = { codes: decodeCodes(data.codes), scales: decodeFloats(data.scales), dim: output.dim };
    this.observations = data.observations ? decodeShorts(data.observations) : null;
    this.saved = this.stored() ?? data.labels ?? { revision: 0, classes: [], labels: [] };
    // The text is twice as large as what was read from it
    data.codes = data.scales = "";
  }

  async info(): Promise<Info> {
    return this.data.info;
  }

  async tile(query: TileQuery): Promise<ArrayBuffer> {
    const { layer, version } = query;
    if (layer === "similarity" && version === this.similarity?.version) return this.cut(this.similarity!.stored, query);
    if (layer === "classes" && version === this.classes?.version) return this.cut(this.classes!.stored, query);
    if (layer === "observations" && this.observations) {
      return this.cut(new Uint32Array(this.observations.buffer, 0, this.observations.length / 2), query);
    }
    const picture = this.picture(layer as LayerName);
    if (!picture) throw new SourceError("There is no such tile any more.", 410);
    return this.cut(picture, query);
  }

  async pixel(_: number, { col, row }: Pixel): Promise<PixelFacts> {
    const { output, codes, observations } = this;
    const at = row * output.width + col;
    const [x, y] = toCrs([col + 0.5, -(row + 0.5)], output);
    const place = this.degrees((col + 0.5) / output.width, (row + 0.5) / output.height);
    const scale = codes.scales[at]!;
    const valid = Number.isFinite(scale);
    const vector = codes.codes.subarray(at * codes.dim, (at + 1) * codes.dim);
    return {
      col,
      row,
      x,
      y,
      lon: place?.[0] ?? null,
      lat: place?.[1] ?? null,
      valid,
      clear_s2: observations ? observations[2 * at]! : null,
      valid_s1: observations ? observations[2 * at + 1]! : null,
      embedding: valid ? Array.from(vector, (code) => code * scale) : null,
    };
  }

  async similar(_: number, positives: Pixel[], negatives: Pixel[]): Promise<RasterResult> {
    const values = ask(this.codes, this.places(positives), this.places(negatives));
    const stored = new Uint16Array(values.length);
    const counts = new Array<number>(BINS).fill(0);
    const all = new Uint32Array(STEPS + 2);
    for (let i = 0; i < values.length; i++) {
      const value = values[i]!;
      if (Number.isNaN(value)) continue;
      const step = Math.round(((value + 1) / 2) * STEPS);
      stored[i] = step + 1;
      all[step + 1]!++;
      counts[Math.min(Math.floor((step * BINS) / STEPS), BINS - 1)]!++;
    }
    const pixels = counts.reduce((sum, count) => sum + count, 0);
    this.similarity = { version: ++this.versions, stored };
    const histogram: Histogram = { from: -1, to: 1, counts };
    return { version: this.versions, z: 0, pixels, histogram, suggested: suggested(all, pixels) };
  }

  async change(): Promise<RasterResult> {
    throw new SourceError(ONLY_WITH_PROGRAM, 400);
  }

  async segments(): Promise<Segment[]> {
    return [];
  }

  async labels(): Promise<LabelDocument> {
    return this.saved;
  }

  async saveLabels(document: LabelDocument): Promise<number> {
    this.saved = { ...document, revision: document.revision + 1 };
    try {
      localStorage.setItem(this.key(), JSON.stringify(this.saved));
    } catch {
      throw new SourceError("This browser keeps nothing for pages from a folder. Save the labels as a file.", 400);
    }
    return this.saved.revision;
  }

  async importLabels(_: string, bytes: ArrayBuffer): Promise<ImportedLabels> {
    const before = this.saved.labels.length;
    const merged = readLabels(new TextDecoder().decode(bytes), this.saved, this.output);
    await this.saveLabels(merged);
    return { ...this.saved, added: this.saved.labels.length - before, note: null };
  }

  async classify(): Promise<ClassifyResult> {
    const begin = performance.now();
    const learned = learn(this.codes, this.output, this.saved);
    this.classes = { version: ++this.versions, stored: learned.stored };
    return {
      version: this.versions,
      z: 0,
      classes: this.saved.classes.map(({ id }, at) => {
        const pixels = learned.counts[at + 1] ?? 0;
        return { id, pixels, ha: this.output.pixel_ha === null ? null : pixels * this.output.pixel_ha };
      }),
      method: learned.method,
      enough: true,
      next: learned.next,
      milliseconds: performance.now() - begin,
    };
  }

  async accuracy(): Promise<Accuracy> {
    return { known: false, why: "a page without the program does not compute it" };
  }

  async exportLabels(): Promise<string> {
    const name = `${this.output.name}.labels.geojson`;
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([writeLabels(this.saved, this.output)], { type: "application/geo+json" }));
    link.download = name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
    return name;
  }

  async exportMap(): Promise<string> {
    throw new SourceError(ONLY_WITH_PROGRAM, 400);
  }

  async exportSimilarity(): Promise<string> {
    throw new SourceError(ONLY_WITH_PROGRAM, 400);
  }

  async cancel(): Promise<void> {
    // Nothing here takes long
  }

  listen(): void {
    // Nothing here happens by itself
  }

  private key(): string {
    const { name, width, height } = this.output;
    return `tessera-engine labels ${name} ${width} x ${height}`;
  }

  private stored(): LabelDocument | null {
    try {
      return JSON.parse(localStorage.getItem(this.key()) ?? "null") as LabelDocument | null;
    } catch {
      return null;
    }
  }

  private picture(layer: LayerName): Uint32Array | null {
    const text = this.data.layers[layer];
    if (!text) return null;
    let picture = this.pictures.get(layer);
    if (!picture) {
      picture = new Uint32Array(decodeBytes(text).buffer);
      this.pictures.set(layer, picture);
    }
    return picture;
  }

  private places(pixels: Pixel[]): number[] {
    return pixels.map(({ col, row }) => {
      const at = row * this.output.width + col;
      if (Number.isFinite(this.codes.scales[at])) return at;
      throw new SourceError(`The pixel at column ${col}, row ${row} has no data. Click a place beside it.`, 400);
    });
  }

  /** Longitude and latitude between the corners: right to about a metre, a page covers a few kilometres. */
  private degrees(right: number, down: number): [number, number] | null {
    const { corners } = this.data;
    if (!corners) return null;
    const between = (band: 0 | 1): number =>
      (corners[0]![band] * (1 - right) + corners[1]![band] * right) * (1 - down) +
      (corners[2]![band] * (1 - right) + corners[3]![band] * right) * down;
    return [between(0), between(1)];
  }

  /** A tile of a level: the pixels that the server would pick, too. */
  private cut<T extends Uint16Array | Uint32Array>(values: T, { z, x, y }: TileQuery): ArrayBuffer {
    const { width, height } = this.output;
    const side = this.data.info.tile;
    const level = this.output.levels[z]!;
    const tile = values instanceof Uint16Array ? new Uint16Array(side * side) : new Uint32Array(side * side);
    const rows = Math.min(side, level.height - y * side);
    const columns = Math.min(side, level.width - x * side);
    for (let row = 0; row < rows; row++) {
      const from = Math.floor(0.5 + ((y * side + row) * height) / level.height) * width;
      for (let col = 0; col < columns; col++) {
        tile[row * side + col] = values[from + Math.floor(0.5 + ((x * side + col) * width) / level.width)]!;
      }
    }
    return tile.buffer as ArrayBuffer;
  }
}

/** The lowest value of the pixels that are most similar. */
function suggested(all: Uint32Array, pixels: number): number {
  let left = Math.max(1, Math.floor(TOP_SHARE * pixels));
  let raw = STEPS + 1;
  while (raw > 1 && (left -= all[raw]!) > 0) raw--;
  return -1 + ((raw - 1) / STEPS) * 2;
}
