// Opens a report in headless Chromium, once per way of looking at it that the
// JSON on standard input names, and prints what was found as JSON.

import { readFileSync } from "node:fs";
import axe from "axe-core";
import { chromium } from "playwright-core";

const task = JSON.parse(readFileSync(0));
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-gpu", "--disable-background-networking"],
});
const found = {};
for (const [name, { media, screenshot, ...options }] of Object.entries(task.views)) {
  const context = await browser.newContext({ colorScheme: "light", ...options, bypassCSP: true });
  const view = (found[name] = { console: [], requests: [] });
  context.on("request", (request) => view.requests.push(request.url()));
  const page = await context.newPage();
  page.on("console", (line) => view.console.push([line.type(), line.text()]));
  page.on("pageerror", (error) => view.console.push(["error", error.message]));
  if (media) await page.emulateMedia({ media });
  await page.goto(task.url);
  if (screenshot) await page.screenshot({ path: screenshot.path, fullPage: screenshot.full });
  Object.assign(
    view,
    await page.evaluate(() => {
      for (const part of document.querySelectorAll("details")) part.open = true;
      const color = (item) => getComputedStyle(item).getPropertyValue("fill");
      return {
        width: [document.documentElement.scrollWidth, window.innerWidth],
        figures: [...document.querySelectorAll("figure, figure svg, .gallery img")].map((item) => {
          const box = item.getBoundingClientRect();
          return [item.tagName, box.width, box.height];
        }),
        text: [...new Set([...document.querySelectorAll("svg text")].map(color))],
        page: getComputedStyle(document.body).backgroundColor,
        textSize: Math.min(
          ...[...document.querySelectorAll("svg text")].map((x) => x.getBoundingClientRect().height),
        ),
      };
    }),
  );
  await page.evaluate(axe.source);
  const result = await page.evaluate(() => window.axe.run());
  view.axe = result.violations.map((x) => [x.impact, x.id, x.nodes.map((n) => n.html.slice(0, 160) + n.failureSummary)]);
  view.passes = result.passes.length;
  await context.close();
}
await browser.close();
console.log(JSON.stringify(found));
