// A layer of the map that draws raw tiles in colours of its own. OpenLayers' tile layers keep painted tiles; here the
// raw values are kept too, so that a new threshold repaints what is visible without a request.

import type { FrameState } from "ol/Map";
import Layer from "ol/layer/Layer";
import type LayerSource from "ol/source/Source";

import type { Paint } from "./colours";
import { context } from "./dom";
import type { Output, Pixel } from "./source";

/** Tiles that are kept besides those that are visible. */
const SPARE_TILES = 48;

/** Tiles asked for at a time: browsers open six connections to a server, and the events take one. */
const REQUESTS = 4;

export interface Content {
  /** What is shown; with the same key, tiles stay. */
  key: string;
  fetch: (z: number, x: number, y: number, signal: AbortSignal) => Promise<ArrayBuffer>;
  paint: Paint;
  /** Bytes a pixel. Tiles of four bytes are colours already and are not kept raw, unless `keep`. */
  keep: boolean;
}

interface Tile {
  z: number;
  x: number;
  y: number;
  raw: ArrayBuffer | null;
  canvas: HTMLCanvasElement | null;
  painted: number;
  used: number;
  asked: AbortController | null;
  failed: boolean;
}

/** Corners in device pixels, whole ones: neighbours share an edge without a seam. */
interface Box {
  left: number;
  top: number;
  right: number;
  bottom: number;
}

export class RasterLayer extends Layer<LayerSource> {
  private readonly canvas: HTMLCanvasElement;
  private readonly context: CanvasRenderingContext2D;
  /** What a tile is painted in before it is put on its canvas. */
  private readonly image: ImageData;
  private readonly pixels: Uint32Array;
  private content: Content | null = null;
  private tiles = new Map<string, Tile>();
  /** The tiles of what was shown before, drawn until the new ones are here. */
  private former = new Map<string, Tile>();
  private colours = 0;
  private frame = 0;
  private asking = 0;
  /** Of what is shown: answers to what was asked for an earlier one don't count. */
  private generation = 0;
  private busy = false;
  /** The place of the map that is drawn; "": it has to be drawn again. */
  private drawn = "";
  /** Share of the map's width left of which nothing is drawn. */
  private from = 0;

  /** Told when tiles begin or end to be on their way, and of tiles that did not come. */
  onbusy: (busy: boolean) => void = () => undefined;
  onfail: (error: Error) => void = () => undefined;

  constructor(
    private output: Output,
    private readonly tileSize: number,
    name: string,
  ) {
    super({});
    this.canvas = document.createElement("canvas");
    this.canvas.className = `raster ${name}`;
    this.context = context(this.canvas);
    this.image = new ImageData(tileSize, tileSize);
    this.pixels = new Uint32Array(this.image.data.buffer);
  }

  /** Show something else; null: nothing. */
  show(content: Content | null, output: Output = this.output): void {
    if (content?.key === this.content?.key && output === this.output) {
      this.content = content;
      this.repaint();
      return;
    }
    for (const tile of this.tiles.values()) tile.asked?.abort();
    this.former = content && this.content && output === this.output ? this.tiles : new Map();
    this.tiles = new Map();
    this.content = content;
    this.output = output;
    this.asking = 0;
    this.generation++;
    this.repaint();
  }

  get shown(): boolean {
    return this.content !== null;
  }

  /** Paint the visible tiles again, from the values that are here. */
  repaint(): void {
    this.colours++;
    this.refresh();
  }

  /** Ask again for the tiles that did not come. */
  retry(): void {
    for (const [key, tile] of this.tiles) if (tile.failed) this.tiles.delete(key);
    this.refresh();
  }

  setGrey(grey: boolean): void {
    this.canvas.classList.toggle("grey", grey);
  }

  setFrom(share: number): void {
    this.from = share;
    this.refresh();
  }

  /** The raw bytes at a pixel from the finest tile that is here; null: none is. */
  bytesAt({ col, row }: Pixel, bytes: number): DataView | null {
    for (const { z, width, height } of this.output.levels) {
      const c = Math.floor((col * width) / this.output.width);
      const r = Math.floor((row * height) / this.output.height);
      const tile = this.tiles.get(`${z}/${Math.floor(c / this.tileSize)}/${Math.floor(r / this.tileSize)}`);
      if (!tile?.raw) continue;
      const index = (r % this.tileSize) * this.tileSize + (c % this.tileSize);
      return new DataView(tile.raw, index * bytes, bytes);
    }
    return null;
  }

