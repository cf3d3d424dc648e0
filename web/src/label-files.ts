// Labels from files and to files, and the final map.

import { button, h } from "./dom";
import type { LabelStore } from "./label-store";
import type { Page } from "./panel";
import type { SourceEvent } from "./source";

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
    if (event.kind === "done") this.done((event.result as { name?: string }).name ?? null);
    if (event.kind === "failed") this.exported.textContent = "";
  }

  private async import(file: HTMLInputElement): Promise<void> {
    const [chosen] = file.files ?? [];
    if (!chosen) return;
    try {
      const before = this.store.labels.length;
      this.store.take(await this.page.source.importLabels(chosen.name, await chosen.arrayBuffer()));
      this.page.status.say(`${this.store.labels.length - before} labels added from ${chosen.name}`);
      this.store.onsaved();
    } catch (error) {
      this.page.fail(error);
    }
    file.value = "";
  }

  private async run(write: () => Promise<string | null>): Promise<void> {
    this.exported.textContent = "";
    try {
      this.done(await write());
    } catch (error) {
      this.page.fail(error);
    }
  }

  private done(name: string | null): void {
    if (name === null) return;
    const { exports } = this.page.info;
    this.exported.textContent = exports === null ? `Saved as ${name}` : `Saved as ${name} in ${exports}`;
    this.page.status.say(this.exported.textContent);
  }
}

function option([value, text]: [string, string]): HTMLOptionElement {
  return h("option", { value }, text);
}
