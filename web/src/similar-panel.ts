// "Where is it like here?": points that a match is like, points that it isn't like, and a threshold.

import { MatchPainter, valueOf } from "./colours";
import { button, choices, h, put } from "./dom";
import { samePixel } from "./geometry";
import { Refined } from "./latest";
import type { Page, Panel } from "./panel";
import type { Pixel, RasterResult, SourceEvent } from "./source";
import type { Mark } from "./stage";
import { ANGLE, Threshold } from "./threshold";
import { many, overviewNote } from "./words";

const LIKE = { sign: "+", colour: "#E69F00" };
const UNLIKE = { sign: "−", colour: "#1A1A1A" };

export class SimilarPanel implements Panel {
  readonly name = "similar";
  readonly title = "Similar";
  readonly element: HTMLElement;
  private readonly painter = new MatchPainter();
  private readonly threshold: Threshold;
  private readonly results = h("div", { hidden: true });
  private readonly points = h("ul", { className: "points" });
  private readonly hint = h("p", { className: "hint" });
  private readonly refining = h("p", { className: "note" });
  private readonly exported = h("p", { className: "note" });
  private readonly asked: Refined<RasterResult>;
  private positives: Pixel[] = [];
  private negatives: Pixel[] = [];
  private unlike = false;
  private result: RasterResult | null = null;
  private active = false;

  constructor(private readonly page: Page) {
    this.threshold = new Threshold(
      { label: "Least similarity", beyond: "similar to your points" },
      page.output.pixel_ha,
      ANGLE,
      "similar",
    );
    this.threshold.onchange = () => {
      page.status.say("");
      this.paint();
    };
    this.asked = new Refined<RasterResult>(
      (result) => this.take(result),
      (error) => {
        this.refining.textContent = "";
        page.fail(error);
      },
    );
    const save = button("Save as GeoTIFF and GeoJSON", () => void this.export(), { className: "primary" });
    put(this.results, this.threshold.element, page.info.exports === null ? null : save, this.exported);
    this.element = h(
      "div",
      {},
      choices("What a click on the map means", "click", [["like", "Like here"], ["unlike", "Not like here"]], "like", (value) => {
        this.unlike = value === "unlike";
      }),
      this.refining,
      this.results,
      this.hint,
      this.points,
    );
    this.list();
  }

  enter(): void {
    this.active = true;
    this.page.stage.setMarks(this.marks());
    this.paint();
  }

  leave(): void {
    this.active = false;
    this.page.stage.setMarks([]);
    this.page.stage.overlay.show(null);
    this.page.greyBase(false);
  }

  act(pixel: Pixel, other: boolean): void {
    const known = [...this.positives, ...this.negatives].some((point) => samePixel(point, pixel));
    if (known) {
      this.remove(pixel);
      return;
    }
    const unlike = this.unlike !== other;
    if (unlike && !this.positives.length) {
      this.page.status.say("First click a place that matches are like.");
      return;
    }
    (unlike ? this.negatives : this.positives).push(pixel);
    this.ask();
  }

  describe(pixel: Pixel): string {
    const raw = this.page.stage.overlay.bytesAt(pixel, 2)?.getUint16(0, true);
    if (!raw || !this.result) return "";
    return raw === 1 && this.negatives.length ? "no match" : `similarity ${valueOf(raw, this.threshold.span).toFixed(3)}`;
  }

  key(event: KeyboardEvent): boolean {
    if (event.key !== "Backspace" && event.key !== "Delete") return false;
    const last = this.negatives.at(-1) ?? this.positives.at(-1);
    if (last) this.remove(last);
    return last !== undefined;
  }

  hear(event: SourceEvent): void {
    if (!("job" in event)) return;
    if (event.kind === "refined" && event.job === "similar" && event.output === this.page.output.id) {
      this.asked.refine(event.result as RasterResult);
    }
    if (event.kind === "failed") this.refining.textContent = overviewNote(this.result, false);
  }

