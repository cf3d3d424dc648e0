// The classes: their numbers (which are their keys), colours, names, labels and areas.

import { inkOn } from "./colours";
import { button, h } from "./dom";
import type { LabelStore } from "./label-store";
import type { ClassArea, LabelClass } from "./source";
import { hectares, many } from "./words";

interface Row {
  element: HTMLElement;
  radio: HTMLInputElement;
  sign: HTMLElement;
  colour: HTMLInputElement;
  name: HTMLInputElement;
  facts: HTMLElement;
  remove: HTMLButtonElement;
}

export class ClassList {
  readonly element: HTMLElement;
  private readonly list = h("ul", { className: "classes" });
  private readonly rows = new Map<string, Row>();
  private areas = new Map<string, ClassArea>();

  constructor(
    private readonly store: LabelStore,
    private readonly pixelHa: number | null,
    private readonly choose: (id: string) => void,
    private readonly refuse: (why: string) => void,
  ) {
    const add = button("Add a class", () => {
      const added = store.addClass();
      choose(added.id);
      const { name } = this.rows.get(added.id)!;
      name.focus();
      name.select();
    });
    this.element = h("fieldset", { className: "classlist" }, h("legend", {}, "Classes"), this.list, add);
  }

  /** A class's number in its colour, as on the map. */
  sign(one: LabelClass, at: number): HTMLElement {
    const sign = h("span", { className: "sign" }, String(at + 1));
    sign.style.backgroundColor = one.colour;
    sign.style.color = inkOn(one.colour);
    return sign;
  }

  setChosen(id: string): void {
    for (const [key, row] of this.rows) row.radio.checked = key === id;
  }

  setAreas(areas: ClassArea[]): void {
    this.areas = new Map(areas.map((area) => [area.id, area]));
    this.show(null);
  }

  /** Follow the store. Rows stay the same elements, so that a name can be typed while labels are saved. */
  show(chosen: string | null): void {
    const ids = new Set(this.store.classes.map((one) => one.id));
    for (const [id, row] of this.rows) {
      if (ids.has(id)) continue;
      row.element.remove();
      this.rows.delete(id);
    }
    this.store.classes.forEach((one, at) => {
      let row = this.rows.get(one.id);
      if (!row) {
        row = this.make(one.id);
        this.rows.set(one.id, row);
      }
      if (this.list.children[at] !== row.element) this.list.insertBefore(row.element, this.list.children[at] ?? null);
      const sign = this.sign(one, at);
      row.sign.replaceWith(sign);
      row.sign = sign;
      row.radio.setAttribute("aria-label", `Label ${one.name}`);
      row.radio.setAttribute("aria-keyshortcuts", at < 9 ? String(at + 1) : "");
      if (document.activeElement !== row.name) row.name.value = one.name;
      row.colour.value = one.colour.toLowerCase();
      row.colour.setAttribute("aria-label", `Colour of ${one.name}`);
      row.remove.setAttribute("aria-label", `Remove ${one.name} and its labels`);
      row.facts.textContent = this.factsOf(one.id);
    });
    if (chosen) this.setChosen(chosen);
  }

  private factsOf(id: string): string {
    const labels = this.store.labels.filter((label) => label.class === id).length;
    const area = this.areas.get(id);
    if (!area) return many(labels, "label");
    const ha = area.ha ?? (this.pixelHa === null ? null : area.pixels * this.pixelHa);
    return `${many(labels, "label")}, ${ha === null ? many(area.pixels, "pixel") : hectares(ha)}`;
  }

  private make(id: string): Row {
    const radio = h("input", { type: "radio", name: "class", onchange: () => this.choose(id) });
    const sign = h("span", { className: "sign" });
    const name = h("input", { type: "text", className: "name", "aria-label": "Name of the class", maxLength: 80 });
    name.onchange = () => {
      const wanted = name.value.trim();
      const other = this.store.classes.find((one) => one.id !== id && one.name === wanted);
      if (wanted && !other) this.store.editClass(id, { name: wanted });
      else {
        name.value = this.store.classes.find((one) => one.id === id)?.name ?? "";
        if (other) this.refuse(`Another class is named ${wanted}.`);
      }
    };
    name.onkeydown = (event) => {
      if (event.key === "Enter") name.blur();
    };
    const colour = h("input", { type: "color" });
    colour.onchange = () => this.store.editClass(id, { colour: colour.value.toUpperCase() });
    const facts = h("span", { className: "facts" });
    const remove = button("×", () => this.store.removeClass(id), { className: "plain" });
    const element = h(
      "li",
      {},
      h("label", { className: "pick" }, radio, sign),
      h("div", { className: "named" }, name, facts),
      colour,
      remove,
    );
    return { element, radio, sign, colour, name, facts, remove };
  }
}
