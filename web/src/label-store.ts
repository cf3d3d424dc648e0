// The labels: changed in one place, undone, redone, and saved after each change.

import { CLASS_COLOURS } from "./colours";
import { samePixel } from "./geometry";
import { SourceError, type Label, type LabelClass, type LabelDocument, type Pixel, type Source } from "./source";

/** Changes that can be undone. */
const DEPTH = 200;

/** Milliseconds until labels that could not be saved are tried again. */
const TRY_AGAIN = 3000;

interface Content {
  classes: LabelClass[];
  labels: Label[];
}

export type Saved =
  | { state: "saved"; at: Date | null }
  | { state: "saving" }
  | { state: "failed"; error: string }
  | { state: "conflict"; error: string };

export class LabelStore {
  classes: LabelClass[] = [];
  labels: Label[] = [];
  saved: Saved = { state: "saved", at: null };
  private revision = 0;
  private readonly past: Content[] = [];
  private readonly future: Content[] = [];
  private saving = false;
  private saves: Promise<void> = Promise.resolve();
  private dirty = false;

  /** Called after each change of the labels, and of how they are saved. */
  onchange: () => void = () => undefined;
  onsaved: () => void = () => undefined;

  constructor(private readonly source: Source) {}

  async load(): Promise<void> {
    this.take(await this.source.labels(), null);
  }

  /** Take a document from the source, such as the one after an import, as it is saved there; null: who knows when. */
  take(document: LabelDocument, at: Date | null = new Date()): void {
    if (this.classes.length) this.remember();
    this.revision = document.revision;
    this.classes = document.classes;
    this.labels = document.labels;
    this.saved = { state: "saved", at };
    this.dirty = false;
    this.onchange();
  }

  /** Take the other window's labels, or write these over them. */
  async settle(mine: boolean): Promise<void> {
    const theirs = await this.source.labels();
    this.saved = { state: "saved", at: null };
    if (mine) {
      this.revision = theirs.revision;
      this.changed();
    } else this.take(theirs);
  }

  get canUndo(): boolean {
    return this.past.length > 0;
  }

  get canRedo(): boolean {
    return this.future.length > 0;
  }

  undo(): void {
    this.swap(this.past, this.future);
  }

  redo(): void {
    this.swap(this.future, this.past);
  }

  /** Add a class with a name and a colour that no other has. */
  addClass(): LabelClass {
    const names = new Set(this.classes.map((one) => one.name));
    let number = this.classes.length + 1;
    while (names.has(`class ${number}`)) number++;
    const name = `class ${number}`;
    const used = new Set(this.classes.map((one) => one.colour));
    const colour = CLASS_COLOURS.find((one) => !used.has(one)) ?? CLASS_COLOURS[this.classes.length % CLASS_COLOURS.length]!;
    const added = { id: this.free("c", this.classes), name, colour };
    this.change({ classes: [...this.classes, added], labels: this.labels });
    return added;
  }

  editClass(id: string, edit: Partial<LabelClass>): void {
    const classes = this.classes.map((one) => (one.id === id ? { ...one, ...edit } : one));
    this.change({ classes, labels: this.labels });
  }

  /** Remove a class and its labels. */
  removeClass(id: string): void {
    this.change({
      classes: this.classes.filter((one) => one.id !== id),
      labels: this.labels.filter((label) => label.class !== id),
    });
  }

  /** The point label of a pixel. */
  at(pixel: Pixel): Label | undefined {
    return this.labels.find((label) => label.kind === "point" && samePixel(label, pixel));
  }

  /** Label a pixel; its earlier point label is replaced. */
  addPoint({ col, row }: Pixel, of: string): void {
    const others = this.labels.filter((label) => label.kind !== "point" || !samePixel(label, { col, row }));
    const added: Label = { id: this.free("l", this.labels), class: of, kind: "point", col, row };
    this.change({ classes: this.classes, labels: [...others, added] });
  }

  /** Label polygons, in the place of some labels, as one change. */
  addPolygons(rings: [number, number][][], of: string, instead: Label[] = []): void {
    const labels = this.labels.filter((label) => !instead.includes(label));
    const first = Number(this.free("l", this.labels).slice(1));
    const added = rings.map((ring, at): Label => ({ id: `l${first + at}`, class: of, kind: "polygon", ring }));
    this.change({ classes: this.classes, labels: [...labels, ...added] });
  }

  remove(gone: Label[]): void {
    this.change({ classes: this.classes, labels: this.labels.filter((label) => !gone.includes(label)) });
  }

  /** Save what isn't saved yet, now. */
  saveAgain(): void {
    if (this.dirty && !this.saving) this.saves = this.save();
  }

  /** Wait until all changes are saved; an error if they can't be. The source works on what it has. */
  async settled(): Promise<void> {
    this.saveAgain();
    await this.saves;
    if (this.saved.state === "failed" || this.saved.state === "conflict") throw new Error(`labels are not saved: ${this.saved.error}`);
  }

  /** An id that isn't used: one more than the highest, so that a removed one isn't given again at once. */
  private free(letter: string, used: { id: string }[]): string {
    const numbers = used.map(({ id }) => Number(id.slice(1))).filter(Number.isFinite);
    return `${letter}${Math.max(0, ...numbers) + 1}`;
  }

  private change(content: Content): void {
    this.remember();
    this.future.length = 0;
    Object.assign(this, content);
    this.changed();
  }

  private remember(): void {
    this.past.push({ classes: this.classes, labels: this.labels });
    if (this.past.length > DEPTH) this.past.shift();
  }

  private swap(from: Content[], to: Content[]): void {
    const content = from.pop();
    if (!content) return;
    to.push({ classes: this.classes, labels: this.labels });
    Object.assign(this, content);
    this.changed();
  }

  private changed(): void {
    this.dirty = true;
    this.onchange();
    this.saveAgain();
  }

  /** One save at a time; changes meanwhile are in the next one. */
  private async save(): Promise<void> {
    if (this.saved.state === "conflict") return;
    this.saving = true;
    while (this.dirty) {
      this.dirty = false;
      this.saved = { state: "saving" };
      this.onchange();
      try {
        const { revision, classes, labels } = this;
        this.revision = await this.source.saveLabels({ revision, classes, labels });
        this.saved = { state: "saved", at: new Date() };
      } catch (error) {
        this.dirty = true;
        const status = error instanceof SourceError ? error.status : 0;
        this.saved = { state: status === 409 ? "conflict" : "failed", error: (error as Error).message };
        // Labels that are refused would be refused again, until they are changed
        if (status === 0 || status >= 500) setTimeout(() => this.saveAgain(), TRY_AGAIN);
        break;
      }
    }
    this.saving = false;
    this.onchange();
    if (this.saved.state === "saved") this.onsaved();
  }
}
