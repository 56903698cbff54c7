// The page: strokes and images on one side, scores of the classes on the other.

import { RUNTIMES, openModel } from "./models.js";
import { drawStrokes, fromFile, fromStrokes, toValues } from "./pixels.js";

const query = new URLSearchParams(location.search);
const folder = new URL(query.get("model") ?? "../../dist/digits/", location);
const find = (id) => document.getElementById(id);
const [board, drawing, status, answer] = [
  ...["board", "drawing", "status", "answer"].map(find),
];
const pen = drawing.getContext("2d");
const opened = {}; // the models that were opened, as promises, by format

let format = query.get("runtime") in RUNTIMES ? query.get("runtime") : "onnx";
let strokes = []; // lists of points, from 0 to 1
let file = null; // an image that is shown instead of strokes
let wanted = 0; // counts what was asked for: only the last answer is shown

function draw() {
  const side = Math.round(drawing.clientWidth * devicePixelRatio);
  Object.assign(drawing, { width: side, height: side });
  pen.strokeStyle = getComputedStyle(drawing).color;
  const scaled = strokes.map((s) => s.map((p) => p.map((x) => x * side)));
  drawStrokes(pen, scaled, side / 14);
  pen.imageSmoothingEnabled = false;
  if (file) pen.drawImage(find("input"), 0, 0, side, side);
  const isEmpty = !strokes.length && !file;
  find("hint").hidden = !isEmpty;
  find("undo").disabled = !strokes.length;
  find("clear").disabled = isEmpty;
}

async function classify() {
  const number = ++wanted;
  const isCurrent = () => number === wanted;
  find("classes").ariaBusy = "true";
  try {
    const model = await (opened[format] ??= openModel(folder, format));
    if (!isCurrent()) return;
    const made = model.image.preprocessing;
    let pixels = null;
    if (file) pixels = await fromFile(file, made);
    else if (strokes.length) pixels = fromStrokes(strokes, made.size);
    const start = performance.now();
    const scores = pixels && (await model.run(toValues(pixels, made)));
    if (!isCurrent()) return;
    const time = performance.now() - start;
    show(model.scores.labels, pixels, scores);
    say(
      `${RUNTIMES[format].name}, on this device` +
        (scores ? `: ${time.toFixed(0)} ms` : ""),
    );
  } catch (error) {
    delete opened[format];
    if (isCurrent()) say(error.message, true);
  } finally {
    if (isCurrent()) find("classes").ariaBusy = "false";
  }
}

function say(text, isError = false) {
  status.textContent = text;
  status.classList.toggle("error", isError);
}

function show(labels, pixels, scores) {
  const best = scores ? scores.indexOf(Math.max(...scores)) : -1;
  answer.textContent = labels[best] ?? "–";
  answer.classList.toggle("empty", best < 0);
  const rows = labels.map((label, i) => {
    const row = document.createElement("li");
    row.innerHTML =
      '<span></span><span class="track"><i></i></span>' +
      '<span class="score"></span>';
    row.children[0].textContent = label;
    row.classList.toggle("top", i === best);
    if (scores) {
      row.dataset.score = scores[i];
      row.style.setProperty("--part", scores[i]);
      row.children[2].textContent = `${(100 * scores[i]).toFixed(1)} %`;
    }
    return row;
  });
  find("classes").replaceChildren(...rows);
  const input = find("input");
  Object.assign(input, {
    width: pixels?.width ?? 1,
    height: pixels?.height ?? 1,
  });
  if (pixels) input.getContext("2d").putImageData(pixels, 0, 0);
  draw();
}

function change() {
  draw();
  return classify();
}

function clear() {
  [strokes, file] = [[], null];
  return change();
}

function open(image) {
  if (!image) return;
  [strokes, file] = [[], image];
  return change();
}

const point = (event) => [
  event.offsetX / drawing.clientWidth,
  event.offsetY / drawing.clientHeight,
];

let timer = null;
drawing.addEventListener("pointerdown", (event) => {
  if (event.button) return;
  drawing.setPointerCapture(event.pointerId);
  file = null;
  strokes.push([point(event)]);
  draw();
});
drawing.addEventListener("pointermove", (event) => {
  if (!drawing.hasPointerCapture(event.pointerId)) return;
  const events = event.getCoalescedEvents?.() ?? [];
  strokes.at(-1).push(...(events.length ? events : [event]).map(point));
  draw();
  timer ??= setTimeout(() => {
    timer = null;
    classify();
  }, 100);
});
drawing.addEventListener("lostpointercapture", change);

find("clear").addEventListener("click", clear);
find("undo").addEventListener("click", () => {
  strokes.pop();
  change();
});
find("file").addEventListener("change", ({ target }) => {
  open(target.files[0]);
  target.value = "";
});
for (const kind of ["dragover", "dragleave", "drop"]) {
  board.addEventListener(kind, (event) => {
    event.preventDefault();
    board.classList.toggle("over", kind === "dragover");
    if (kind === "drop") open(event.dataTransfer.files[0]);
  });
}
addEventListener("resize", draw);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);

for (const [key, { name }] of Object.entries(RUNTIMES)) {
  const button = Object.assign(document.createElement("button"), {
    ...{ type: "button", textContent: name },
  });
  button.setAttribute("role", "radio");
  button.setAttribute("aria-checked", key === format);
  button.addEventListener("click", () => {
    format = key;
    for (const other of find("runtimes").children) {
      other.setAttribute("aria-checked", other === button);
    }
    say("Loading…");
    classify();
  });
  find("runtimes").append(button);
}
change();
