// The map: pictures, results over them, marks, the crosshair, and what clicks and keys on it mean.

import OlMap from "ol/Map";
import View from "ol/View";
import ScaleLine from "ol/control/ScaleLine";
import Feature from "ol/Feature";
import Draw from "ol/interaction/Draw";
import DragPan from "ol/interaction/DragPan";
import KeyboardZoom from "ol/interaction/KeyboardZoom";
import MouseWheelZoom from "ol/interaction/MouseWheelZoom";
import PinchZoom from "ol/interaction/PinchZoom";
import Point from "ol/geom/Point";
import Polygon from "ol/geom/Polygon";
import VectorLayer from "ol/layer/Vector";
import Projection from "ol/proj/Projection";
import VectorSource from "ol/source/Vector";
import CircleStyle from "ol/style/Circle";
import Fill from "ol/style/Fill";
import Stroke from "ol/style/Stroke";
import Style from "ol/style/Style";
import Text from "ol/style/Text";

import { inkOn } from "./colours";
import { centre, pixelAt, pixelMetres, type Xy } from "./geometry";
import { PixelLayer } from "./pixel-layer";
import { RasterLayer } from "./raster-layer";
import { SegmentLayer } from "./segments";
import type { Info, Output, Pixel } from "./source";

/** Largest side of a pixel on the screen, in CSS pixels. */
const LARGEST_PIXEL = 64;

/** How far an arrow key moves the crosshair on the screen where pixels are smaller, in CSS pixels. */
const STEP = 8;

/** Steps of an arrow key with Shift. */
const LEAP = 8;

const ARROWS: Record<string, Xy> = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

/** A mark on the map: a disc with a sign, or a polygon in the map's coordinates with the sign in it. */
export interface Mark {
  pixel?: Pixel;
  ring?: Xy[];
  sign: string;
  colour: string;
  /** Only a ring: a place to look at, no label */
  hollow?: boolean;
}

export class Stage {
  readonly map: OlMap;
  readonly base: RasterLayer;
  readonly second: RasterLayer;
  readonly overlay: RasterLayer;
  readonly segments = new SegmentLayer();
  private readonly pixels: PixelLayer;
  private readonly marks = new VectorSource();
  private readonly drawing = new VectorSource();
  private drawer: Draw | null = null;
  private crosshair: Pixel | null = null;
  private busy = 0;

  onact: (pixel: Pixel, other: boolean) => void = () => undefined;
  onhover: (pixel: Pixel | null, said: boolean) => void = () => undefined;
  onring: (ring: Xy[]) => void = () => undefined;
  onfail: (error: Error) => void = () => undefined;
  /** All that is visible has been drawn. */
  onidle: () => void = () => undefined;

  constructor(
    readonly element: HTMLElement,
    info: Info,
    private output: Output,
  ) {
    this.base = new RasterLayer(output, info.tile, "base");
    this.second = new RasterLayer(info.outputs[1] ?? output, info.tile, "second");
    this.overlay = new RasterLayer(output, info.tile, "overlay");
    this.pixels = new PixelLayer(output);
    const marks = new VectorLayer({ source: this.marks, style: (feature) => styleOf(feature.get("mark") as Mark) });
    const drawing = new VectorLayer({ source: this.drawing });
    const outlines = info.segments ? [this.segments.layer] : [];
    this.map = new OlMap({
      target: element,
      layers: [this.base, this.second, this.overlay, this.pixels, ...outlines, marks, drawing],
      controls: [],
      interactions: [new DragPan(), new PinchZoom(), new MouseWheelZoom(), new KeyboardZoom()],
      view: this.viewOf(output),
    });
    if (output.pixel_ha !== null) this.map.addControl(new ScaleLine({ minWidth: 72 }));
    this.fit();
    for (const layer of [this.base, this.second, this.overlay]) {
      layer.onbusy = (busy) => this.count(busy);
      layer.onfail = (error) => this.onfail(error);
    }
    this.map.on("click", (event) => this.click(event.coordinate, event.originalEvent as MouseEvent));
    this.map.on("pointermove", (event) => {
      if (!event.dragging) this.onhover(pixelAt(event.coordinate, this.output), false);
    });
    element.addEventListener("pointerleave", () => this.onhover(this.crosshair, false));
    element.addEventListener("keydown", (event) => this.key(event));
    element.addEventListener("blur", () => this.pixels.setCrosshair(null));
    element.addEventListener("focus", () => this.pixels.setCrosshair(this.crosshair));
  }

  /** Show the whole output. */
  fit(): void {
    const { width, height } = this.output;
    this.map.getView().fit([0, -height, width, 0], { padding: [16, 16, 16, 16], size: this.map.getSize() ?? [640, 480] });
  }

  zoom(by: number): void {
    const view = this.map.getView();
    view.animate({ zoom: (view.getZoom() ?? 0) + by, duration: 150 });
  }

  setOutput(output: Output): void {
    const same = output.width === this.output.width && output.height === this.output.height;
    this.output = output;
    this.pixels.setOutput(output);
    if (!same) {
      this.map.setView(this.viewOf(output));
      this.fit();
    }
  }

  setMarks(marks: Mark[]): void {
    this.marks.clear();
    this.marks.addFeatures(
      marks.map((mark) => {
        const geometry = mark.pixel ? new Point(centre(mark.pixel)) : new Polygon([mark.ring ?? []]);
        const feature = new Feature(geometry);
        feature.set("mark", mark, true);
        return feature;
      }),
    );
  }

  pin(pixel: Pixel | null): void {
    this.pixels.setPinned(pixel);
  }

