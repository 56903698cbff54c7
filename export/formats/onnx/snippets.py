"""Programs that run an ONNX artifact without this package.

`bundle/snippets.py` fills in the names that begin with a dollar sign.
"""

from keras_inception_export.formats.snippets import python_program

PYTHON = python_program(
    package="onnxruntime",
    import_runtime="import onnxruntime",
    open_artifact="session = onnxruntime.InferenceSession($file_text)",
    compute_scores="(scores,) = session.run([$output], {$input: read(path)})",
)

JAVASCRIPT = """// Run $file on images: npm install onnxruntime-node sharp
//
//     node predict.cjs photo.jpg

const ort = require("onnxruntime-node");
const sharp = require("sharp");

const LABELS = $labels;
const SIZE = $size; // height and width; null: those of the image
const CHANNELS = $channels; // $color
const DIVISOR = $divisor, MEAN = $mean, STD = $std;
const CHANNELS_FIRST = $channels_first;

async function read(path) {
  let image = sharp(path).rotate().removeAlpha().toColourspace("srgb");
  if (SIZE) {
    const [height, width] = SIZE;
    image = image.resize({
      ...{ width, height, fit: "$fit", kernel: "$kernel" },
      background: "black",
    });
  }
  const options = { resolveWithObject: true };
  const { data, info } = await image.raw().toBuffer(options);
  const { width, height } = info;
  const area = width * height;
  const values = new $array($batch * area * CHANNELS);
  for (let i = 0; i < area; i++) {
    const [r, g, b] = data.subarray(3 * i, 3 * i + 3);
    const pixel = $pixel;
    for (let c = 0; c < CHANNELS; c++) {
      const at = CHANNELS_FIRST ? c * area + i : i * CHANNELS + c;
      values[at] = (pixel[c] / DIVISOR - MEAN[c]) / STD[c];
    }
  }
  const shape = CHANNELS_FIRST
    ? [$batch, CHANNELS, height, width]
    : [$batch, height, width, CHANNELS];
  return new ort.Tensor("$dtype", values, shape);
}

async function main() {
  const session = await ort.InferenceSession.create($file_text);
  for (const path of process.argv.slice(2)) {
    const feeds = { [$input]: await read(path) };
    const scores = (await session.run(feeds))[$output].data;
    const order = [...LABELS.keys()].sort((i, j) => scores[j] - scores[i]);
    for (const i of order.slice(0, 3)) {
      console.log(path, LABELS[i], scores[i].toFixed(4));
    }
  }
}

main();
"""

CPP = """// Run $file on an image of the model's size as a PPM (P6):
//
//     magick photo.jpg -auto-orient $magick photo.ppm
//     g++ -std=c++17 predict.cpp -I $$ORT/include -L $$ORT/lib -lonnxruntime
//     ./a.out photo.ppm

#include <onnxruntime_cxx_api.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <numeric>
#include <string>
#include <vector>

const std::vector<std::string> LABELS = $labels;
const int CHANNELS = $channels;  // $color
const double DIVISOR = $divisor, MEAN[] = $mean, STD[] = $std;
const bool CHANNELS_FIRST = $channels_first;

int main(int argc, char** argv) {
  std::ifstream file(argc > 1 ? argv[1] : "", std::ios::binary);
  std::string magic;
  int64_t width = 0, height = 0, largest = 0;
  file >> magic >> width >> height >> largest;
  file.get();
  if (!file || magic != "P6" || largest != 255 || !($fits)) {
    std::cerr << "expected a PPM (P6) of the size of the model\\n";
    return 2;
  }
  const int64_t area = width * height;
  std::vector<uint8_t> data(3 * area);
  file.read(reinterpret_cast<char*>(data.data()), data.size());

  std::vector<$array> values($batch * area * CHANNELS);
  for (int64_t i = 0; i < area; i++) {
    const double r = data[3 * i], g = data[3 * i + 1], b = data[3 * i + 2];
    const std::array<double, $channels> pixel = $pixel;
    for (int c = 0; c < CHANNELS; c++) {
      const int64_t at = CHANNELS_FIRST ? c * area + i : i * CHANNELS + c;
      values[at] = static_cast<$array>(
          (pixel[c] / DIVISOR - MEAN[c]) / STD[c]);
    }
  }

  Ort::Env env;
  Ort::Session session(env, $file_text, Ort::SessionOptions{});
  const auto memory =
      Ort::MemoryInfo::CreateCpu(OrtArenaAllocator, OrtMemTypeDefault);
  std::vector<int64_t> shape = {$batch, height, width, CHANNELS};
  if (CHANNELS_FIRST) shape = {$batch, CHANNELS, height, width};
  Ort::Value image = Ort::Value::CreateTensor<$array>(
      memory, values.data(), values.size(), shape.data(), shape.size());
  const char* inputs[] = {$input};
  const char* outputs[] = {$output};
  auto results =
      session.Run(Ort::RunOptions{}, inputs, &image, 1, outputs, 1);
  const float* scores = results[0].GetTensorData<float>();

  std::vector<size_t> order(LABELS.size());
  std::iota(order.begin(), order.end(), 0);
  std::sort(order.begin(), order.end(),
            [&](size_t i, size_t j) { return scores[i] > scores[j]; });
  for (size_t i = 0; i < std::min<size_t>(3, order.size()); i++)
    std::printf("%s %s %.4f\\n", argv[1], LABELS[order[i]].c_str(),
                scores[order[i]]);
}
"""


def templates() -> dict[str, str]:
    """Return the programs by their language."""
    return {"python": PYTHON, "javascript": JAVASCRIPT, "cpp": CPP}
