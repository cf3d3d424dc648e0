// Arrays from base64, without a text as long as the array in between.

/** Letters that are decoded at a time; a multiple of four. */
const PART = 1 << 20;

export function decodeBytes(text: string): Uint8Array<ArrayBuffer> {
  const padding = text.endsWith("==") ? 2 : text.endsWith("=") ? 1 : 0;
  const bytes = new Uint8Array((text.length / 4) * 3 - padding);
  let at = 0;
  for (let start = 0; start < text.length; start += PART) {
    const part = atob(text.slice(start, start + PART));
    for (let i = 0; i < part.length; i++) bytes[at++] = part.charCodeAt(i);
  }
  return bytes;
}

export const decodeCodes = (text: string): Int8Array => new Int8Array(decodeBytes(text).buffer);
export const decodeFloats = (text: string): Float32Array => new Float32Array(decodeBytes(text).buffer);
export const decodeShorts = (text: string): Uint16Array => new Uint16Array(decodeBytes(text).buffer);
