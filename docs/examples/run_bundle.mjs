// A model of mediseg without mediseg: the bundle's folder (ONNX and metadata) and an ONNX Runtime, here Node.js.
//   npm install --ignore-scripts onnxruntime-node
//   node run_bundle.mjs models/callosum-unet slice.f32 ROWS COLUMNS probability.f32
// slice.f32: 32-bit floats, little endian, row by row, on the bundle's grid (metadata: spacing_mm, orientation).
// probability.f32: the network's answer on the same pixels, as mediseg.inference.predict gives it. Research use only.
import { createHash } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";

process.env.ORT_DISABLE_TELEMETRY = "1"; // else ONNX Runtime tells Microsoft what it is used for
const ort = createRequire(join(process.cwd(), "x.js"))("onnxruntime-node");

// numpy.percentile: linear between the two nearest ranks
function percentile(sorted, percent) {
  const at = ((sorted.length - 1) * percent) / 100;
  const low = Math.floor(at);
  const high = Math.min(low + 1, sorted.length - 1);
  return sorted[low] + (sorted[high] - sorted[low]) * (at - low);
}

// percentiles of the pixels that are not 0 become 0 and 1; then clipped; an image without contrast becomes zeros
function normalized(pixels, { low, high, clip }) {
  const values = Float64Array.from(pixels).filter((v) => v !== 0).sort();
  const bottom = values.length ? percentile(values, low) : 0;
  const top = values.length ? percentile(values, high) : 0;
  if (!(top > bottom)) return new Float32Array(pixels.length);
  return Float32Array.from(pixels, (v) => Math.min(Math.max((v - bottom) / (top - bottom), clip[0]), clip[1]));
}

// zeros below and to the right until both sides are multiples of what the network takes
function padded(pixels, rows, columns, multiple) {
  const [high, wide] = [rows, columns].map((n) => Math.ceil(n / multiple) * multiple);
  const larger = new Float32Array(high * wide);
  for (let r = 0; r < rows; r++) larger.set(pixels.subarray(r * columns, (r + 1) * columns), r * wide);
  return [larger, high, wide];
}

const [folder, source, rowsText, columnsText, target] = process.argv.slice(2);
if (!target) throw new Error("usage: node run_bundle.mjs BUNDLE slice.f32 ROWS COLUMNS probability.f32");
const [rows, columns] = [Number(rowsText), Number(columnsText)];
const { mediseg } = JSON.parse(readFileSync(join(folder, "configs", "metadata.json"), "utf8"));
const model = readFileSync(join(folder, "models", "model.onnx"));
if (createHash("sha256").update(model).digest("hex") !== mediseg.sha256) throw new Error("the model is not the bundle's");

const bytes = readFileSync(source);
if (bytes.length !== 4 * rows * columns) throw new Error("the slice has not ROWS x COLUMNS pixels");
const pixels = new Float32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length));
const [image, high, wide] = padded(normalized(pixels, mediseg.input.normalize), rows, columns, mediseg.input.pad_multiple);

const session = await ort.InferenceSession.create(model, { intraOpNumThreads: 1 });
const answers = await session.run({ [mediseg.input.name]: new ort.Tensor("float32", image, [1, 1, high, wide]) });
const answer = answers[mediseg.output.name].data;
const probability = new Float32Array(rows * columns);
for (let r = 0; r < rows; r++) probability.set(answer.subarray(r * wide, r * wide + columns), r * columns);
writeFileSync(target, Buffer.from(probability.buffer));
console.log(`highest probability ${Math.max(...probability).toFixed(4)}, runtime ${ort.env.versions?.node ?? "onnxruntime-node"}`);