  override render(state: FrameState | null): HTMLElement {
    if (state) this.draw(state);
    return this.canvas;
  }

  /** Draw again with the next frame. */
  private refresh(): void {
    this.drawn = "";
    this.changed();
  }

  private draw(state: FrameState): void {
    const ratio = state.pixelRatio;
    const [width, height] = [Math.round(state.size[0]! * ratio), Math.round(state.size[1]! * ratio)];
    this.canvas.style.opacity = String(this.getOpacity());
    const drawn = [width, height, ratio, state.viewState.center, state.viewState.resolution].join();
    if (drawn === this.drawn) return;
    this.drawn = drawn;
    if (this.canvas.width !== width || this.canvas.height !== height) {
      this.canvas.width = width;
      this.canvas.height = height;
    } else this.context.clearRect(0, 0, width, height);
    if (this.content) this.drawContent(state, width, height);
    const busy = this.asking > 0;
    if (busy !== this.busy) this.onbusy((this.busy = busy));
  }

  private drawContent(state: FrameState, width: number, height: number): void {
    const ratio = state.pixelRatio;
    this.frame++;
    const { center, resolution } = state.viewState;
    const scale = ratio / resolution;
    const left = width / 2 - center[0]! * scale;
    const top = height / 2 + center[1]! * scale;
    const place = (z: number, x: number, y: number): Box => {
      const [across, down] = this.sideOf(z);
      return {
        left: Math.round(left + x * across * scale),
        top: Math.round(top + y * down * scale),
        right: Math.round(left + (x + 1) * across * scale),
        bottom: Math.round(top + (y + 1) * down * scale),
      };
    };
    this.context.save();
    this.context.beginPath();
    // The last tiles reach beyond the output's edge
    const [edgeX, edgeY] = [Math.round(left), Math.round(top)];
    const seen = Math.max(edgeX, Math.round(this.from * width));
    const [endX, endY] = [Math.round(left + this.output.width * scale), Math.round(top + this.output.height * scale)];
    this.context.rect(seen, edgeY, Math.max(endX - seen, 0), endY - edgeY);
    this.context.clip();
    this.context.imageSmoothingEnabled = false;
    const z = this.levelFor(1 / scale);
    const [across, down] = this.sideOf(z).map((side) => side * scale) as [number, number];
    const level = this.output.levels[z]!;
    const last = [Math.ceil(level.width / this.tileSize) - 1, Math.ceil(level.height / this.tileSize) - 1];
    const wanted: Tile[] = [];
    let whole = true;
    for (let y = Math.max(0, Math.floor(-top / down)); y <= Math.min(last[1]!, (height - top) / down); y++) {
      for (let x = Math.max(0, Math.floor(-left / across)); x <= Math.min(last[0]!, (width - left) / across); x++) {
        const tile = this.tileFor(z, x, y);
        tile.used = this.frame;
        if (!this.put(tile, place(z, x, y))) {
          whole = false;
          if (!this.putFormer(z, x, y, place)) this.putCoarser(z, x, y, place);
          if (!tile.asked && !tile.failed) wanted.push(tile);
        }
      }
    }
    this.context.restore();
    if (whole) this.former.clear();
    this.request(wanted, z, [(width / 2 - left) / across - 0.5, (height / 2 - top) / down - 0.5]);
    this.forget(wanted.length);
  }

  /** Pixels of the output across and down a tile of a level. A level of 129 columns stands for 257, not for 258. */
  private sideOf(z: number): [number, number] {
    const { width, height } = this.output.levels[z]!;
    return [(this.tileSize * this.output.width) / width, (this.tileSize * this.output.height) / height];
  }

  /** The level whose pixels are nearest in size to the screen's; `pixels`: pixels of the output a device pixel. */
  private levelFor(pixels: number): number {
    return Math.min(Math.max(Math.round(Math.log2(pixels)), 0), this.output.levels.length - 1);
  }

