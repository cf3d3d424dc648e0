// Live classes in the page: by the nearest class mean, and by ridge regression from three labels a class on.

import type { Codes } from "./compute";
import { fromCrs } from "./geometry";
import type { LabelDocument, NextPixel, Output } from "./source";

/** Labels that each class needs for ridge regression. */
const ENOUGH = 3;

/** Weight of the penalty, for unit vectors. */
const RIDGE = 0.1;

/** Pixels that are proposed to label next, and the least distance between two of them, as a share of the side. */
const PROPOSED = 20;
const APART = 1 / 12;

export interface Learned {
  method: "mean" | "ridge";
  /** (pixels) low byte: class, from 1; high byte: margin */
  stored: Uint16Array;
  /** Pixels of each class; [0]: without data */
  counts: number[];
  next: NextPixel[];
}

export function learn(codes: Codes, output: Output, document: LabelDocument): Learned {
  const places = document.classes.map((one) => labelledPixels(document, one.id, output, codes));
  const labelled = places.flatMap((some, at) => (some.length ? [at] : []));
  const few = labelled.some((at) => places[at]!.length < ENOUGH);
  const { dim } = codes;
  const weights = few ? means(codes, places) : ridge(codes, places, labelled);
  const stored = new Uint16Array(codes.scales.length);
  const counts = new Array<number>(document.classes.length + 1).fill(0);
  const scores = new Float64Array(labelled.length);
  for (let pixel = 0; pixel < stored.length; pixel++) {
    if (!Number.isFinite(codes.scales[pixel])) {
      counts[0]!++;
      continue;
    }
    const from = pixel * dim;
    let squares = 0;
    for (let k = from; k < from + dim; k++) squares += codes.codes[k]! * codes.codes[k]!;
    const length = Math.sqrt(squares) || 1;
    let best = 0;
    let second = -1;
    for (let at = 0; at < labelled.length; at++) {
      const row = weights[labelled[at]!]!;
      let sum = 0;
      for (let k = 0; k < dim; k++) sum += codes.codes[from + k]! * row[k]!;
      scores[at] = sum / length + row[dim]!;
      if (at === 0) continue;
      if (scores[at]! > scores[best]!) {
        second = best;
        best = at;
      } else if (second < 0 || scores[at]! > scores[second]!) second = at;
    }
    const margin = second < 0 ? 1 : scores[best]! - scores[second]!;
    const one = labelled[best]! + 1;
    counts[one]!++;
    stored[pixel] = one | (Math.round(255 * Math.min(margin * (few ? 4 : 1), 1)) << 8);
  }
  return { method: few ? "mean" : "ridge", stored, counts, next: propose(stored, output, places.flat()) };
}

/** Places of the pixels with data that a class's points and polygons label. */
function labelledPixels(document: LabelDocument, id: string, output: Output, codes: Codes): number[] {
  const found = new Set<number>();
  for (const label of document.labels) {
    if (label.class !== id) continue;
    if (label.kind === "point") found.add(label.row * output.width + label.col);
    else for (const at of inside(label.ring, output)) found.add(at);
  }
  return [...found].filter((at) => Number.isFinite(codes.scales[at]));
}

/** Pixels whose centre lies in a ring, by counting crossings to its left. */
function inside(ring: [number, number][], output: Output): number[] {
  const corners = ring.map((corner) => {
    const [x, y] = fromCrs(corner, output);
    return [x, -y] as const;
  });
  const found: number[] = [];
  const rows = corners.map(([, y]) => y);
  const last = Math.min(output.height - 1, Math.floor(Math.max(...rows)));
  for (let row = Math.max(0, Math.floor(Math.min(...rows))); row <= last; row++) {
    const y = row + 0.5;
    const crossings: number[] = [];
    corners.forEach(([x0, y0], at) => {
      const [x1, y1] = corners[(at + 1) % corners.length]!;
      if (y0 <= y !== y1 <= y) crossings.push(x0 + ((y - y0) / (y1 - y0)) * (x1 - x0));
    });
    crossings.sort((a, b) => a - b);
    for (let pair = 0; pair + 1 < crossings.length; pair += 2) {
      const first = Math.max(0, Math.ceil(crossings[pair]! - 0.5));
      const end = Math.min(output.width - 1, Math.ceil(crossings[pair + 1]! - 0.5) - 1);
      for (let col = first; col <= end; col++) found.push(row * output.width + col);
    }
  }
  return found;
}

