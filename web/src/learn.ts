// Live classes in the page, as tessera_engine/view/classes.py learns them: by the nearest class mean, and by ridge
// regression from three labels a class on, on average.

import type { Codes } from "./compute";
import { fromCrs } from "./geometry";
import type { LabelDocument, NextPixel, Output } from "./source";

/** Labelled pixels a class, on average, from which on ridge regression is more accurate than class means. */
const ENOUGH = 3;

/** Strength of the regression, in mean eigenvalues of the labelled directions' covariance. */
const RIDGE = 0.01;

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

/** What gives pixels their classes: the largest of weights * direction + bias. */
interface Scorer {
  method: "mean" | "ridge";
  weights: Float64Array[];
  bias: number[];
  /** The factor of the difference between the scores of the first and the second class that makes a margin of 1 */
  sure: number[][];
}

export function learn(codes: Codes, output: Output, document: LabelDocument): Learned {
  const places = agreed(document.classes.map((one) => labelledPixels(document, one.id, output, codes)));
  const labelled = places.flatMap((some, at) => (some.length ? [at] : []));
  const some = labelled.map((at) => places[at]!);
  const few = some.length < 2 || some.flat().length < ENOUGH * some.length;
  const { method, weights, bias, sure } = few ? means(codes, some) : ridge(codes, some);
  const { dim } = codes;
  const stored = new Uint16Array(codes.scales.length);
  const counts = new Array<number>(document.classes.length + 1).fill(0);
  const vector = new Float64Array(dim);
  for (let pixel = 0; pixel < stored.length; pixel++) {
    if (!Number.isFinite(codes.scales[pixel])) {
      counts[0]!++;
      continue;
    }
    for (let k = 0; k < dim; k++) vector[k] = codes.codes[pixel * dim + k]!;
    const length = Math.sqrt(dot(vector, vector)) || 1;
    let [first, second, best, nextBest] = [0, 0, -Infinity, -Infinity];
    for (let at = 0; at < weights.length; at++) {
      const score = dot(vector, weights[at]!) / length + bias[at]!;
      if (score > best) [nextBest, second, best, first] = [best, first, score, at];
      else if (score > nextBest) [nextBest, second] = [score, at];
    }
    const number = labelled[first]! + 1;
    const margin = weights.length > 1 ? (best - nextBest) * sure[first]![second]! : 0;
    counts[number]!++;
    stored[pixel] = number | (Math.round(255 * Math.min(Math.max(margin, 0), 1)) << 8);
  }
  return { method, stored, counts, next: propose(stored, output, places.flat()) };
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

/** Without the places that have labels of different classes. */
function agreed(places: number[][]): number[][] {
  const classes = new Map<number, number>();
  for (const some of places) for (const at of some) classes.set(at, (classes.get(at) ?? 0) + 1);
  return places.map((some) => some.filter((at) => classes.get(at) === 1));
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

/** The embedding of a pixel at length 1. */
function direction({ codes, dim }: Codes, at: number): Float64Array {
  return scaled(Float64Array.from(codes.subarray(at * dim, (at + 1) * dim)));
}

/** In four sums, which do not wait for each other. */
function dot(a: Float64Array, b: Float64Array): number {
  const whole = a.length & ~3;
  let [s0, s1, s2, s3] = [0, 0, 0, 0];
  for (let k = 0; k < whole; k += 4) {
    s0 += a[k]! * b[k]!;
    s1 += a[k + 1]! * b[k + 1]!;
    s2 += a[k + 2]! * b[k + 2]!;
    s3 += a[k + 3]! * b[k + 3]!;
  }
  for (let k = whole; k < a.length; k++) s0 += a[k]! * b[k]!;
  return s0 + s1 + s2 + s3;
}

function scaled(vector: Float64Array): Float64Array {
  const length = Math.sqrt(dot(vector, vector));
  return length > 0 ? vector.map((value) => value / length) : vector;
}

function means(codes: Codes, places: number[][]): Scorer {
  const weights = places.map((some) => {
    const sum = new Float64Array(codes.dim);
    for (const at of some) direction(codes, at).forEach((value, k) => (sum[k]! += value));
    return scaled(sum);
  });
  // At the mean of a class, the other is this far behind
  const sure = weights.map((one) => weights.map((other) => (1 - dot(one, other) > 1e-9 ? 1 / (1 - dot(one, other)) : 0)));
  return { method: "mean", weights, bias: weights.map(() => 0), sure };
}

/** Least squares to 1 for a class's labels and 0 for the others', classes weighted alike, with a penalty on the weights. */
function ridge(codes: Codes, places: number[][]): Scorer {
  const classes = places.length;
  const labels = places.flatMap((some, one) => some.map((at) => ({ one, vector: direction(codes, at) })));
  const count = labels.length;
  const weight = places.map((some) => count / (classes * some.length));
  const centre = new Float64Array(codes.dim);
  for (const { one, vector } of labels) vector.forEach((value, k) => (centre[k]! += (weight[one]! * value) / count));
  const mean = 1 / classes;
  const rows = labels.map(({ one, vector }) => vector.map((value, k) => (value - centre[k]!) * Math.sqrt(weight[one]!)));
  const targets = places.map((_, wanted) =>
    Float64Array.from(labels, ({ one }) => ((one === wanted ? 1 : 0) - mean) * Math.sqrt(weight[one]!)),
  );
  // Of the two forms the one with the smaller matrix
  const columns = Array.from({ length: codes.dim }, (_, k) => Float64Array.from(rows, (row) => row[k]!));
  const dual = count <= codes.dim;
  const sides = dual ? rows : columns;
  const gram = sides.map((one, i) => Float64Array.from({ length: sides.length }, (_, j) => (j <= i ? dot(one, sides[j]!) : 0)));
  const trace = gram.reduce((sum, row, i) => sum + row[i]!, 0);
  const penalty = Math.max((RIDGE * trace) / gram.length, 1e-12);
  gram.forEach((row, i) => (row[i]! += penalty));
  const project = (target: Float64Array): Float64Array => Float64Array.from(columns, (column) => dot(column, target));
  const weights = dual ? solve(gram, targets).map(project) : solve(gram, targets.map(project));
  const sure = weights.map(() => weights.map(() => 1));
  return { method: "ridge", weights, bias: weights.map((row) => mean - dot(centre, row)), sure };
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
  order.sort((a, b) => (stored[a]! >> 8) - (stored[b]! >> 8) || a - b);
  const apart = Math.max(2, APART * Math.max(output.width, output.height));
  const found: NextPixel[] = [];
  for (const at of order) {
    const col = at % output.width;
    const row = Math.floor(at / output.width);
    if (found.some((one) => Math.hypot(one.col - col, one.row - row) < apart)) continue;
    found.push({ col, row, margin: stored[at]! >> 8 });
    if (found.length === PROPOSED) break;
  }
  return found;
}
