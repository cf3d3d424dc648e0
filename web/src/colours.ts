// Colours of classes, ramps and how raw tiles become RGBA. Pixels are 32-bit words 0xAABBGGRR (little endian).

/** Okabe and Ito: told apart by most colour-blind people. Their grey is dark enough for the grey picture below. */
export const CLASS_COLOURS = ["#E69F00", "#56B4E9", "#009E73", "#F0E442", "#0072B2", "#D55E00", "#CC79A7", "#5A5A5A"];

export type Rgb = [number, number, number];

export function rgb(hex: string): Rgb {
  const value = Number.parseInt(hex.slice(1), 16);
  return [(value >> 16) & 255, (value >> 8) & 255, value & 255];
}

export function word([red, green, blue]: Rgb, alpha = 255): number {
  return ((alpha << 24) | (blue << 16) | (green << 8) | red) >>> 0;
}

/** Black or white, whichever is easier to read on a colour. */
export function inkOn(hex: string): string {
  const [red, green, blue] = rgb(hex).map((value) => {
    const share = value / 255;
    return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
  }) as Rgb;
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue > 0.179 ? "#000000" : "#ffffff";
}

function between(stops: Rgb[], share: number): Rgb {
  const at = Math.min(Math.max(share, 0), 1) * (stops.length - 1);
  const first = Math.min(Math.floor(at), stops.length - 2);
  return [0, 1, 2].map((band) => {
    const low = stops[first]![band]!;
    return Math.round(low + (stops[first + 1]![band]! - low) * (at - first));
  }) as Rgb;
}

/** Matches: pale yellow at the threshold to purple at the best. Its lightness falls all the way. */
const MATCH: Rgb[] = [
  [255, 224, 102],
  [248, 150, 64],
  [214, 72, 88],
  [140, 30, 120],
  [84, 15, 109],
];

/** Counts: Viridis at 0, 1/4, 1/2, 3/4 and 1. */
const COUNTS: Rgb[] = [
  [68, 1, 84],
  [59, 82, 139],
  [33, 145, 140],
  [94, 201, 98],
  [253, 231, 37],
];

/** Clear dates of a year that are painted in the last colour: more tell a person nothing. */
export const MOST_DATES = 40;

export function css(colour: Rgb): string {
  return `rgb(${colour.join(",")})`;
}

export const countColour = (share: number): Rgb => between(COUNTS, share);

/** Lowest and highest value that a tile of a result can hold: its raw values 1 and 65535; 0 is no data. */
export type Span = [number, number];

const STEPS = 65534;

/** What a raw value of a tile means. */
export const valueOf = (raw: number, [low, high]: Span): number => low + ((raw - 1) / STEPS) * (high - low);

/** The lowest raw value that is at least a value. Values of the slider are bounds of the histogram's bins: so is this. */
export function rawOf(value: number, [low, high]: Span): number {
  const steps = Math.ceil(((value - low) / (high - low)) * STEPS - 1e-6);
  return 1 + Math.min(Math.max(steps, 0), STEPS);
}

export type Paint = (raw: ArrayBuffer, pixels: Uint32Array) => void;

export const paintColours: Paint = (raw, pixels) => pixels.set(new Uint32Array(raw));

const MATCH_SHADES = 256;

const matchWords = Uint32Array.from({ length: MATCH_SHADES }, (_, n) => word(between(MATCH, n / (MATCH_SHADES - 1)), 235));

const countWords = Uint32Array.from({ length: MOST_DATES + 1 }, (_, n) => word(countColour(n / MOST_DATES)));

export const paintObservations: Paint = (raw, pixels) => {
  const counts = new Uint16Array(raw);
  for (let i = 0; i < pixels.length; i++) pixels[i] = countWords[Math.min(counts[2 * i]!, MOST_DATES)]!;
};

/** Paints values by a table of all raw values, so that a new threshold costs no arithmetic for each pixel. */
export class MatchPainter {
  private readonly table = new Uint32Array(65536);

  /** The threshold gets the first colour, the best value the last, what is below the threshold none. */
  set(threshold: number, best: number, span: Span): void {
    const first = rawOf(threshold, span);
    const last = Math.max(rawOf(best, span), first + 1);
    const shades = (MATCH_SHADES - 1) / (last - first);
    this.table.fill(0, 0, first);
    for (let raw = first; raw <= last; raw++) this.table[raw] = matchWords[Math.round((raw - first) * shades)]!;
    this.table.fill(matchWords[MATCH_SHADES - 1]!, last + 1);
  }

  readonly paint: Paint = (raw, pixels) => {
    const values = new Uint16Array(raw);
    for (let i = 0; i < pixels.length; i++) pixels[i] = this.table[values[i]!]!;
  };
}

/** Paints classes; where `unsure`, the less sure a pixel is, the more of the picture below shows through. */
export class ClassPainter {
  private readonly table = new Uint32Array(65536);

  set(colours: string[], unsure: boolean): void {
    this.table.fill(0);
    colours.forEach((colour, index) => {
      for (let margin = 0; margin < 256; margin++) {
        const alpha = unsure ? Math.round(255 * Math.min(margin / SURE, 1) ** 2) : 255;
        this.table[(index + 1) | (margin << 8)] = word(rgb(colour), alpha);
      }
    });
  }

  readonly paint: Paint = (raw, pixels) => {
    const values = new Uint16Array(raw);
    for (let i = 0; i < pixels.length; i++) pixels[i] = this.table[values[i]!]!;
  };
}

/** From this margin on (of 255) a class is painted in full. */
export const SURE = 128;

/** Below this margin (of 255) the page calls a pixel unsure. */
export const UNSURE = 64;
