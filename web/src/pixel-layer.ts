// What is drawn by pixels over the pictures: the grid between pixels when they are large, marked pixels, the crosshair.

import type { FrameState } from "ol/Map";
import Layer from "ol/layer/Layer";
import type LayerSource from "ol/source/Source";

import { context, h } from "./dom";
import type { Output, Pixel } from "./source";

/** Side of a pixel on the screen, in CSS pixels, from which the grid is drawn. */
const GRID_FROM = 10;

/** Length of a crosshair's arm, in CSS pixels. */
const ARM = 18;

export class PixelLayer extends Layer<LayerSource> {
  /** Around the canvas: OpenLayers draws the next layer into a canvas that it is given, and counts on its being cleared. */
  private readonly element: HTMLElement;
  private readonly canvas: HTMLCanvasElement;
  private readonly context: CanvasRenderingContext2D;
  /** The place of the map that is drawn; "": it has to be drawn again. */
  private drawn = "";
  private crosshair: Pixel | null = null;
  private pinned: Pixel | null = null;

  constructor(private output: Output) {
    super({});
    this.canvas = h("canvas", { className: "raster" });
    this.element = h("div", { className: "raster" }, this.canvas);
    this.context = context(this.canvas);
  }

  setOutput(output: Output): void {
    this.output = output;
    this.refresh();
  }

  /** Where the keyboard's crosshair is; null: not shown. */
  setCrosshair(pixel: Pixel | null): void {
    this.crosshair = pixel;
    this.refresh();
  }

  /** The pixel whose facts are shown; null: none. */
  setPinned(pixel: Pixel | null): void {
    this.pinned = pixel;
    this.refresh();
  }

  override render(state: FrameState | null): HTMLElement {
    if (state) this.draw(state);
    return this.element;
  }

  /** Draw again with the next frame. */
  private refresh(): void {
    this.drawn = "";
    this.changed();
  }

  private draw(state: FrameState): void {
    const ratio = state.pixelRatio;
    const [width, height] = [Math.round(state.size[0]! * ratio), Math.round(state.size[1]! * ratio)];
    const drawn = [width, height, ratio, state.viewState.center, state.viewState.resolution].join();
    if (drawn === this.drawn) return;
    this.drawn = drawn;
    if (this.canvas.width !== width || this.canvas.height !== height) {
      this.canvas.width = width;
      this.canvas.height = height;
    } else this.context.clearRect(0, 0, width, height);
    const { center, resolution } = state.viewState;
    const scale = ratio / resolution;
    const left = width / 2 - center[0]! * scale;
    const top = height / 2 + center[1]! * scale;
    if (1 / resolution >= GRID_FROM) this.drawGrid(left, top, scale, width, height);
    if (this.pinned) this.drawPixel(this.pinned, left, top, scale, ratio);
    if (this.crosshair) {
      this.drawPixel(this.crosshair, left, top, scale, ratio);
      this.drawCross(left + (this.crosshair.col + 0.5) * scale, top + (this.crosshair.row + 0.5) * scale, scale, ratio);
    }
  }

  private drawGrid(left: number, top: number, scale: number, width: number, height: number): void {
    const { context: draw, output } = this;
    const columns = [Math.max(0, Math.floor(-left / scale)), Math.min(output.width, Math.ceil((width - left) / scale))];
    const rows = [Math.max(0, Math.floor(-top / scale)), Math.min(output.height, Math.ceil((height - top) / scale))];
    const x = (col: number): number => Math.round(left + col * scale) + 0.5;
    const y = (row: number): number => Math.round(top + row * scale) + 0.5;
    draw.beginPath();
    for (let col = columns[0]!; col <= columns[1]!; col++) {
      draw.moveTo(x(col), y(rows[0]!));
      draw.lineTo(x(col), y(rows[1]!));
    }
    for (let row = rows[0]!; row <= rows[1]!; row++) {
      draw.moveTo(x(columns[0]!), y(row));
      draw.lineTo(x(columns[1]!), y(row));
    }
    draw.lineWidth = 1;
    draw.strokeStyle = "rgba(0, 0, 0, 0.3)";
    draw.stroke();
  }

  /** A black frame in a white one: seen on any picture. */
  private drawPixel({ col, row }: Pixel, left: number, top: number, scale: number, ratio: number): void {
    const draw = this.context;
    const side = Math.max(scale, 7 * ratio);
    const [x, y] = [left + (col + 0.5) * scale - side / 2, top + (row + 0.5) * scale - side / 2];
    for (const [ink, extra] of [["#ffffff", 1.5], ["#000000", 0]] as const) {
      draw.lineWidth = 1.5 * ratio;
      draw.strokeStyle = ink;
      const out = extra * ratio;
      draw.strokeRect(x - out, y - out, side + 2 * out, side + 2 * out);
    }
  }

  private drawCross(x: number, y: number, scale: number, ratio: number): void {
    const draw = this.context;
    const gap = Math.max(scale / 2, 3.5 * ratio) + 3 * ratio;
    const end = gap + ARM * ratio;
    for (const [ink, width] of [["#ffffff", 4], ["#000000", 1.75]] as const) {
      draw.beginPath();
      for (const [dx, dy] of [[1, 0], [-1, 0], [0, 1], [0, -1]] as const) {
        draw.moveTo(x + dx * gap, y + dy * gap);
        draw.lineTo(x + dx * end, y + dy * end);
      }
      draw.lineWidth = width * ratio;
      draw.strokeStyle = ink;
      draw.stroke();
    }
  }
}
