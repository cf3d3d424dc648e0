// Two outputs of the same grid: side by side under a swipe, and how much each pixel changed.

import { MatchPainter, valueOf } from "./colours";
import { check, h, put, slider } from "./dom";
import { Refined } from "./latest";
import type { Page, Panel } from "./panel";
import type { Output, Pixel, RasterResult, SourceEvent } from "./source";
import { Swipe } from "./swipe";
import { LINEAR, Threshold } from "./threshold";
import { overviewNote } from "./words";

/** Share of all pixels that the page shows as changed at first. */
const FIRST_SHARE = 0.05;

export class ComparePanel implements Panel {
  readonly name = "compare";
  readonly title = "Compare";
  readonly element: HTMLElement;
  private readonly painter = new MatchPainter();
  private readonly threshold: Threshold;
  private readonly results = h("div", { hidden: true });
  private readonly refining = h("p", { className: "note" });
  private readonly asked: Refined<RasterResult>;
  private readonly swipe: Swipe;
  private readonly border: HTMLInputElement;
  private result: RasterResult | null = null;
  private position = 0.5;
  private changes = false;
  private active = false;

  constructor(
    private readonly page: Page,
    private readonly first: Output,
    second: Output,
    private readonly showSecond: (from: number | null) => void,
  ) {
    this.threshold = new Threshold({ label: "Least change", beyond: "changed by at least this much" }, first, LINEAR, "change");
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
    const border = slider("Border", { min: 0, max: 1, step: 0.01, value: this.position }, (value) => this.move(value));
    this.border = border.input;
    this.swipe = new Swipe(title(first), title(second));
    this.swipe.onmove = (share) => this.move(share);
    page.stage.element.after(this.swipe.element);
    put(this.results, this.threshold.element);
    this.element = h(
      "div",
      {},
      h("p", { className: "pair" }, h("span", {}, `Left: ${title(first)}`), h("span", {}, `Right: ${title(second)}`)),
      placedNote(second),
      border.row,
      check("Show what changed", false, (on) => {
        this.changes = on;
        if (on && !this.result) {
          this.refining.textContent = "Comparing…";
          this.asked.ask(() => page.source.change(first.id, second.id));
        }
        this.results.hidden = !on || !this.result;
        this.paint();
      }),
      this.refining,
      this.results,
    );
  }

  enter(): void {
    this.active = true;
    this.swipe.element.hidden = false;
    this.move(this.position);
    this.paint();
  }

  leave(): void {
    this.active = false;
    this.swipe.element.hidden = true;
    this.showSecond(null);
    this.page.stage.overlay.show(null);
    this.page.greyBase(false);
  }

  act(): void {
    // Clicks mean nothing here
  }

  describe(pixel: Pixel): string {
    const raw = this.changes ? this.page.stage.overlay.bytesAt(pixel, 2)?.getUint16(0, true) : 0;
    return raw ? `change ${valueOf(raw, this.threshold.span).toFixed(3)}` : "";
  }

  key(): boolean {
    return false;
  }

  hear(event: SourceEvent): void {
    if (!("job" in event)) return;
    if (event.kind === "refined" && event.job === "change") this.asked.refine(event.result as RasterResult);
    if (event.kind === "failed") this.refining.textContent = overviewNote(this.result, false);
  }

  renew(): void {
    this.asked.renew();
  }

  changeOutput(): void {
    // Both outputs are shown here
  }

  private move(share: number): void {
    this.position = share;
    this.border.value = String(share);
    this.swipe.place(share);
    this.showSecond(share);
  }

  private take(result: RasterResult): void {
    this.result = result;
    this.results.hidden = !this.changes;
    this.refining.textContent = overviewNote(result, true);
    this.threshold.show(result, result.suggested ?? topShare(result, FIRST_SHARE));
    this.paint();
    this.page.status.say(this.threshold.element.querySelector("output")?.textContent ?? "");
  }

  private paint(): void {
    if (!this.active) return;
    const { stage, source } = this.page;
    const shown = this.changes ? this.result : null;
    this.page.greyBase(shown !== null);
    if (!shown) {
      stage.overlay.show(null);
      return;
    }
    const { version } = shown;
    this.painter.set(this.threshold.value, this.threshold.best, this.threshold.span);
    stage.overlay.show(
      {
        key: `change-${version}`,
        fetch: (z, x, y, signal) => source.tile({ layer: "change", z, x, y, output: this.first.id, version }, signal),
        paint: this.painter.paint,
        keep: true,
      },
      this.first,
    );
  }
}

/** The threshold that a share of the pixels reaches. */
function topShare({ histogram, pixels }: RasterResult, share: number): number {
  const { from, to, counts } = histogram;
  let left = pixels * share;
  let bin = counts.length;
  while (bin > 0 && left > 0) left -= counts[--bin]!;
  return from + ((to - from) * bin) / counts.length;
}

/** How the pixels of the second output were brought to those of the first; null: they are the same. */
function placedNote({ placed }: Output): HTMLElement | null {
  if (!placed) return null;
  const { beside, shared } = placed;
  const where = beside === null ? "in another CRS" : `up to ${beside.toFixed(2)} pixels beside it`;
  const which = beside === 0 ? "Their pixels are the same." : `Each pixel is compared with the nearest one, ${where}.`;
  const share = shared === 1 ? "" : ` Right covers ${(100 * shared).toFixed(0)} % of left; only that part is compared.`;
  return h("p", { className: "note" }, which + share);
}

function title(output: Output): string {
  return output.year === null ? output.name : `${output.year} (${output.name})`;
}

