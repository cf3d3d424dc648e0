// Classes, labels, the live map that follows them, and what helps to label well.

import { AccuracyView } from "./accuracy";
import { ClassList } from "./class-list";
import { CLASS_COLOURS, ClassPainter, UNSURE } from "./colours";
import { button, check, choices, h, put, slider } from "./dom";
import { centre, contains, fromCrs, sameRing, toCrs, type Xy } from "./geometry";
import { LabelFiles } from "./label-files";
import { LabelStore } from "./label-store";
import { Refined } from "./latest";
import type { Page, Panel } from "./panel";
import { piecesOf } from "./segments";
import type { ClassifyResult, Label, NextPixel, Pixel, Segment, SourceEvent } from "./source";
import type { Mark } from "./stage";
import { many, overviewNote } from "./words";

/** Milliseconds between the last save and the question how accurate the map is. */
const CALM = 1500;

type Tool = "points" | "fields" | "polygons" | "erase";

/** Said after the class that clicks label */
const BY: Record<Tool, string> = { points: "", fields: " by whole fields", polygons: " by polygons", erase: "" };

export class LabelPanel implements Panel {
  readonly name = "label";
  readonly title = "Label";
  readonly element: HTMLElement;
  /** Over the map: what a click labels. */
  readonly chip = h("p", { className: "chip", hidden: true });
  private readonly store: LabelStore;
  private readonly list: ClassList;
  private readonly files: LabelFiles;
  private readonly accuracy: AccuracyView;
  private readonly painter = new ClassPainter();
  private readonly asked: Refined<ClassifyResult>;
  private readonly state = h("p", { className: "note saved" });
  private readonly mapNote = h("p", { className: "note" });
  private readonly next = h("div", { className: "next" });
  private readonly undo = button("Undo", () => this.store.undo(), { "aria-keyshortcuts": "Control+Z" });
  private readonly redo = button("Redo", () => this.store.redo(), { "aria-keyshortcuts": "Control+Y" });
  private readonly polygonKeys = h("div", { className: "row", hidden: true });
  private chosen: string | null = null;
  private readonly tools: HTMLElement;
  private readonly shown: HTMLElement;
  private tool: Tool = "points";
  private live = true;
  private unsure = false;
  private opacity = 0.85;
  private result: ClassifyResult | null = null;
  private active = false;
  private visited = -1;
  private timer = 0;

  constructor(private readonly page: Page) {
    this.store = new LabelStore(page.source);
    this.store.onchange = () => this.changed();
    this.store.onsaved = () => this.saved();
    this.list = new ClassList(
      this.store,
      page.output.pixel_ha,
      (id) => this.choose(id),
      (why) => page.status.say(why),
    );
    this.files = new LabelFiles(page, this.store);
    this.accuracy = new AccuracyView();
    this.asked = new Refined<ClassifyResult>(
      (result) => this.take(result),
      (error) => page.fail(error),
    );
    put(
      this.polygonKeys,
      button("Close the polygon", () => page.stage.finishPolygon()),
      button("Give it up", () => page.stage.abortPolygon()),
    );
    const tools: [Tool, string][] = [["points", "Points"], ["polygons", "Polygons"], ["erase", "Erase"]];
    if (page.info.segments) tools.splice(1, 0, ["fields", "Whole fields"]);
    this.tools = choices("What a click does", "draw", tools, this.tool, (value) => this.setTool(value as Tool));
    this.tools.classList.toggle("stacked", tools.length === 4);
    this.shown = check("Show the map of these labels", this.live, (on) => {
      this.live = on;
      this.paint();
    });
    this.element = h(
      "div",
      {},
      this.list.element,
      this.tools,
      this.polygonKeys,
      h("div", { className: "row" }, this.undo, this.redo, this.state),
      h(
        "section",
        {},
        h("h2", {}, "Live map"),
        this.shown,
        check("Fade pixels where it is unsure", this.unsure, (on) => {
          this.unsure = on;
          this.paint();
        }),
        slider("Opacity", { min: 0, max: 1, step: 0.05, value: this.opacity }, (opacity) => {
          this.opacity = opacity;
          page.stage.overlay.setOpacity(opacity);
        }).row,
        this.mapNote,
        this.next,
      ),
      this.accuracy.element,
      this.files.element,
    );
  }