/** Unit vector of a pixel, with a 1 for the constant at its end. */
function unit({ codes, dim }: Codes, at: number): Float64Array {
  const vector = new Float64Array(dim + 1);
  let squares = 0;
  for (let k = 0; k < dim; k++) squares += codes[at * dim + k]! ** 2;
  const length = Math.sqrt(squares) || 1;
  for (let k = 0; k < dim; k++) vector[k] = codes[at * dim + k]! / length;
  vector[dim] = 1;
  return vector;
}

/** For each class the unit mean of its unit vectors: the score is the cosine to it. */
function means(codes: Codes, places: number[][]): Float64Array[] {
  return places.map((some) => {
    const mean = new Float64Array(codes.dim + 1);
    for (const at of some) unit(codes, at).forEach((value, k) => (mean[k]! += value));
    mean[codes.dim] = 0;
    const length = Math.sqrt(mean.reduce((sum, value) => sum + value * value, 0)) || 1;
    return mean.map((value) => value / length);
  });
}

/** Least squares to 1 for a class's labels and 0 for the others', classes weighted alike, with a penalty on the weights. */
function ridge(codes: Codes, places: number[][], labelled: number[]): Float64Array[] {
  const size = codes.dim + 1;
  const normal = Array.from({ length: size }, () => new Float64Array(size));
  const right = places.map(() => new Float64Array(size));
  for (const at of labelled) {
    const weight = 1 / places[at]!.length;
    for (const place of places[at]!) {
      const vector = unit(codes, place);
      for (let i = 0; i < size; i++) {
        right[at]![i]! += weight * vector[i]!;
        for (let j = 0; j <= i; j++) normal[i]![j]! += weight * vector[i]! * vector[j]!;
      }
    }
  }
  for (let i = 0; i < codes.dim; i++) normal[i]![i]! += RIDGE;
  normal[codes.dim]![codes.dim]! += 1e-9;
  return solve(normal, right);
}

/** Solve a symmetric system, given by its lower half, for several right sides: Cholesky, in place. */
function solve(lower: Float64Array[], right: Float64Array[]): Float64Array[] {
  const size = lower.length;
  for (let i = 0; i < size; i++) {
    for (let j = 0; j <= i; j++) {
      let sum = lower[i]![j]!;
      for (let k = 0; k < j; k++) sum -= lower[i]![k]! * lower[j]![k]!;
      lower[i]![j] = i === j ? Math.sqrt(Math.max(sum, 1e-12)) : sum / lower[j]![j]!;
    }
  }
  for (const side of right) {
    for (let i = 0; i < size; i++) {
      for (let k = 0; k < i; k++) side[i]! -= lower[i]![k]! * side[k]!;
      side[i]! /= lower[i]![i]!;
    }
    for (let i = size - 1; i >= 0; i--) {
      for (let k = i + 1; k < size; k++) side[i]! -= lower[k]![i]! * side[k]!;
      side[i]! /= lower[i]![i]!;
    }
  }
  return right;
}

/** The pixels that the map is least sure of, spread out, and none that is labelled. */
function propose(stored: Uint16Array, output: Output, labelled: number[]): NextPixel[] {
  const taken = new Set(labelled);
  const order = Array.from(stored.keys()).filter((at) => stored[at]! > 0 && !taken.has(at));
  order.sort((a, b) => stored[a]! - (stored[a]! & 255) - (stored[b]! - (stored[b]! & 255)) || a - b);
  const apart = Math.max(2, APART * Math.max(output.width, output.height));
  const found: NextPixel[] = [];
  for (const at of order) {
    const col = at % output.width;
    const row = Math.floor(at / output.width);
    if (found.some((one) => Math.hypot(one.col - col, one.row - row) < apart)) continue;
    found.push({ col, row, margin: (stored[at]! >> 8) / 255 });
    if (found.length === PROPOSED) break;
  }
  return found;
}
