// Looks at a page in Chromium as a person would: what it asks for, what axe-core finds, where the Tab key goes.
// node browser.mjs CHROMIUM URL [PNG [WIDTH]]   prints one JSON object; run where node_modules has axe-core, puppeteer-core
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";

const require = createRequire(join(process.cwd(), "x.js"));
const puppeteer = require("puppeteer-core");
const axe = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");
const [chromium, url, png, width] = process.argv.slice(2);

const browser = await puppeteer.launch({
  executablePath: chromium, headless: true, protocolTimeout: 600000, timeout: 300000,
  args: ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"],
});
try {
  const page = await browser.newPage();
  await page.setViewport({ width: Number(width ?? 1280), height: 1000 });
  const requests = [], complaints = [];
  page.on("request", (one) => requests.push(one.url()));
  page.on("console", (one) => complaints.push(one.text()));
  page.on("pageerror", (one) => complaints.push(String(one)));
  await page.goto(url, { waitUntil: "load", timeout: 300000 });
  if (png) await page.screenshot({ path: png, fullPage: true });
  const focused = [];
  for (let n = 0; n < 80; n++) {
    await page.keyboard.press("Tab");
    const name = await page.evaluate(() => {
      const at = document.activeElement;
      return at === document.body ? "" : (at.getAttribute("aria-label") ?? at.textContent).trim().slice(0, 60);
    });
    if (!name) break;
    focused.push(name);
  }
  await page.evaluate(axe);
  const found = await page.evaluate(() => window.axe.run(document, { resultTypes: ["violations", "incomplete"] }));
  const short = (all) => all.map((one) => ({ id: one.id, impact: one.impact, nodes: one.nodes.map((n) => n.html.slice(0, 160)) }));
  const passed = found.passes.length;
  console.log(JSON.stringify({ requests, complaints, focused, passed, violations: short(found.violations), incomplete: short(found.incomplete) }));
} finally {
  await browser.close();
}