  private tileFor(z: number, x: number, y: number): Tile {
    const key = `${z}/${x}/${y}`;
    let tile = this.tiles.get(key);
    if (!tile) {
      tile = { z, x, y, raw: null, canvas: null, painted: -1, used: 0, asked: null, failed: false };
      this.tiles.set(key, tile);
    }
    return tile;
  }

  /** Draw a tile, if it is here. */
  private put(tile: Tile, box: Box): boolean {
    if (tile.raw && tile.painted !== this.colours) this.paint(tile);
    if (!tile.canvas) return false;
    this.context.drawImage(tile.canvas, box.left, box.top, box.right - box.left, box.bottom - box.top);
    return true;
  }

  private paint(tile: Tile): void {
    if (!this.content || !tile.raw) return;
    if (!tile.canvas) {
      tile.canvas = document.createElement("canvas");
      tile.canvas.width = tile.canvas.height = this.tileSize;
    }
    this.content.paint(tile.raw, this.pixels);
    context(tile.canvas).putImageData(this.image, 0, 0);
    tile.painted = this.colours;
    if (!this.content.keep) tile.raw = null;
  }

  private putFormer(z: number, x: number, y: number, place: (z: number, x: number, y: number) => Box): boolean {
    const tile = this.former.get(`${z}/${x}/${y}`);
    return tile !== undefined && this.put(tile, place(z, x, y));
  }

  /** Draw the part of a coarser tile that covers this one. */
  private putCoarser(z: number, x: number, y: number, place: (z: number, x: number, y: number) => Box): void {
    for (let up = 1; z + up < this.output.levels.length; up++) {
      const tile = this.tiles.get(`${z + up}/${x >> up}/${y >> up}`);
      if (!tile?.canvas) continue;
      const box = place(z, x, y);
      this.context.save();
      this.context.beginPath();
      this.context.rect(box.left, box.top, box.right - box.left, box.bottom - box.top);
      this.context.clip();
      this.put(tile, place(z + up, x >> up, y >> up));
      this.context.restore();
      return;
    }
  }

  /** Ask for tiles, the middle of the map first, and no more for tiles that left the map. */
  private request(wanted: Tile[], z: number, middle: [number, number]): void {
    for (const tile of this.tiles.values()) {
      if (tile.asked && tile.used !== this.frame && tile.z !== this.output.levels.length - 1) {
        tile.asked.abort();
      }
    }
    const away = (tile: Tile): number => (tile.x - middle[0]) ** 2 + (tile.y - middle[1]) ** 2;
    wanted.sort((a, b) => away(a) - away(b));
    // The whole output in one tile comes first where the map waits for many: something to look at meanwhile
    const top = this.output.levels.length - 1;
    if (wanted.length > REQUESTS && z < top) {
      const overview = this.tileFor(top, 0, 0);
      if (!overview.canvas && !overview.asked && !overview.failed) wanted.unshift(overview);
    }
    for (const tile of wanted.slice(0, Math.max(0, REQUESTS - this.asking))) void this.load(tile);
  }

  private async load(tile: Tile): Promise<void> {
    const { content, generation } = this;
    if (!content) return;
    tile.asked = new AbortController();
    this.asking++;
    try {
      tile.raw = await content.fetch(tile.z, tile.x, tile.y, tile.asked.signal);
    } catch (error) {
      if ((error as Error).name !== "AbortError") {
        tile.failed = true;
        if (generation === this.generation) this.onfail(error as Error);
      }
    }
    tile.asked = null;
    if (generation !== this.generation) return;
    this.asking--;
    this.refresh();
  }

  /** Keep no more than the visible tiles and some. */
  private forget(waiting: number): void {
    let spare = this.tiles.size - SPARE_TILES - waiting;
    for (const tile of this.tiles.values()) if (tile.used === this.frame) spare--;
    if (spare <= 0) return;
    const old = [...this.tiles.entries()].filter(([, tile]) => tile.used !== this.frame && !tile.asked);
    old.sort(([, a], [, b]) => a.used - b.used);
    for (const [key] of old.slice(0, spare)) this.tiles.delete(key);
  }
}
