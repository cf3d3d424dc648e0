// Pixels and coordinates. The map's own coordinates are columns to the right and rows down, so y = -row: every grid,
// rotated ones too, is shown as it is stored, and nothing is warped.

import type { Output, Pixel } from "./source";

export type Xy = [number, number];

export function centre({ col, row }: Pixel): Xy {
  return [col + 0.5, -(row + 0.5)];
}

/** The pixel below a point of the map; null: outside of the output. */
export function pixelAt(point: number[], output: Output): Pixel | null {
  const col = Math.floor(point[0]!);
  const row = Math.floor(-point[1]!);
  return col >= 0 && row >= 0 && col < output.width && row < output.height ? { col, row } : null;
}

export function samePixel(a: Pixel, b: Pixel): boolean {
  return a.col === b.col && a.row === b.row;
}

/** A point of the map in the output's CRS. */
export function toCrs(point: number[], output: Output): Xy {
  const [a, b, c, d, e, f] = output.transform;
  const [col, row] = [point[0]!, -point[1]!];
  return [a * col + b * row + c, d * col + e * row + f];
}

/** A point of the output's CRS on the map. */
export function fromCrs([x, y]: Xy, output: Output): Xy {
  const [a, b, c, d, e, f] = output.transform;
  const whole = a * e - b * d;
  return [(e * (x - c) - b * (y - f)) / whole, -((a * (y - f) - d * (x - c)) / whole)];
}

/** Whether a point lies in a ring: how often the ring crosses the line to the right of the point. */
export function contains(ring: Xy[], [x, y]: Xy): boolean {
  let odd = false;
  ring.forEach(([x0, y0], at) => {
    const [x1, y1] = ring[(at + 1) % ring.length]!;
    if (y0 <= y !== y1 <= y && x < x0 + ((y - y0) / (y1 - y0)) * (x1 - x0)) odd = !odd;
  });
  return odd;
}

/** Whether two rings have the same corners in the same order. */
export function sameRing(a: Xy[], b: Xy[]): boolean {
  return a.length === b.length && a.every(([x, y], at) => x === b[at]![0] && y === b[at]![1]);
}

/** Pixels of the output that a pixel of one of its levels stands for. */
export function standsFor({ width, height, levels }: Output, z: number): number {
  const level = levels[z];
  return level ? (width * height) / (level.width * level.height) : 1;
}

/** Metres along the side of a pixel; null where the output has no size on the ground. */
export function pixelMetres(output: Output): number | null {
  return output.pixel_ha === null ? null : Math.sqrt(output.pixel_ha * 10_000);
}
