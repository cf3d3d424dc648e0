// A slider over a histogram, and the area beyond it. It needs no request: the histogram has every pixel.

import type { Span } from "./colours";
import { h } from "./dom";
import type { Histogram } from "./source";
import { area } from "./words";

const SVG = "http://www.w3.org/2000/svg";
const [WIDTH, HEIGHT] = [300, 56];

/** Bars that are drawn, of the histogram's many bins. */
const BARS = 100;

/** Share of the bar's height: the square root, or the few matches beside the many others would not be seen. */
const tall = (count: number, most: number): number => Math.sqrt(count / most) * HEIGHT;

export interface ThresholdWords {
  /** Of the slider, "Least similarity" */
  label: string;
  /** "similar to your points", after the area */
  beyond: string;
}

export class Threshold {
  readonly element: HTMLElement;
  private readonly range: HTMLInputElement;
  private readonly number: HTMLInputElement;
  private readonly area: HTMLOutputElement;
  private readonly bars: SVGPathElement;
  private readonly chosen: SVGRectElement;
  private histogram: Histogram = { from: -1, to: 1, counts: [] };
  private pixels = 0;
  private low = 0;
  private high = 1;
  /** Whether a person moved the slider: then new results leave it where it is. */
  private moved = false;

  value = 1;
  /** Called with each step of the slider. */
  onchange: () => void = () => undefined;

  constructor(
    private readonly words: ThresholdWords,
    private readonly pixelHa: number | null,
    name: string,
  ) {
    this.range = h("input", { type: "range", className: "over", "aria-label": words.label });
    this.number = h("input", { type: "number", "aria-label": `${words.label}, as a number` });
    this.area = h("output", { className: "area", id: `${name}-area` });
    this.range.oninput = () => this.move(Number(this.range.value));
    this.number.onchange = () => this.move(Number(this.number.value));
    const svg = document.createElementNS(SVG, "svg");
    svg.setAttribute("viewBox", `0 0 ${WIDTH} ${HEIGHT}`);
    svg.setAttribute("preserveAspectRatio", "none");
    svg.setAttribute("class", "histogram");
    svg.setAttribute("aria-hidden", "true");
    const clip = document.createElementNS(SVG, "clipPath");
    clip.id = `${name}-chosen`;
    this.chosen = document.createElementNS(SVG, "rect");
    this.chosen.setAttribute("height", String(HEIGHT));
    clip.append(this.chosen);
    this.bars = document.createElementNS(SVG, "path");
    this.bars.setAttribute("class", "all");
    const beyond = document.createElementNS(SVG, "use");
    this.bars.id = `${name}-bars`;
    beyond.setAttribute("href", `#${this.bars.id}`);
    beyond.setAttribute("class", "beyond");
    beyond.setAttribute("clip-path", `url(#${clip.id})`);
    const definitions = document.createElementNS(SVG, "defs");
    definitions.append(clip, this.bars);
    const all = document.createElementNS(SVG, "use");
    all.setAttribute("href", `#${this.bars.id}`);
    all.setAttribute("class", "all");
    svg.append(definitions, all, beyond);
    this.element = h(
      "div",
      { className: "threshold" },
      this.area,
      svg,
      h("div", { className: "row" }, this.range, this.number),
    );
  }

  /** Lowest and highest value of the result's tiles. */
  get span(): Span {
    return [this.histogram.from, this.histogram.to];
  }

  /** The highest value that a pixel has. */
  get best(): number {
    return this.high;
  }

  /** Take a result's histogram; `suggested` moves the slider, unless a person did. */
  show(histogram: Histogram, pixels: number, suggested: number): void {
    this.histogram = histogram;
    this.pixels = pixels;
    const { from, to, counts } = histogram;
    const step = (to - from) / counts.length;
    const first = counts.findIndex((count) => count > 0);
    let last = counts.length - 1;
    while (last > first && !counts[last]) last--;
    this.low = round(from + Math.max(first, 0) * step);
    this.high = round(from + (last + 1) * step);
    for (const input of [this.range, this.number]) {
      input.min = String(this.low);
      input.max = String(this.high);
      input.step = String(round(step));
    }
    this.drawBars();
    this.place(this.moved ? this.value : suggested);
  }

  /** Forget that a person moved the slider. */
  reset(): void {
    this.moved = false;
  }

  private move(value: number): void {
    if (!Number.isFinite(value)) return;
    this.moved = true;
    this.place(value);
    this.onchange();
  }

  private place(value: number): void {
    const { from, to, counts } = this.histogram;
    const bins = counts.length / (to - from);
    const bound = round(from + Math.round((value - from) * bins) / bins);
    this.value = Math.min(Math.max(bound, this.low), this.high);
    this.range.value = this.number.value = this.value.toFixed(3);
    const share = (this.value - this.low) / Math.max(this.high - this.low, 1e-9);
    this.chosen.setAttribute("x", String(share * WIDTH));
    this.chosen.setAttribute("width", String((1 - share) * WIDTH));
    const text = area(this.beyond(), this.pixels, this.pixelHa);
    this.area.replaceChildren(h("strong", {}, text), ` ${this.words.beyond}`);
    this.range.setAttribute("aria-valuetext", `${this.value.toFixed(3)}: ${text}`);
  }

  /** Pixels of at least the threshold. */
  private beyond(): number {
    const { from, to, counts } = this.histogram;
    const first = Math.round(((this.value - from) / (to - from)) * counts.length);
    let sum = 0;
    for (let bin = first; bin < counts.length; bin++) sum += counts[bin]!;
    return sum;
  }

  private drawBars(): void {
    const { from, to, counts } = this.histogram;
    const bars = new Array<number>(BARS).fill(0);
    const step = (to - from) / counts.length;
    const span = Math.max(this.high - this.low, 1e-9);
    counts.forEach((count, bin) => {
      const at = Math.floor(((from + (bin + 0.5) * step - this.low) / span) * BARS);
      if (at >= 0 && at < BARS) bars[at]! += count;
    });
    const most = Math.max(...bars, 1);
    const width = WIDTH / BARS;
    const tops = bars.map((count, i) => {
      const y = (HEIGHT - tall(count, most)).toFixed(1);
      return `L${(i * width).toFixed(1)} ${y}L${((i + 1) * width).toFixed(1)} ${y}`;
    });
    this.bars.setAttribute("d", `M0 ${HEIGHT}${tops.join("")}L${WIDTH} ${HEIGHT}Z`);
  }
}

/** Bins are thousandths; what adding them up leaves behind is cut off. */
function round(value: number): number {
  return Math.round(value * 1e6) / 1e6;
}
