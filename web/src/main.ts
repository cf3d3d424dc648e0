// Puts the page together: the map, the tools in the panel, what the page says.

import { paintColours, paintObservations } from "./colours";
import { ComparePanel } from "./compare-panel";
import { button, check, h, put } from "./dom";
import { FolderSource, type FolderData } from "./folder-source";
import { LabelPanel } from "./label-panel";
import { LookPanel } from "./look-panel";
import type { Page, Panel } from "./panel";
import type { RasterLayer } from "./raster-layer";
import { ServerSource } from "./server-source";
import { SimilarPanel } from "./similar-panel";
import { SourceError, type Info, type LayerName, type Output, type Pixel, type Segment, type Source, type SourceEvent } from "./source";
import { Stage } from "./stage";
import { Status } from "./status";
import { count, hectares } from "./words";

declare global {
  interface Window {
    /** Set by data.js of a page without a server */
    TESSERA_DATA?: FolderData;
  }
}

const KEYS: [string, string][] = [
  ["Arrow keys", "move the crosshair on the map; with Shift further"],
  ["Enter", "acts at the crosshair, like a click; with Shift: not like here, or remove a label"],
  ["+ and −", "zoom"],
  ["0", "show the whole map"],
  ["1 to 9", "choose a class to label"],
  ["N", "go to the next pixel to label"],
  ["M", "show the live map, or what is below it"],
  ["C", "close a polygon"],
  ["Ctrl+Z, Ctrl+Y", "undo and redo labels"],
  ["Delete", "remove the last point or label"],
  ["Escape", "give up a polygon, or release a pixel"],
];

class App implements Page {
  readonly stage: Stage;
  readonly status = new Status();
  output: Output;
  private picture: LayerName;
  private readonly look: LookPanel;
  private readonly panels: Panel[];
  private panel: Panel;
  private readonly tabs = new Map<Panel, HTMLButtonElement>();
  private readonly body = h("div", { className: "body" });
  private readonly readout = h("p", { className: "readout" });
  private readonly said = h("p", { className: "hidden", "aria-live": "polite" });
  private readonly title = h("h1");
  private readonly subtitle = h("p", { className: "subtitle" });
  private segments: Segment[] = [];
  private hovered: Pixel | null = null;
  private saying = 0;

  constructor(
    root: HTMLElement,
    readonly source: Source,
    readonly info: Info,
  ) {
    this.output = info.outputs[0]!;
    this.picture = this.output.layers[0]!;
    const map = h("div", {
      id: "map",
      tabIndex: 0,
      role: "application",
      "aria-label": "Map. Arrow keys move the crosshair, Enter acts there.",
    });
    const help = this.makeHelp();
    const view = h("div", { className: "stage" }, map);
    const aside = h("aside", { "aria-label": "Tools" });
    put(root, h("main", {}, view, aside));
    this.stage = new Stage(map, info, this.output);
    this.look = new LookPanel(this, (picture) => this.showPicture(picture), (opacity) => this.stage.base.setOpacity(opacity));
    const label = new LabelPanel(this);
    this.panels = [this.look, new SimilarPanel(this), label];
    const [first, second] = info.outputs;
    if (first && second && info.same_grid) {
      this.panels.push(new ComparePanel(this, first, second, (from) => this.showSecond(from)));
    }
    this.panel = this.look;
    const zoom = h(
      "div",
      { className: "zoom" },
      button("+", () => this.stage.zoom(1), { "aria-label": "Zoom in" }),
      button("−", () => this.stage.zoom(-1), { "aria-label": "Zoom out" }),
      button("⤢", () => this.stage.fit(), { "aria-label": "Show the whole map" }),
    );
    view.append(label.chip, zoom, this.readout);
    const keys = button("Keys", () => help.showModal(), { className: "plain" });
    put(
      aside,
      h("header", {}, h("div", {}, this.title, this.subtitle), keys),
      this.outputChoice(),
      this.outlineChoice(),
      this.makeTabs(),
      this.status.alert,
      this.status.progress,
      this.body,
      this.status.news,
      this.said,
    );
    root.append(help);
    this.status.oncancel = (job) => void source.cancel(job).catch((error) => this.fail(error));
    this.stage.onidle = () => this.describe();
    this.stage.onact = (pixel, other) => {
      this.panel.act(pixel, other);
      this.describe();
    };
    this.stage.onhover = (pixel, said) => this.hover(pixel, said);
    this.stage.onring = (ring) => label.ring(ring);
    this.stage.onfail = (error) => this.fail(error);
    document.addEventListener("keydown", (event) => this.key(event));
    source.listen((event) => this.hear(event));
    this.showOutput();
    this.choose(this.look);
    if (info.segments) {
      source.segments().then(
        (segments) => {
          this.segments = segments;
          this.showSegments();
        },
        (error) => this.fail(error),
      );
    }
    // Labels that come late would replace what has been done meanwhile
    const tab = this.tabs.get(label)!;
    tab.disabled = true;
    label.load().then(
      () => (tab.disabled = false),
      (error) => this.fail(error),
    );
  }