  async load(): Promise<void> {
    await this.store.load();
    this.classify();
  }

  enter(): void {
    this.active = true;
    this.page.stage.overlay.setOpacity(this.opacity);
    if (!this.chosen && this.store.classes[0]) this.choose(this.store.classes[0].id);
    this.follow();
    this.paint();
  }

  leave(): void {
    this.active = false;
    this.chip.hidden = true;
    this.page.stage.overlay.setOpacity(1);
    this.page.stage.drawPolygons(false);
    this.page.stage.setMarks([]);
    this.page.stage.overlay.show(null);
    this.page.greyBase(false);
  }

  act(pixel: Pixel, other: boolean): void {
    if (this.tool === "fields" && !other) {
      this.actOnField(pixel);
      return;
    }
    const known = this.store.at(pixel);
    if (other || this.tool === "erase" || (known && known.class === this.chosen)) {
      this.erase(pixel);
      return;
    }
    const chosen = this.chosenOrNew();
    this.store.addPoint(pixel, chosen);
    this.page.status.say(`${this.className(chosen)} at ${placeOf(pixel)}`);
  }

  /** A polygon was drawn. */
  ring(ring: Xy[]): void {
    if (new Set(ring.map(String)).size < 3) {
      this.page.status.say("A polygon needs three corners.");
      return;
    }
    const chosen = this.chosenOrNew();
    this.store.addPolygons([ring.map((point) => toCrs(point, this.page.output))], chosen);
    this.page.status.say(`Polygon labelled ${this.className(chosen)}`);
  }

  describe(pixel: Pixel): string {
    const field = this.tool === "fields" ? this.page.stage.segments.at(pixel) : undefined;
    const label = this.store.at(pixel) ?? (field && this.labelsOf(field)[0]);
    const outside = this.tool === "fields" && !field ? "outside of all fields" : "";
    const labelled = label ? `labelled ${this.className(label.class)}` : outside;
    const bytes = this.result ? this.page.stage.overlay.bytesAt(pixel, 2) : null;
    const index = bytes?.getUint8(0);
    if (!bytes || !index) return labelled;
    const sure = bytes.getUint8(1) < UNSURE ? "unsure" : "sure";
    const mapped = `mapped as ${this.store.classes[index - 1]?.name ?? "?"} (${sure})`;
    return labelled ? `${labelled}, ${mapped}` : mapped;
  }

  key(event: KeyboardEvent): boolean {
    const control = event.ctrlKey || event.metaKey;
    const name = event.key.toLowerCase();
    if (control && name === "z" && !event.shiftKey) this.store.undo();
    else if (control && (name === "y" || name === "z")) this.store.redo();
    else if (control) return false;
    else if (/^[1-9]$/.test(name)) {
      const one = this.store.classes[Number(name) - 1];
      if (one) this.choose(one.id);
    } else if (name === "n") this.visit(this.visited + 1);
    else if (name === "m") this.shown.click();
    else if (name === "c" && this.tool === "polygons") this.page.stage.finishPolygon();
    else if (name === "escape") this.page.stage.abortPolygon();
    else if (name === "delete" || name === "backspace") this.removeLast();
    else return false;
    return true;
  }

  hear(event: SourceEvent): void {
    this.files.hear(event);
    if (event.kind === "back") this.store.saveAgain();
    if (!("job" in event)) return;
    if (event.job === "classify" && event.kind === "refined" && event.output === this.page.output.id) {
      this.asked.refine(event.result as ClassifyResult);
    }
    if (event.kind === "failed" && this.result) this.mapNote.textContent = this.noteOf(this.result, false);
    if (event.job === "accuracy") this.accuracy.hear(event);
  }

  renew(): void {
    this.asked.renew();
  }

  changeOutput(): void {
    this.result = null;
    this.classify();
  }

  /** Remove the point label of a pixel, or else the newest polygon over it. */
  private erase(pixel: Pixel): void {
    const over = (label: Label): boolean =>
      label.kind === "polygon" && contains(label.ring.map((corner) => fromCrs(corner, this.page.output)), centre(pixel));
    const label = this.store.at(pixel) ?? this.store.labels.filter(over).at(-1);
    if (label) this.store.remove(this.wholeOf(label));
    this.page.status.say(`${label ? "Label removed" : "No label"} at ${placeOf(pixel)}`);
  }

