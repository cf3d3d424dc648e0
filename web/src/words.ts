// Numbers as people read them.

const grouped = new Intl.NumberFormat("en-GB");

export function count(value: number): string {
  return grouped.format(value);
}

/** "1 pixel", "2 pixels" */
export function many(value: number, one: string, more = `${one}s`): string {
  return `${count(value)} ${value === 1 ? one : more}`;
}

export function hectares(value: number): string {
  const digits = value >= 100 ? 0 : value >= 10 ? 1 : 2;
  return `${value.toLocaleString("en-GB", { minimumFractionDigits: digits, maximumFractionDigits: digits })} ha`;
}

export function percent(share: number, digits = 1): string {
  return `${(share * 100).toFixed(digits)} %`;
}

/** The area of pixels: hectares where a pixel has a size, and always a share of all. */
export function area(pixels: number, all: number, pixelHa: number | null): string {
  const share = all > 0 ? percent(pixels / all) : "0 %";
  return pixelHa === null ? `${many(pixels, "pixel")} (${share})` : `${hectares(pixels * pixelHa)} (${share})`;
}

export function degrees(lon: number, lat: number): string {
  const east = `${Math.abs(lon).toFixed(5)} ${lon < 0 ? "W" : "E"}`;
  const north = `${Math.abs(lat).toFixed(5)} ${lat < 0 ? "S" : "N"}`;
  return `${north}, ${east}`;
}

export function metres(value: number): string {
  return value.toLocaleString("en-GB", { maximumFractionDigits: 1, useGrouping: false });
}

/** What is said of an answer from the overview; `going`: the one from every pixel is on its way. */
export function overviewNote(result: { z: number } | null, going: boolean): string {
  if (!result || result.z === 0) return "";
  return going ? "From the overview, refining to every pixel." : "From the overview: not every pixel was compared.";
}
