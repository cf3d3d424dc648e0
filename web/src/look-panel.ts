// The pictures, and what is known of one pixel.

import { choices, context, h, put, slider } from "./dom";
import { countColour, css, MOST_DATES } from "./colours";
import { Latest } from "./latest";
import type { Page, Panel } from "./panel";
import type { LayerName, Pixel, PixelFacts } from "./source";
import { degrees, many, metres } from "./words";

export const PICTURES: Record<LayerName, [string, string]> = {
  truecolour: ["True colour", "Median of the clear dates"],
  pca: ["Embeddings", "Three principal components of the embeddings as red, green and blue: like colours, like places"],
  clusters: ["Clusters", "The embeddings in a few groups"],
  observations: ["Clear dates", "How many clear Sentinel-2 dates each pixel has"],
};

/** Of a CRS's name that is shown: a longer one is WKT. */
const LONGEST_CODE = 24;

const [STRIP_WIDTH, STRIP_HEIGHT] = [256, 44];

export class LookPanel implements Panel {
  readonly name = "look";
  readonly title = "Look";
  readonly element: HTMLElement;
  private readonly facts = h("dl", { className: "facts" });
  private readonly strip = h("canvas", { className: "strip", width: STRIP_WIDTH * 2, height: STRIP_HEIGHT * 2, hidden: true });
  private readonly hint = h("p", { className: "hint" }, "Move over the map for the values of a pixel. Click to keep one.");
  private readonly pictures = h("div");
  private readonly asked: Latest<PixelFacts>;
  private pinned: Pixel | null = null;
  private active = false;
  private largest = 0;

  constructor(
    private readonly page: Page,
    private readonly showPicture: (picture: LayerName) => void,
    setOpacity: (opacity: number) => void,
  ) {
    this.asked = new Latest<PixelFacts>(
      (facts) => this.take(facts),
      (error) => page.fail(error),
    );
    this.strip.setAttribute("role", "img");
    const opacity = slider("Opacity", { min: 0, max: 1, step: 0.05, value: 1 }, setOpacity);
    this.element = h(
      "div",
      {},
      this.pictures,
      opacity.row,
      h("section", {}, h("h2", {}, "Pixel"), this.hint, this.facts, this.strip),
    );
  }

  setPicture(picture: LayerName): void {
    const bar = choices(
      "Picture",
      "picture",
      this.page.output.layers.map((name) => [name, PICTURES[name][0]]),
      picture,
      (value) => this.showPicture(value as LayerName),
    );
    bar.classList.add("stacked");
    put(this.pictures, bar, h("p", { className: "note" }, this.noteOf(picture)), picture === "observations" ? scale() : null);
  }

  private noteOf(picture: LayerName): string {
    const { dim, picture_dim: shown = dim } = this.page.output;
    const part = (picture === "pca" || picture === "clusters") && shown < dim;
    return `${PICTURES[picture][1]}${part ? `. Of the first ${shown} dimensions, which this store has by themselves` : ""}`;
  }

  enter(): void {
    this.active = true;
    this.page.stage.pin(this.pinned);
  }

  leave(): void {
    this.active = false;
    this.page.stage.pin(null);
  }

  act(pixel: Pixel): void {
    const again = this.pinned?.col === pixel.col && this.pinned.row === pixel.row;
    this.pinned = again ? null : pixel;
    this.page.stage.pin(this.pinned);
    this.ask(pixel);
    this.page.status.say(again ? "Pixel released" : `Column ${pixel.col}, row ${pixel.row} is kept. Click it again to release it.`);
  }

  /** The pointer or the crosshair is over a pixel. */
  hover(pixel: Pixel | null): void {
    if (this.active && pixel && !this.pinned) this.ask(pixel);
  }

  describe(): string {
    return "";
  }

  key(event: KeyboardEvent): boolean {
    if (event.key !== "Escape" || !this.pinned) return false;
    this.act(this.pinned);
    return true;
  }

  hear(): void {
    // Nothing here takes long
  }

  renew(): void {
    // Pictures stay
  }

  changeOutput(): void {
    this.pinned = null;
    this.largest = 0;
    this.page.stage.pin(null);
    put(this.facts);
    this.strip.hidden = true;
  }

  private ask(pixel: Pixel): void {
    const { source, output } = this.page;
    this.asked.ask(() => source.pixel(output.id, pixel));
  }

  private take(facts: PixelFacts): void {
    const { output } = this.page;
    const rows: [string, string][] = [["Column, row", `${facts.col}, ${facts.row}`]];
    if (facts.lat !== null && facts.lon !== null) rows.push(["Position", degrees(facts.lon, facts.lat)]);
    rows.push([output.crs && output.crs.length <= LONGEST_CODE ? output.crs : "x, y", `${metres(facts.x)}, ${metres(facts.y)}`]);
    if (facts.clear_s2 !== null) rows.push(["Clear Sentinel-2 dates", String(facts.clear_s2)]);
    if (facts.valid_s1 !== null) rows.push(["Valid Sentinel-1 dates", String(facts.valid_s1)]);
    rows.push(["Embedding", facts.embedding ? many(facts.embedding.length, "number") : "none: no data"]);
    this.hint.hidden = true;
    put(this.facts, ...rows.flatMap(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]));
    this.strip.hidden = facts.embedding === null;
    if (facts.embedding) this.draw(facts.embedding);
  }

  /** Bars up and down from a middle line. The scale only grows, so that pixels can be compared. */
  private draw(embedding: number[]): void {
    const least = Math.min(...embedding);
    const most = Math.max(...embedding);
    this.largest = Math.max(this.largest, Math.abs(least), Math.abs(most), 1e-9);
    this.strip.setAttribute(
      "aria-label",
      `Embedding: ${many(embedding.length, "number")} from ${least.toFixed(2)} to ${most.toFixed(2)}`,
    );
    const draw = context(this.strip);
    const [width, height] = [this.strip.width, this.strip.height];
    const colours = getComputedStyle(this.strip);
    draw.clearRect(0, 0, width, height);
    const bar = width / embedding.length;
    embedding.forEach((value, at) => {
      const tall = (Math.abs(value) / this.largest) * (height / 2);
      draw.fillStyle = colours.getPropertyValue(value < 0 ? "--below" : "--above");
      draw.fillRect(at * bar, value < 0 ? height / 2 : height / 2 - tall, Math.max(bar - 1, 1), tall);
    });
    draw.fillStyle = colours.color;
    draw.fillRect(0, height / 2 - 0.5, width, 1);
  }
}

/** The legend of the counts of clear dates. */
function scale(): HTMLElement {
  const steps = Array.from({ length: 9 }, (_, at) => {
    const step = h("i");
    step.style.backgroundColor = css(countColour(at / 8));
    return step;
  });
  return h("div", { className: "scale" }, h("span", {}, "0"), h("span", { className: "steps" }, ...steps), h("span", {}, `${MOST_DATES} or more`));
}
