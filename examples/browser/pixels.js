// From a drawing or an image file to the pixels of the model's size, and from
// pixels to the values of the input.

const GRID = 8; // scikit-learn's digits have 8 x 8 pixels,
const LEVELS = 16; // of 0 to 16, and are resized for the model;
const INK = 0.31; // strokes cover this part of a digit, on average.

function makeCanvas(width, height) {
  const canvas = Object.assign(document.createElement("canvas"), {
    ...{ width, height },
  });
  return canvas.getContext("2d", { willReadFrequently: true });
}

/** Draw strokes, which are lists of points, as smooth lines on a canvas. */
export function drawStrokes(context, strokes, lineWidth) {
  Object.assign(context, { lineWidth, lineCap: "round", lineJoin: "round" });
  for (const stroke of strokes) {
    context.beginPath();
    context.moveTo(...stroke[0]);
    for (let i = 1; i < stroke.length; i++) {
      const [[x, y], [u, v]] = [stroke[i - 1], stroke[i]];
      context.quadraticCurveTo(x, y, (x + u) / 2, (y + v) / 2);
    }
    context.lineTo(...stroke.at(-1));
    context.stroke();
  }
}

/** Return a drawing as pixels that look like the training data: the digit
 * fills the height, is centred, and has strokes of the same weight. */
export function fromStrokes(strokes, size) {
  const side = GRID * LEVELS;
  const context = makeCanvas(side, side);
  context.fillRect(0, 0, side, side);
  context.strokeStyle = "white";
  const [line, fitted] = fit(strokes, side);
  drawStrokes(context, fitted, line);
  const { data } = context.getImageData(0, 0, side, side);
  const cells = new Float32Array(GRID * GRID);
  for (let i = 0; i < side * side; i++) {
    const row = Math.floor(i / side / LEVELS);
    const column = Math.floor((i % side) / LEVELS);
    cells[row * GRID + column] += data[4 * i] / 255 / LEVELS ** 2;
  }
  return enlarge(
    cells.map((x) => Math.round(x * LEVELS) / LEVELS),
    size,
  );
}

/** Return the width of the line, and the strokes in the middle of a square. */
function fit(strokes, side) {
  const points = strokes.flat();
  const ends = [0, 1].map((axis) => {
    const values = points.map((point) => point[axis]);
    return [Math.min(...values), Math.max(...values)];
  });
  const sizes = ends.map(([low, high]) => high - low);
  let length = 0;
  for (const stroke of strokes) {
    for (let i = 1; i < stroke.length; i++) {
      const [[x, y], [u, v]] = [stroke[i - 1], stroke[i]];
      length += Math.hypot(u - x, v - y);
    }
  }
  const cell = side / GRID;
  const room = side - cell;
  const scale = room / Math.max(...sizes, 1e-3);
  const ink = (INK * side * side) / Math.max(length * scale, 1);
  const line = Math.min(Math.max(ink, cell), 2 * cell);
  const factor = (side - line) / Math.max(...sizes, 1e-3);
  const place = (value, axis) =>
    side / 2 + (value - (ends[axis][0] + ends[axis][1]) / 2) * factor;
  return [line, strokes.map((s) => s.map((point) => point.map(place)))];
}

/** Resize a grid bilinearly, as Keras does, and return it as pixels. */
function enlarge(cells, [height, width]) {
  const image = new ImageData(width, height);
  const places = (size) =>
    Array.from({ length: size }, (_, i) => {
      const at = Math.max(((i + 0.5) * GRID) / size - 0.5, 0);
      const low = Math.min(Math.floor(at), GRID - 1);
      return [low, Math.min(low + 1, GRID - 1), at - low];
    });
  const columns = places(width);
  places(height).forEach(([top, bottom, down], y) =>
    columns.forEach(([left, right, along], x) => {
      const across = (row) =>
        cells[row * GRID + left] * (1 - along) +
        cells[row * GRID + right] * along;
      const value = across(top) * (1 - down) + across(bottom) * down;
      const grey = Math.round(255 * value);
      image.data.set([grey, grey, grey, 255], 4 * (y * width + x));
    }),
  );
  return image;
}

/** Return an image file as pixels, resized by the browser's own filter. */
export async function fromFile(file, { size: [height, width], resize }) {
  const image = await createImageBitmap(file, { colorSpaceConversion: "none" });
  const scales = [width / image.width, height / image.height];
  const scale = { crop: Math.max, pad: Math.min }[resize]?.(...scales);
  const [w, h] = [
    image.width * (scale ?? scales[0]),
    image.height * (scale ?? scales[1]),
  ];
  const context = makeCanvas(width, height);
  context.imageSmoothingQuality = "high";
  context.fillRect(0, 0, width, height);
  context.drawImage(image, (width - w) / 2, (height - h) / 2, w, h);
  return context.getImageData(0, 0, width, height);
}

/** Return the values of pixels, as the artifact's metadata says. */
export function toValues({ data, width, height }, made) {
  const { color, scale, mean, std, data_format: order } = made;
  const area = width * height;
  const channels = color === "grey" ? 1 : 3;
  const divisor = 1 / scale;
  const values = new Float32Array(area * channels);
  for (let i = 0; i < area; i++) {
    const [r, g, b] = data.subarray(4 * i, 4 * i + 3);
    const pixel = {
      rgb: [r, g, b],
      bgr: [b, g, r],
      grey: [Math.round(0.299 * r + 0.587 * g + 0.114 * b)],
    }[color];
    pixel.forEach((value, c) => {
      const at = order === "channels_first" ? c * area + i : i * channels + c;
      const [m, s] = [mean, std].map((x) => x[c % x.length]);
      values[at] = (value / divisor - m) / s;
    });
  }
  return values;
}
