// Outlines of fields over the map: a layer, and the field at a place.

import Feature from "ol/Feature";
import MultiPolygon from "ol/geom/MultiPolygon";
import VectorImageLayer from "ol/layer/VectorImage";
import VectorSource from "ol/source/Vector";
import Stroke from "ol/style/Stroke";
import Style from "ol/style/Style";

import { centre, fromCrs, sameRing, type Xy } from "./geometry";
import type { Output, Pixel, Segment } from "./source";

/** Dark and light, so that they are seen on every picture. */
const LINES = [
  new Style({ stroke: new Stroke({ color: "#000000b3", width: 3 }) }),
  new Style({ stroke: new Stroke({ color: "#f0e442", width: 1.5 }) }),
];

/** Rings without holes that cover a field: labels have no holes. */
export function piecesOf({ polygons, pieces }: Segment): Xy[][] {
  return pieces ?? polygons.map((rings) => rings[0]!);
}

export class SegmentLayer {
  private readonly outlines = new VectorSource<Feature<MultiPolygon>>();
  /** An image, because thousands of outlines take too long to draw anew while the map is dragged */
  readonly layer = new VectorImageLayer({ source: this.outlines, style: LINES, imageRatio: 1.5 });
  private segments: Segment[] = [];

  set(segments: Segment[], output: Output): void {
    this.segments = segments;
    this.outlines.clear();
    this.outlines.addFeatures(
      segments.map(({ polygons }, at) => {
        const onMap = polygons.map((rings) =>
          rings.map((ring) => [...ring, ring[0]!].map((corner) => fromCrs(corner, output))),
        );
        const feature = new Feature(new MultiPolygon(onMap));
        feature.setId(at);
        return feature;
      }),
    );
  }

  /** The field that a pixel's centre lies in; of several the smallest. */
  at(pixel: Pixel): Segment | undefined {
    const over = this.outlines.getFeaturesAtCoordinate(centre(pixel));
    // They come from the largest to the smallest
    return over.length ? this.segments[Math.max(...over.map((one) => Number(one.getId())))] : undefined;
  }

  /** The field that a ring is, or a piece of. */
  of(ring: Xy[]): Segment | undefined {
    return this.segments.find((field) => piecesOf(field).some((piece) => sameRing(piece, ring)));
  }
}
