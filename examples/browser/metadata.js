// What an artifact says of itself: JSON, under one key of an ONNX file's
// metadata_props, or in a zip archive at the end of a TFLite file. Each is read
// with a few lines, so that the page needs no other library.

const KEY = "keras_inception";
const decode = (bytes) => new TextDecoder().decode(bytes);

/** Return the metadata of a model's bytes, or null. */
export function readMetadata(bytes, format) {
  const text = format === "onnx" ? fromOnnx(bytes) : fromZip(bytes);
  return text === null ? null : JSON.parse(text);
}

function fromOnnx(model) {
  let found = null;
  for (const [number, content] of fields(model)) {
    if (number !== 14) continue; // ModelProto.metadata_props
    const entry = Object.fromEntries(fields(content));
    if (decode(entry[1]) === KEY) found = decode(entry[2]);
  }
  return found;
}

/** Yield number and content of each field of a protobuf message. */
function* fields(bytes) {
  let at = 0;
  const varint = () => {
    let value = 0;
    for (let factor = 1; ; factor *= 128) {
      const byte = bytes[at++];
      value += (byte & 127) * factor;
      if (!(byte & 128)) return value;
    }
  };
  while (at < bytes.length) {
    const tag = varint();
    const kind = tag % 8;
    if (kind === 0) varint();
    else {
      const length = kind === 2 ? varint() : kind === 1 ? 8 : 4;
      yield [Math.floor(tag / 8), bytes.subarray(at, (at += length))];
    }
  }
}

/** Return the text of a file that a zip archive stores uncompressed. */
function fromZip(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const end = bytes.length - 22; // the end record of an archive
  if (end < 0 || view.getUint32(end, true) !== 0x06054b50) return null;
  let at = view.getUint32(end + 16, true);
  for (let left = view.getUint16(end + 10, true); left > 0; left--) {
    const [size, name, extra, comment] = [
      view.getUint32(at + 20, true),
      ...[28, 30, 32].map((offset) => view.getUint16(at + offset, true)),
    ];
    if (decode(bytes.subarray(at + 46, at + 46 + name)) === `${KEY}.json`) {
      const local = view.getUint32(at + 42, true);
      const lengths = [26, 28].map((i) => view.getUint16(local + i, true));
      const start = local + 30 + lengths[0] + lengths[1];
      return decode(bytes.subarray(start, start + size));
    }
    at += 46 + name + extra + comment;
  }
  return null;
}

/** Replace unknown sizes of a TFLite model's tensors by 1, in place. */
export function fixBatchSize(model) {
  const view = new DataView(model.buffer, model.byteOffset, model.length);
  const follow = (at) => at + view.getUint32(at, true);
  const field = (table, number) => {
    const offsets = table - view.getInt32(table, true);
    const place = 4 + 2 * number;
    if (place >= view.getUint16(offsets, true)) return 0;
    const offset = view.getUint16(offsets + place, true);
    return offset && follow(table + offset);
  };
  const places = (vector) =>
    vector
      ? Array.from(
          { length: view.getUint32(vector, true) },
          (_, i) => vector + 4 + 4 * i,
        )
      : [];
  for (const graph of places(field(follow(0), 2)).map(follow)) {
    for (const tensor of places(field(graph, 0)).map(follow)) {
      for (const size of places(field(tensor, 7))) {
        if (view.getInt32(size, true) < 0) view.setInt32(size, 1, true);
      }
    }
  }
}