  greyBase(grey: boolean): void {
    this.stage.base.setGrey(grey);
    this.stage.second.setGrey(grey);
  }

  fail(error: unknown): void {
    // Where nothing answers, the page says so anyway
    if (error instanceof SourceError && error.status === 0) return;
    if (error instanceof SourceError && error.status === 410) this.panel.renew();
    else this.status.warn((error as Error).message);
  }

  private showOutput(): void {
    const { output } = this;
    this.title.textContent = output.name;
    const size = `${count(output.width)} × ${count(output.height)} px`;
    const ha = output.pixel_ha === null ? null : hectares(output.width * output.height * output.pixel_ha);
    const model = [output.model, output.precision].filter(Boolean).join(" ");
    const thinned = output.step && output.step > 1 ? `1 of ${output.step} × ${output.step} pixels is shown` : null;
    const facts = [output.year, size, ha, model, thinned];
    this.subtitle.textContent = facts.filter((fact) => fact !== null && fact !== "").join(" · ");
    if (!output.layers.includes(this.picture)) this.picture = output.layers[0]!;
    this.showPicture(this.picture);
  }

  /** Outlines are in the CRS of the first output. */
  private showSegments(): void {
    const { output, segments } = this;
    this.stage.segments.set(output.crs === this.info.outputs[0]!.crs ? segments : [], output);
  }

  private showPicture(picture: LayerName): void {
    this.picture = picture;
    this.look.setPicture(picture);
    this.put(this.stage.base, this.output);
  }

  /** Show the second output right of a border; null: not at all. */
  private showSecond(from: number | null): void {
    const second = this.info.outputs[1];
    const { second: layer } = this.stage;
    if (from === null || !second) {
      layer.show(null);
      this.put(this.stage.base, this.output);
      return;
    }
    this.put(this.stage.base, this.info.outputs[0]!);
    this.put(layer, second);
    layer.setFrom(from);
  }

  private put(layer: RasterLayer, output: Output): void {
    const picture = output.layers.includes(this.picture) ? this.picture : output.layers[0]!;
    layer.show(
      {
        key: `${picture}-${output.id}`,
        fetch: (z, x, y, signal) => this.source.tile({ layer: picture, z, x, y, output: output.id }, signal),
        paint: picture === "observations" ? paintObservations : paintColours,
        keep: false,
      },
      output,
    );
  }

  private choose(panel: Panel): void {
    if (this.tabs.get(panel)?.disabled) return;
    this.panel.leave();
    this.panel = panel;
    for (const [one, tab] of this.tabs) {
      tab.setAttribute("aria-selected", String(one === panel));
      tab.tabIndex = one === panel ? 0 : -1;
    }
    put(this.body, panel.element);
    this.status.say("");
    this.body.setAttribute("aria-labelledby", `tab-${panel.name}`);
    panel.enter();
    this.describe();
  }

