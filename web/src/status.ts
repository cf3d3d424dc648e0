// What the page says: one line of news for everyone (screen readers too), errors, and the progress of long work.

import { button, h, put } from "./dom";
import type { Job, SourceEvent } from "./source";
import { percent } from "./words";

/** Milliseconds of work before its progress is shown: what is done at once needs no bar. */
const PATIENCE = 400;

const WORK: Record<Exclude<Job, "accuracy">, string> = {
  unpack: "Unpacking the embeddings, once for each output",
  similar: "Comparing all pixels",
  classify: "Mapping all pixels",
  map: "Making the final map",
  change: "Comparing the two years",
};

export class Status {
  readonly news = h("p", { className: "news", role: "status" });
  readonly alert = h("div", { className: "alert", role: "alert", hidden: true });
  readonly progress = h("div", { className: "progress", hidden: true });
  private readonly work = new Map<keyof typeof WORK, number>();
  private waiting = 0;
  private readonly bar = h("progress", { max: 1, "aria-label": "Progress" });
  private readonly doing = h("span");
  private lasting = false;

  oncancel: (job: Job) => void = () => undefined;

  constructor() {
    const cancel = button("Cancel", () => [...this.work.keys()].forEach((job) => this.oncancel(job)));
    put(this.progress, h("label", {}, this.doing, this.bar), cancel);
  }

  say(text: string): void {
    this.news.textContent = text;
  }

  /** Show what went wrong until a person closes it; `lasting`: until `calm` is called. */
  warn(text: string, actions: [string, () => void][] = [], lasting = false): void {
    if (this.lasting && !lasting) return;
    this.lasting = lasting;
    const close = (): void => this.calm();
    const buttons = actions.map(([name, act]) =>
      button(name, () => {
        close();
        act();
      }),
    );
    if (!lasting) buttons.push(button("Close", close));
    put(this.alert, h("p", {}, text), h("div", { className: "row" }, ...buttons));
    this.alert.hidden = false;
  }

  calm(): void {
    this.lasting = false;
    this.alert.hidden = true;
    put(this.alert);
  }

  hear(event: SourceEvent): void {
    // The accuracy is said in a place of its own
    if ("job" in event && event.job === "accuracy") return;
    if (event.kind === "progress" && event.done < event.total) {
      this.work.set(event.job as keyof typeof WORK, event.done / event.total);
    } else if ("job" in event) this.work.delete(event.job as keyof typeof WORK);
    else this.work.clear();
    const [first] = this.work;
    if (!first) {
      clearTimeout(this.waiting);
      this.waiting = 0;
      this.progress.hidden = true;
      return;
    }
    const [job, share] = first;
    this.doing.textContent = `${WORK[job]}: ${percent(share, 0)}`;
    this.bar.value = share;
    if (!this.waiting) this.waiting = window.setTimeout(() => (this.progress.hidden = false), PATIENCE);
  }
}
