// The border between two outputs on the map: it can be dragged. The keyboard has the slider in the panel.

import { h } from "./dom";

export class Swipe {
  readonly element: HTMLElement;
  /** Called with the border's place, as a share of the map's width. */
  onmove: (share: number) => void = () => undefined;

  constructor(left: string, right: string) {
    const grip = h("span", { className: "grip" }, "⇔");
    this.element = h(
      "div",
      { className: "swipe", hidden: true, "aria-hidden": "true" },
      h("span", { className: "side left" }, left),
      h("span", { className: "side right" }, right),
      grip,
    );
    grip.onpointerdown = (event) => {
      event.preventDefault();
      grip.setPointerCapture(event.pointerId);
      grip.onpointermove = (moved) => this.drag(moved);
    };
    grip.onpointerup = grip.onpointercancel = () => (grip.onpointermove = null);
  }

  place(share: number): void {
    this.element.style.left = `${share * 100}%`;
  }

  private drag(event: PointerEvent): void {
    const box = this.element.parentElement!.getBoundingClientRect();
    this.onmove(Math.min(Math.max((event.clientX - box.left) / box.width, 0), 1));
  }
}
