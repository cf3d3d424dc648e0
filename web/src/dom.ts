// Small helpers to build the page. Styles are in app.css: the server's Content-Security-Policy allows no inline style.

type Child = Node | string | null | undefined | false;

/** An element with properties (`onclick`, `className`), attributes (`aria-label`, `data-x`) and children. */
export function h<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  properties: Record<string, unknown> = {},
  ...children: Child[]
): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === null || value === false) continue;
    if (name in element && !name.startsWith("aria-")) (element as unknown as Record<string, unknown>)[name] = value;
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  put(element, ...children);
  return element;
}

/** Replace the children of an element. */
export function put(parent: Element, ...children: Child[]): void {
  parent.replaceChildren(...children.filter((child): child is Node | string => !!child || child === ""));
}

export function button(text: string, onclick: () => void, properties: Record<string, unknown> = {}): HTMLButtonElement {
  return h("button", { type: "button", onclick, ...properties }, text);
}

/** Radio buttons that look like one bar. `choose` is called with the value of the chosen one. */
export function choices(
  legend: string,
  name: string,
  options: [string, string][],
  chosen: string,
  choose: (value: string) => void,
): HTMLFieldSetElement {
  const labels = options.map(([value, text]) =>
    h(
      "label",
      {},
      h("input", { type: "radio", name, value, checked: value === chosen, onchange: () => choose(value) }),
      h("span", {}, text),
    ),
  );
  return h("fieldset", { className: "choices" }, h("legend", { className: "hidden" }, legend), ...labels);
}

export function check(text: string, checked: boolean, change: (on: boolean) => void): HTMLLabelElement {
  const input = h("input", { type: "checkbox", checked, onchange: () => change(input.checked) });
  return h("label", { className: "check" }, input, h("span", {}, text));
}

/** A slider with its label; `change` hears each step. */
export function slider(
  text: string,
  range: { min: number; max: number; step: number; value: number },
  change: (value: number) => void,
): { row: HTMLElement; input: HTMLInputElement } {
  const input = h("input", { type: "range", min: range.min, max: range.max, step: range.step });
  input.value = String(range.value);
  input.oninput = () => change(Number(input.value));
  return { row: h("label", { className: "slider" }, h("span", {}, text), input), input };
}

/** The 2D context of a canvas; every browser that runs this page has one. */
export function context(canvas: HTMLCanvasElement, settings?: CanvasRenderingContext2DSettings): CanvasRenderingContext2D {
  const found = canvas.getContext("2d", settings);
  if (!found) throw new Error("This browser gives no 2D canvas.");
  return found;
}