  renew(): void {
    this.asked.renew();
  }

  changeOutput(): void {
    this.clear();
  }

  private remove(pixel: Pixel): void {
    const rest = (points: Pixel[]): Pixel[] => points.filter((point) => !samePixel(point, pixel));
    this.positives = rest(this.positives);
    this.negatives = rest(this.negatives);
    this.ask();
  }

  private clear(): void {
    this.positives = [];
    this.negatives = [];
    this.threshold.reset();
    this.ask();
  }

  private ask(): void {
    this.list();
    this.exported.textContent = "";
    if (this.active) this.page.stage.setMarks(this.marks());
    if (this.positives.length) {
      const [output, positives, negatives] = [this.page.output.id, [...this.positives], [...this.negatives]];
      this.refining.textContent = "Comparing…";
      this.asked.ask(() => this.page.source.similar(output, positives, negatives));
      return;
    }
    this.asked.drop();
    this.refining.textContent = "";
    this.result = null;
    this.results.hidden = true;
    this.paint();
  }

  private take(result: RasterResult): void {
    if (!this.positives.length) return;
    this.result = result;
    this.results.hidden = false;
    this.refining.textContent = overviewNote(result, true);
    this.threshold.show(result.histogram, result.pixels, result.suggested ?? 0.9);
    this.paint();
    const text = this.threshold.element.querySelector("output")?.textContent ?? "";
    this.page.status.say(result.z === 0 ? text : `${text}, from the overview; refining`);
  }

  private paint(): void {
    if (!this.active) return;
    const { stage, source, output } = this.page;
    const { result } = this;
    this.page.greyBase(result !== null);
    if (!result) {
      stage.overlay.show(null);
      return;
    }
    this.painter.set(this.threshold.value, this.threshold.best, this.threshold.span);
    const { version } = result;
    stage.overlay.show(
      {
        key: `similarity-${version}`,
        fetch: (z, x, y, signal) => source.tile({ layer: "similarity", z, x, y, output: output.id, version }, signal),
        paint: this.painter.paint,
        keep: true,
      },
      output,
    );
  }

  private marks(): Mark[] {
    return [
      ...this.positives.map((pixel) => ({ pixel, ...LIKE })),
      ...this.negatives.map((pixel) => ({ pixel, ...UNLIKE })),
    ];
  }

  private list(): void {
    const item = (pixel: Pixel, sign: string, what: string): HTMLElement =>
      h(
        "li",
        {},
        button(`${sign} ${pixel.col}, ${pixel.row}`, () => this.page.stage.goTo(pixel), {
          "aria-label": `${sign} ${pixel.col}, ${pixel.row}: ${what.toLowerCase()}, show on the map`,
          className: "plain",
        }),
        button("×", () => this.remove(pixel), {
          "aria-label": `Remove ${what.toLowerCase()} column ${pixel.col}, row ${pixel.row}`,
          className: "plain",
        }),
      );
    put(
      this.points,
      ...this.positives.map((pixel) => item(pixel, "+", "Like")),
      ...this.negatives.map((pixel) => item(pixel, "−", "Not like")),
    );
    const all = this.positives.length + this.negatives.length;
    if (all > 1) this.points.append(h("li", { className: "bare" }, button("Remove all", () => this.clear(), { className: "plain" })));
    if (all) this.hint.textContent = `${many(all, "point")}. Click more, or click one again to remove it.`;
    else put(this.hint, "Click a place on the map: the page shows where it is like there. Shift and click: not like there.");
  }

  private async export(): Promise<void> {
    if (!this.result) return;
    try {
      const name = await this.page.source.exportSimilarity(this.result.version, this.threshold.value);
      this.exported.textContent = `Saved as ${name ?? ""} in ${this.page.info.exports ?? ""}`;
      this.page.status.say(this.exported.textContent);
    } catch (error) {
      this.page.fail(error);
    }
  }
}