  private makeTabs(): HTMLElement {
    const bar = h("div", { className: "tabs", role: "tablist", "aria-label": "Tools" });
    for (const panel of this.panels) {
      const tab = button(panel.title, () => this.choose(panel), {
        id: `tab-${panel.name}`,
        role: "tab",
        "aria-controls": "tool",
      });
      this.tabs.set(panel, tab);
      bar.append(tab);
    }
    bar.addEventListener("keydown", (event) => {
      const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (!by) return;
      const at = (this.panels.indexOf(this.panel) + by + this.panels.length) % this.panels.length;
      this.choose(this.panels[at]!);
      this.tabs.get(this.panels[at]!)?.focus();
      event.preventDefault();
    });
    this.body.id = "tool";
    this.body.setAttribute("role", "tabpanel");
    return bar;
  }

  private outputChoice(): HTMLElement | null {
    if (this.info.outputs.length < 2) return null;
    const select = h(
      "select",
      {},
      ...this.info.outputs.map((output) =>
        h("option", { value: output.id }, output.year === null ? output.name : `${output.year}: ${output.name}`),
      ),
    );
    select.onchange = () => {
      this.output = this.info.outputs.find((output) => output.id === Number(select.value)) ?? this.output;
      this.stage.setOutput(this.output);
      this.showSegments();
      for (const panel of this.panels) panel.changeOutput();
      this.showOutput();
      this.choose(this.panel);
    };
    return h("label", { className: "field" }, h("span", {}, "Output"), select);
  }

  private outlineChoice(): HTMLElement | null {
    const { segments } = this.info;
    if (!segments) return null;
    const show = check(`Outlines of ${segments.name}`, true, (on) => this.stage.segments.layer.setVisible(on));
    return h("div", {}, show, segments.note ? h("p", { className: "note" }, segments.note) : null);
  }

  private makeHelp(): HTMLDialogElement {
    const close = button("Close", () => dialog.close());
    const keys = KEYS.flatMap(([key, does]) => [h("dt", {}, key), h("dd", {}, does)]);
    const dialog = h("dialog", { "aria-labelledby": "keys" }, h("h2", { id: "keys" }, "Keys"), h("dl", {}, ...keys), close);
    return dialog;
  }

  private hover(pixel: Pixel | null, said: boolean): void {
    this.hovered = pixel;
    this.look.hover(pixel);
    this.describe();
    if (!said) return;
    clearTimeout(this.saying);
    this.saying = window.setTimeout(() => (this.said.textContent = this.readout.textContent), 400);
  }

  private describe(): void {
    const pixel = this.hovered;
    if (!pixel) {
      this.readout.textContent = "";
      return;
    }
    const parts = [`Column ${pixel.col}, row ${pixel.row}`, this.panel.describe(pixel)];
    this.readout.textContent = parts.filter(Boolean).join(" · ");
  }

  private key(event: KeyboardEvent): void {
    const target = event.target as HTMLElement;
    const typing = target.matches("input:not([type=radio]):not([type=checkbox]):not([type=range]), select, textarea, dialog *");
    if (typing || event.defaultPrevented || event.altKey) return;
    if (this.panel.key(event)) event.preventDefault();
  }

  private hear(event: SourceEvent): void {
    this.status.hear(event);
    if (event.kind === "gone") {
      this.status.warn("The program does not answer. Start tessera-engine view again, and open its new address.", [], true);
    }
    if (event.kind === "back") {
      this.status.calm();
      for (const layer of [this.stage.base, this.stage.second, this.stage.overlay]) layer.retry();
    }
    if (event.kind === "failed" && event.error === "cancelled") this.status.say("Cancelled");
    else if (event.kind === "failed" && event.job !== "accuracy") this.status.warn(event.error);
    for (const panel of this.panels) panel.hear(event);
  }
}

async function start(): Promise<void> {
  const root = document.getElementById("page")!;
  try {
    const data = window.TESSERA_DATA;
    const source = data ? new FolderSource(data) : new ServerSource();
    new App(root, source, await source.info());
  } catch (error) {
    put(root, h("p", { className: "alert", role: "alert" }, (error as Error).message));
  }
}

void start();