  /** Label the field that a pixel lies in; if it has this class already, remove its label. */
  private actOnField(pixel: Pixel): void {
    const field = this.page.stage.segments.at(pixel);
    if (!field) {
      this.page.status.say(`No field at ${placeOf(pixel)}`);
      return;
    }
    const known = this.labelsOf(field);
    if (known[0] && known.every((label) => label.class === this.chosen)) {
      this.store.remove(known);
      this.page.status.say(`Label removed at ${placeOf(pixel)}`);
      return;
    }
    const chosen = this.chosenOrNew();
    this.store.addPolygons(piecesOf(field), chosen, known);
    this.page.status.say(`Field labelled ${this.className(chosen)} at ${placeOf(pixel)}`);
  }

  /** The labels of a field: one, or several if it has holes or parts. */
  private labelsOf(field: Segment): Label[] {
    const pieces = piecesOf(field);
    return this.store.labels.filter((one) => one.kind === "polygon" && pieces.some((piece) => sameRing(piece, one.ring)));
  }

  /** A label, or all labels of the field that it is a piece of. */
  private wholeOf(label: Label): Label[] {
    const field = label.kind === "polygon" ? this.page.stage.segments.of(label.ring) : undefined;
    return field ? this.labelsOf(field) : [label];
  }

  private setTool(tool: Tool): void {
    this.tool = tool;
    for (const input of this.tools.querySelectorAll("input")) input.checked = input.value === tool;
    if (tool === "polygons") this.chosenOrNew();
    this.follow();
  }

  private chosenOrNew(): string {
    const chosen = this.chosen ?? this.store.addClass().id;
    if (chosen !== this.chosen) this.choose(chosen);
    return chosen;
  }

  private className(id: string): string {
    return this.store.classes.find((one) => one.id === id)?.name ?? "?";
  }

  private choose(id: string): void {
    this.chosen = id;
    this.list.setChosen(id);
    this.follow();
    this.page.status.say(`Clicks label ${this.className(id)}`);
  }

  /** The chip and the drawing follow the chosen class. */
  private follow(): void {
    const at = this.store.classes.findIndex((one) => one.id === this.chosen);
    const one = this.store.classes[at];
    const drawing = this.active && this.tool === "polygons" && one !== undefined;
    this.page.stage.drawPolygons(drawing, one?.colour);
    this.polygonKeys.hidden = !drawing;
    this.chip.hidden = !this.active;
    if (this.tool === "erase") put(this.chip, "Clicks remove labels");
    else if (!one) put(this.chip, `Click the map to label a first ${this.tool === "fields" ? "field" : "pixel"}`);
    else put(this.chip, "Labelling ", this.list.sign(one, at), h("strong", {}, one.name), BY[this.tool]);
    if (this.active) this.page.stage.setMarks(this.marks());
  }

  private changed(): void {
    const { store } = this;
    if (!store.classes.some((one) => one.id === this.chosen)) this.chosen = store.classes[0]?.id ?? null;
    this.list.show(this.chosen);
    this.undo.disabled = !store.canUndo;
    this.redo.disabled = !store.canRedo;
    this.follow();
    this.paint();
    const { saved } = store;
    this.state.classList.toggle("bad", saved.state === "failed" || saved.state === "conflict");
    if (saved.state === "saved") this.state.textContent = saved.at ? `Saved ${saved.at.toLocaleTimeString("en-GB")}` : "";
    else if (saved.state === "saving") this.state.textContent = "Saving";
    else this.state.textContent = `Not saved: ${saved.error}`;
    if (saved.state === "conflict") {
      const settle = (mine: boolean): void => void store.settle(mine).catch((error) => this.page.fail(error));
      this.page.status.warn(
        "Another window has changed these labels. Which ones do you want to keep?",
        [
          ["The other window's", () => settle(false)],
          ["These", () => settle(true)],
        ],
        true,
      );
    }
  }

  private saved(): void {
    this.classify();
  }

