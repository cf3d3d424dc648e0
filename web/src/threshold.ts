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

/** Where values lie along the slider. */
export interface Axis {
  /** Lowest bins that are left out */
  skip: number;
  at: (value: number) => number;
  value: (at: number) => number;
}

export const LINEAR: Axis = { skip: 0, at: (value) => value, value: (at) => at };

/** By the angle, in degrees: cosines of what is alike crowd below 1. */
export const ANGLE: Axis = {
  skip: 1,
  at: (cosine) => (-Math.acos(Math.min(Math.max(cosine, -1), 1)) * 180) / Math.PI,
  value: (at) => Math.cos((at * Math.PI) / 180),
};

/** Bins that a key moves the slider by. */
const KEYS: Record<string, number> = {
  ArrowRight: 1,
  ArrowUp: 1,
  ArrowLeft: -1,
  ArrowDown: -1,
  PageUp: 20,
  PageDown: -20,
};

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
    private readonly axis: Axis,
    name: string,
  ) {
    this.range = h("input", { type: "range", step: "any", "aria-label": words.label });
    this.number = h("input", { type: "number", "aria-label": `${words.label}, as a number` });
    this.area = h("output", { className: "area", id: `${name}-area` });
    this.range.oninput = () => this.move(axis.value(Number(this.range.value)));
    this.range.onkeydown = (event) => {
      const bins = KEYS[event.key];
      if (!bins) return;
      event.preventDefault();
      this.move(this.value + bins * this.step);
    };
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

  /** Width of a bin of the histogram. */
  private get step(): number {
    return (this.histogram.to - this.histogram.from) / this.histogram.counts.length;
  }

  /** The highest value that a pixel has. */
  get best(): number {
    return this.high;
  }

  /** Take a result's histogram; `suggested` moves the slider, unless a person did. */
  show(histogram: Histogram, pixels: number, suggested: number): void {
    this.histogram = histogram;
    this.pixels = pixels;
    const { from, counts } = histogram;
    const { step } = this;
    // The lowest bin is what was ruled out: nobody looks for it, and the slider keeps its length for the rest
    const first = counts.findIndex((count, bin) => count > 0 && bin >= this.axis.skip);
    let last = counts.length - 1;
    while (last > first && !counts[last]) last--;
    this.low = round(from + Math.max(first, 0) * step);
    this.high = round(from + (last + 1) * step);
    this.range.min = String(this.axis.at(this.low));
    this.range.max = String(this.axis.at(this.high));
    this.number.min = String(this.low);
    this.number.max = String(this.high);
    this.number.step = String(round(step));
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
    const { from } = this.histogram;
    const bound = round(from + Math.round((value - from) / this.step) * this.step);
    this.value = Math.min(Math.max(bound, this.low), this.high);
    this.range.value = String(this.axis.at(this.value));
    this.number.value = this.value.toFixed(3);
    const share = this.along(this.value);
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

  /** Share of the slider's length at which a value lies. */
  private along(value: number): number {
    const [low, high] = [this.axis.at(this.low), this.axis.at(this.high)];
    return high > low ? (this.axis.at(value) - low) / (high - low) : 0;
  }

  private drawBars(): void {
    const { from, counts } = this.histogram;
    const bars = new Array<number>(BARS).fill(0);
    counts.forEach((count, bin) => {
      if (!count) return;
      // A bin may be wider than a bar: its pixels are spread over all bars that it covers
      const begin = this.along(from + bin * this.step) * BARS;
      const end = Math.max(this.along(from + (bin + 1) * this.step) * BARS, begin + 1e-6);
      for (let bar = Math.max(Math.floor(begin), 0); bar < Math.min(end, BARS); bar++) {
        bars[bar]! += (count * (Math.min(end, bar + 1) - Math.max(begin, bar))) / (end - begin);
      }
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

/** What adding up bins leaves behind is cut off. */
function round(value: number): number {
  return Math.round(value * 1e6) / 1e6;
}
