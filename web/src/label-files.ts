// Labels from files and to files, and the final map.

import { button, h } from "./dom";
import type { LabelStore } from "./label-store";
import type { Page } from "./panel";
import type { MadeMap, SourceEvent } from "./source";
import { many } from "./words";

const FORMATS: [string, string][] = [
  ["geojson", "GeoJSON"],
  ["gpkg", "GeoPackage"],
  ["tee", "TEE label JSON"],
];

const METHODS: [string, string][] = [
  ["linear", "Logistic regression"],
  ["knn", "Nearest labels"],
  ["forest", "Random forest"],
];

export class LabelFiles {
  readonly element: HTMLElement;
  private readonly exported = h("p", { className: "note" });

  constructor(
    private readonly page: Page,
    private readonly store: LabelStore,
  ) {
    const file = h("input", { type: "file", accept: ".geojson,.json,.gpkg" });
    file.onchange = () => void this.import(file);
    const server = page.info.exports !== null;
    const format = h("select", {}, ...(server ? FORMATS : FORMATS.slice(0, 1)).map(option));
    const method = h("select", {}, ...METHODS.map(option));
    const write = button("Save", () => void this.run(() => page.source.exportLabels(format.value)));
    const map = button("Make the map", () => void this.run(() => page.source.exportMap(page.output.id, method.value)));
    map.className = "primary";
    this.element = h(
      "section",
      {},
      h("h2", {}, "Files"),
      h("label", { className: "field" }, h("span", {}, "Add labels from a file"), file),
      h("div", { className: "field" }, h("label", {}, h("span", {}, "Labels as"), format), write),
      server && page.info.classes_possible
        ? h("div", { className: "field" }, h("label", {}, h("span", {}, "Final map by"), method), map)
        : null,
      this.exported,
    );
  }

  hear(event: SourceEvent): void {
    if (!("job" in event) || event.job !== "map") return;
    if (event.kind === "failed") this.exported.textContent = "";
    if (event.kind !== "done") return;
    const { name, labels, notes } = event.result as MadeMap;
    this.done(name, [`Its labels: ${labels}.`, ...notes]);
  }

  private async import(file: HTMLInputElement): Promise<void> {
    const [chosen] = file.files ?? [];
    if (!chosen) return;
    try {
      await this.store.settled();
      const imported = await this.page.source.importLabels(chosen.name, await chosen.arrayBuffer());
      this.store.take(imported);
      this.store.onsaved();
      this.exported.textContent = [`${many(imported.added, "label")} added from ${chosen.name}.`, imported.note].join(" ");
      this.page.status.say(this.exported.textContent);
    } catch (error) {
      this.page.fail(error);
    }
    file.value = "";
  }

  private async run(write: () => Promise<string | null>): Promise<void> {
    this.exported.textContent = "";
    try {
      await this.store.settled();
      this.done(await write());
    } catch (error) {
      this.page.fail(error);
    }
  }

  private done(name: string | null, notes: string[] = []): void {
    if (name === null) return;
    const { exports } = this.page.info;
    const where = exports === null ? "" : ` in ${exports}`;
    this.exported.textContent = [`Saved as ${name}${where}.`, ...notes].join(" ");
    this.page.status.say(`Saved as ${name}`);
  }
}

function option([value, text]: [string, string]): HTMLOptionElement {
  return h("option", { value }, text);
}
