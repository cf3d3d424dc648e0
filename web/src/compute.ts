// Cosines of many codes to a few. A pixel's scale cancels in the cosine: the codes are enough, and sums of their products
// are whole numbers, exact in any order.

export interface Codes {
  /** (pixels, dim) int8 */
  codes: Int8Array;
  /** (pixels) float32, NaN without data */
  scales: Float32Array;
  dim: number;
}

/**
 * Each pixel's cosine to the most similar of some pixels, -1 where an unwanted one is more similar.
 * Pixels are given by their places in the arrays. (pixels) float32, NaN without data.
 */
export function ask(codes: Codes, wanted: number[], unwanted: number[]): Float32Array {
  const found = closest(codes, wanted);
  if (!unwanted.length) return found;
  const other = closest(codes, unwanted);
  for (let pixel = 0; pixel < found.length; pixel++) if (other[pixel]! > found[pixel]!) found[pixel] = -1;
  return found;
}

function closest({ codes, scales, dim }: Codes, places: number[]): Float32Array {
  const queries = places.map((at) => Int32Array.from(codes.subarray(at * dim, (at + 1) * dim)));
  const lengths = queries.map((query) => query.reduce((sum, code) => sum + code * code, 0));
  const found = new Float32Array(scales.length);
  for (let pixel = 0; pixel < scales.length; pixel++) {
    const from = pixel * dim;
    if (!Number.isFinite(scales[pixel])) {
      found[pixel] = Number.NaN;
      continue;
    }
    let squares = 0;
    for (let k = from; k < from + dim; k++) squares += codes[k]! * codes[k]!;
    let best = -1;
    for (let q = 0; q < queries.length; q++) {
      const query = queries[q]!;
      let product = 0;
      for (let k = 0; k < dim; k++) product += codes[from + k]! * query[k]!;
      const cosine = squares > 0 ? product / Math.sqrt(squares * lengths[q]!) : 0;
      if (cosine > best) best = cosine;
    }
    found[pixel] = best;
  }
  return found;
}
