// Runs an artifact with ONNX Runtime Web or LiteRT.js, on the CPU.

import { fixBatchSize, readMetadata } from "./metadata.js";

const MODULES = new URL("node_modules/", import.meta.url).href;
const ARRAYS = { float32: Float32Array, uint8: Uint8Array };

/** The runtimes: the artifact's file, and how it is opened. */
export const RUNTIMES = {
  onnx: { name: "ONNX Runtime", file: "model.onnx", open: openOnnx },
  tflite: { name: "LiteRT", file: "model.tflite", open: openTflite },
};

/** Return `{ image, scores, run }`: the metadata of the input and output, and
 * a function from the values of one image to its scores. */
export async function openModel(folder, format) {
  const { file, open } = RUNTIMES[format];
  const response = await fetch(new URL(file, folder));
  if (!response.ok) {
    throw new Error(`There is no ${file} in ${folder}: run make demo first.`);
  }
  const bytes = new Uint8Array(await response.arrayBuffer());
  const metadata = readMetadata(bytes, format);
  const [image] = metadata?.inputs ?? [];
  const scores = metadata?.outputs.find((output) => output.labels);
  if (!image?.preprocessing || !scores || !(image.dtype in ARRAYS)) {
    throw new Error(
      `${file} does not say how images become its input: export the model ` +
        "with preprocess and labels.",
    );
  }
  const shape = image.shape.map((size) => size ?? 1);
  const run = await open(bytes, image, scores, shape);
  return {
    ...{ image, scores },
    run: (values) => run(ARRAYS[image.dtype].from(values)),
  };
}

async function openOnnx(bytes, image, scores, shape) {
  const dist = `${MODULES}onnxruntime-web/dist/`;
  const ort = await import(`${dist}ort.wasm.bundle.min.mjs`);
  ort.env.wasm.wasmPaths = dist;
  ort.env.wasm.numThreads = 1; // more need cross-origin isolation
  const session = await ort.InferenceSession.create(bytes);
  return async (values) => {
    const input = new ort.Tensor(image.dtype, values, shape);
    const results = await session.run({ [image.name]: input });
    return results[scores.name].data;
  };
}

let loadedLiteRt = null;

async function openTflite(bytes, image, scores, shape) {
  const { Tensor, loadAndCompile, loadLiteRt } = await import("@litertjs/core");
  loadedLiteRt ??= loadLiteRt(`${MODULES}@litertjs/core/wasm/`);
  await loadedLiteRt;
  fixBatchSize(bytes); // LiteRT.js refuses inputs of any batch size
  const model = await loadAndCompile(bytes, { accelerator: "wasm" });
  return async (values) => {
    const input = new Tensor(values, shape);
    const results = await model.run({ [image.name]: input });
    const found = results[scores.name].toTypedArray().slice();
    for (const tensor of [input, ...Object.values(results)]) tensor.delete();
    return found;
  };
}