  /** Move the crosshair there, and the map if it isn't visible; `close`: so near that single pixels can be clicked. */
  goTo(pixel: Pixel, close = false): void {
    this.crosshair = pixel;
    this.pixels.setCrosshair(pixel);
    const view = this.map.getView();
    const point = centre(pixel);
    if (close) {
      if ((view.getResolution() ?? 1) > 1 / 12) view.setResolution(1 / 12);
      view.setCenter(point);
    } else {
      const [left, bottom, right, top] = view.calculateExtent(this.map.getSize()) as [number, number, number, number];
      const [x, y] = point;
      if (x < left || x > right || y < bottom || y > top) view.setCenter(point);
    }
    this.onhover(pixel, true);
  }

  /** Draw polygons by clicks, or by Enter at the crosshair; a double click or the first point closes one. */
  drawPolygons(on: boolean, colour = "#000000"): void {
    if (this.drawer) this.map.removeInteraction(this.drawer);
    this.drawer = null;
    if (!on) return;
    const line = (width: number, ink: string): Style => new Style({ stroke: new Stroke({ color: ink, width }) });
    const corner = new CircleStyle({ radius: 5, fill: new Fill({ color: colour }), stroke: new Stroke({ color: "#fff", width: 2 }) });
    this.drawer = new Draw({
      source: this.drawing,
      type: "Polygon",
      style: [line(4, "#ffffff"), line(2, "#000000"), new Style({ image: corner })],
    });
    this.drawer.on("drawend", (event) => {
      const ring = (event.feature.getGeometry() as Polygon).getCoordinates()[0] as Xy[];
      // OpenLayers adds the feature after this event
      setTimeout(() => this.drawing.clear());
      this.onring(ring);
    });
    this.map.addInteraction(this.drawer);
  }

  /** Close the polygon that is being drawn. */
  finishPolygon(): void {
    this.drawer?.finishDrawing();
  }

  /** Give up the polygon that is being drawn. */
  abortPolygon(): void {
    this.drawer?.abortDrawing();
  }

  private viewOf(output: Output): View {
    const metres = pixelMetres(output) ?? 1;
    const extent = [0, -output.height, output.width, 0];
    const projection = new Projection({
      code: `pixels-${output.id}`,
      units: "m",
      extent,
      metersPerUnit: metres,
      getPointResolution: (resolution) => resolution * metres,
    });
    const most = Math.max(output.width, output.height) / 160;
    return new View({
      projection,
      center: [output.width / 2, -output.height / 2],
      minResolution: 1 / LARGEST_PIXEL,
      maxResolution: Math.max(most, 1 / 4),
      extent,
      constrainOnlyCenter: true,
      showFullExtent: true,
      enableRotation: false,
    });
  }

  private click(point: number[], event: MouseEvent): void {
    if (this.drawer) return;
    const pixel = pixelAt(point, this.output);
    if (pixel) this.onact(pixel, event.shiftKey || event.altKey);
  }

  private key(event: KeyboardEvent): void {
    const arrow = ARROWS[event.key];
    if (arrow && !event.ctrlKey && !event.metaKey) {
      this.move(arrow, event.shiftKey ? LEAP : 1);
    } else if (event.key === "Enter" || event.key === " ") {
      this.act(event.shiftKey || event.altKey);
    } else if (event.key === "0") {
      this.fit();
    } else return;
    event.preventDefault();
  }

  private move([dx, dy]: Xy, steps: number): void {
    const view = this.map.getView();
    const { width, height } = this.output;
    const middle = view.getCenter() ?? [0, 0];
    const step = Math.max(1, Math.round(STEP * (view.getResolution() ?? 1))) * steps;
    const from = this.crosshair ?? { col: Math.floor(middle[0]!), row: Math.floor(-middle[1]!) };
    const within = (value: number, size: number): number => Math.min(Math.max(value, 0), size - 1);
    // The first arrow key only shows where the crosshair is
    const by = this.crosshair ? step : 0;
    this.goTo({ col: within(from.col + dx * by, width), row: within(from.row + dy * by, height) });
  }

  private act(other: boolean): void {
    if (!this.crosshair) {
      this.move([0, 0], 1);
    } else if (this.drawer) {
      this.drawer.appendCoordinates([centre(this.crosshair)]);
    } else this.onact(this.crosshair, other);
  }

  private count(busy: boolean): void {
    this.busy += busy ? 1 : -1;
    this.element.setAttribute("aria-busy", String(this.busy > 0));
    if (!this.busy) this.onidle();
  }
}

function styleOf(mark: Mark): Style[] {
  const text = new Text({
    text: mark.sign,
    font: "700 12px system-ui, sans-serif",
    fill: new Fill({ color: mark.hollow ? "#ffffff" : inkOn(mark.colour) }),
    stroke: mark.hollow ? new Stroke({ color: "#000000", width: 3 }) : undefined,
    overflow: true,
  });
  if (mark.ring) {
    return [
      new Style({ stroke: new Stroke({ color: "#ffffff", width: 5 }) }),
      new Style({ stroke: new Stroke({ color: mark.colour, width: 3 }), fill: new Fill({ color: `${mark.colour}33` }) }),
      new Style({
        geometry: (feature) => (feature.getGeometry() as Polygon).getInteriorPoint(),
        image: disc(mark.colour),
        text,
      }),
    ];
  }
  if (mark.hollow) {
    const ring = (width: number, color: string): Style =>
      new Style({ image: new CircleStyle({ radius: 9, stroke: new Stroke({ color, width }) }) });
    return [ring(4, "#000000"), ring(2, "#ffffff"), new Style({ text })];
  }
  return [new Style({ image: disc(mark.colour), text })];
}

function disc(colour: string): CircleStyle {
  return new CircleStyle({
    radius: 10,
    fill: new Fill({ color: colour }),
    stroke: new Stroke({ color: inkOn(colour), width: 1.5 }),
  });
}
