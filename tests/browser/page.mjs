// Uses the page in headless Chromium, as the JSON on standard input says, and
// prints what the page showed, its console and its requests as JSON.

import { readFileSync } from "node:fs";
import { chromium } from "playwright-core";

const task = JSON.parse(readFileSync(0));
const found = { shown: [], console: [], requests: [] };

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-gpu", "--disable-background-networking"],
});
const context = await browser.newContext({
  viewport: { width: 960, height: 720 },
  colorScheme: "light",
  ...task.context,
});
context.on("request", (request) => found.requests.push(request.url()));
const page = await context.newPage();
page.setDefaultTimeout(60000);
page.on("console", (line) => found.console.push([line.type(), line.text()]));
page.on("pageerror", (error) => found.console.push(["error", error.message]));

/** Add what the page shows once it has answered what `act` does. */
async function shown(name, act) {
  await act();
  await page.locator("#classes[aria-busy=false]").waitFor({ state: "attached" });
  if (task.screenshots) {
    await page.waitForTimeout(200); // bars move
    await page.screenshot({ path: `${task.screenshots}/${name}.png` });
  }
  found.shown.push(
    await page.evaluate(() => ({
      answer: document.getElementById("answer").textContent,
      status: document.getElementById("status").textContent,
      classes: [...document.querySelectorAll("#classes li")].map((row) => [
        row.firstChild.textContent,
        Number(row.dataset.score ?? NaN),
      ]),
      input: document.getElementById("input").toDataURL(),
    })),
  );
}

/** Draw with the mouse or a finger. */
async function draw(strokes, isTouch) {
  const devtools = await context.newCDPSession(page);
  const send = (kind, point) =>
    isTouch
      ? devtools.send("Input.dispatchTouchEvent", {
          type: { down: "touchStart", move: "touchMove", up: "touchEnd" }[kind],
          touchPoints: kind === "up" ? [] : [{ x: point[0], y: point[1] }],
        })
      : kind === "move"
        ? page.mouse.move(...point)
        : page.mouse[kind]();
  const box = await page.locator("#drawing").boundingBox();
  for (const stroke of strokes) {
    const points = stroke.map(([x, y]) => [
      box.x + x * box.width,
      box.y + y * box.height,
    ]);
    if (!isTouch) await page.mouse.move(...points[0]);
    await send("down", points[0]);
    for (const point of points.slice(1)) await send("move", point);
    await send("up");
  }
}

for (const action of task.actions) {
  await shown(action.name, async () => {
    if (action.url) await page.goto(action.url);
    if (action.runtime) await page.getByRole("radio", { name: action.runtime }).click();
    if (action.file) await page.setInputFiles("#file", action.file);
    if (action.strokes) {
      const clear = page.locator("#clear");
      if (await clear.isEnabled()) await clear.click();
      await draw(action.strokes, action.touch);
    }
  });
}
await browser.close();
console.log(JSON.stringify(found));
