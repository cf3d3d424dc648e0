// Decodes numbers and codebooks by the decoder of the Tessera Embeddings Explorer: node vq_client.mjs DECODER FOLDER
import { readFileSync, writeFileSync } from "node:fs";

const [decoder, folder] = process.argv.slice(2);
const source = readFileSync(decoder, "utf8");
// A module, whatever the package around it says
const { decodeCodebook, reconstructFloatMosaic } = await import(
  "data:text/javascript;base64," + Buffer.from(source).toString("base64")
);
const about = JSON.parse(readFileSync(`${folder}/about.json`, "utf8"));
const bytes = (name) => new Uint8Array(readFileSync(`${folder}/${name}.bin`));
const floats = (name) => new Float32Array(bytes(name).buffer);
const tiles = about.nTileRows * about.nTileCols;
const book = (name, words) =>
  decodeCodebook(bytes(name), floats(`${name}_range`), tiles, words, about.dim);
const mosaic = reconstructFloatMosaic({
  ...about,
  idx1: bytes("number1"),
  idx2: bytes("number2"),
  cb1Float: book("codebook1", about.k1),
  cb2Float: book("codebook2", about.k2),
});
writeFileSync(`${folder}/mosaic.bin`, Buffer.from(mosaic.buffer));
