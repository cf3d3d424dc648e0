// How accurate the map is, by spatial cross-validation; "not known" while there are too few labels.

import { h, put } from "./dom";
import type { Accuracy, SourceEvent } from "./source";
import { count, percent } from "./words";

export class AccuracyView {
  readonly element: HTMLElement;
  private readonly answer = h("p", { className: "accuracy" });
  private readonly classes = h("div");

  constructor() {
    this.element = h("section", {}, h("h2", {}, "Accuracy of the final map"), this.answer, this.classes);
  }

  /** The labels have changed since. */
  stale(): void {
    this.answer.classList.add("stale");
  }

  unknown(why: string): void {
    this.answer.classList.remove("stale");
    put(this.answer, h("strong", {}, "Not known"), why ? `: ${why}` : "");
    put(this.classes);
  }

  show(accuracy: Accuracy): void {
    if (!accuracy.known || accuracy.balanced === undefined) {
      this.unknown(accuracy.why ?? "");
      return;
    }
    this.answer.classList.remove("stale");
    const { low, high } = accuracy;
    const range = low != null && high != null ? ` (${percent(low, 0)} to ${percent(high, 0)})` : "";
    put(this.answer, h("strong", {}, percent(accuracy.balanced, 0)), range, " right on land that was held out, each class counted alike");
    const rows = (accuracy.per_class ?? []).map(({ name, recall, labels }) =>
      h("tr", {}, h("th", { scope: "row" }, name), h("td", {}, percent(recall, 0)), h("td", {}, count(labels))),
    );
    const head = h("tr", {}, ...["Class", "Right", "Labels"].map((text) => h("th", { scope: "col" }, text)));
    put(
      this.classes,
      rows.length
        ? h("details", {}, h("summary", {}, "For each class"), h("table", {}, h("thead", {}, head), h("tbody", {}, ...rows)))
        : null,
    );
  }

  hear(event: SourceEvent): void {
    if (event.kind === "done" || event.kind === "refined") this.show(event.result as Accuracy);
    if (event.kind === "failed" && event.error !== "cancelled") this.unknown(event.error);
  }
}