  private classify(): void {
    const labelled = new Set(this.store.labels.map((label) => label.class));
    clearTimeout(this.timer);
    this.accuracy.stale();
    if (labelled.size < 2 || !this.page.info.classes_possible) {
      this.asked.drop();
      this.result = null;
      this.list.setAreas([]);
      put(this.next);
      this.accuracy.unknown("label at least two classes");
      this.mapNote.textContent = this.page.info.classes_possible
        ? "Label pixels of at least two classes: the map appears here."
        : "The map needs the extra maps: pip install 'tessera-engine[maps]'";
      this.paint();
      return;
    }
    const { output, source } = this.page;
    this.asked.ask(() => source.classify(output.id));
    this.timer = window.setTimeout(() => this.askAccuracy(), CALM);
  }

  private askAccuracy(): void {
    const { source, output } = this.page;
    source
      .accuracy(output.id)
      .then((answer) => answer && this.accuracy.show(answer))
      .catch((error) => this.accuracy.unknown((error as Error).message));
  }

  private take(result: ClassifyResult): void {
    this.result = result;
    this.list.setAreas(result.classes);
    this.mapNote.textContent = this.noteOf(result, true);
    this.visited = -1;
    this.listNext(result.next);
    this.paint();
  }

  private noteOf(result: ClassifyResult, going: boolean): string {
    const method = result.method === "mean" ? "By the nearest class mean, until classes have three labels on average." : "By ridge regression.";
    return `${method} ${overviewNote(result, going)}`;
  }

  private paint(): void {
    if (!this.active) return;
    const { stage, source, output } = this.page;
    const shown = this.live ? this.result : null;
    this.page.greyBase(shown !== null);
    stage.setMarks(this.marks());
    if (!shown) {
      stage.overlay.show(null);
      return;
    }
    const { version } = shown;
    this.painter.set(
      this.store.classes.map((one) => one.colour),
      this.unsure,
    );
    stage.overlay.show(
      {
        key: `classes-${version}`,
        fetch: (z, x, y, signal) => source.tile({ layer: "classes", z, x, y, output: output.id, version }, signal),
        paint: this.painter.paint,
        keep: true,
      },
      output,
    );
  }

  private marks(): Mark[] {
    const signs = new Map(this.store.classes.map((one, at) => [one.id, { sign: String(at + 1), colour: one.colour }]));
    const other = { sign: "?", colour: CLASS_COLOURS[7]! };
    const mark = (label: Label): Mark => {
      const sign = signs.get(label.class) ?? other;
      if (label.kind === "point") return { pixel: label, ...sign };
      return { ring: label.ring.map((point) => fromCrs(point, this.page.output)), ...sign };
    };
    const here = this.result?.next[this.visited];
    const hollow = here && !this.store.at(here) ? [{ pixel: here, sign: "", colour: "#000000", hollow: true }] : [];
    return [...this.store.labels.map(mark), ...hollow];
  }

  private listNext(next: NextPixel[]): void {
    if (!next.length) {
      put(this.next);
      return;
    }
    const go = button(`Label these next: ${many(next.length, "pixel")}`, () => this.visit(this.visited + 1), {
      "aria-keyshortcuts": "N",
    });
    const jumps = next.map((_, at) =>
      h("li", {}, button(String(at + 1), () => this.visit(at), { "aria-label": `Go to pixel ${at + 1} to label` })),
    );
    put(this.next, go, h("details", {}, h("summary", {}, "Choose one"), h("ol", { className: "jumps" }, ...jumps)));
  }

  /** Go to one of the pixels to label next, with the keyboard on the map. */
  private visit(at: number): void {
    const next = this.result?.next ?? [];
    if (!next.length) return;
    this.visited = at % next.length;
    if (this.tool !== "fields") this.setTool("points");
    const pixel = next[this.visited]!;
    this.page.stage.setMarks(this.marks());
    this.page.stage.element.focus();
    this.page.stage.goTo(pixel, true);
    this.page.status.say(`Pixel ${this.visited + 1} of ${next.length} to label. Enter labels it.`);
  }

  private removeLast(): void {
    const last = this.store.labels.at(-1);
    if (last) this.store.remove(this.wholeOf(last));
  }
}

function placeOf({ col, row }: Pixel): string {
  return `column ${col}, row ${row}`;
}
