// Opens a page in Chromium at both widths, light and dark, and writes as JSON what a person would run into.
// node look.mjs PAGE SCREENSHOT_FOLDER CHROMIUM
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import puppeteer from "puppeteer-core";

const [page, folder, executablePath] = process.argv.slice(2);
const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const browser = await puppeteer.launch({
  executablePath,
  args: ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-sync"],
});
const looks = [];
for (const width of [1440, 390]) {
  for (const scheme of ["light", "dark"]) {
    const tab = await browser.newPage();
    const requests = [];
    const complaints = [];
    tab.on("request", (request) => requests.push(request.url()));
    tab.on("console", (message) => complaints.push(message.text()));
    tab.on("pageerror", (error) => complaints.push(String(error)));
    await tab.setViewport({ width, height: 900 });
    await tab.emulateMediaFeatures([{ name: "prefers-color-scheme", value: scheme }]);
    await tab.goto(pathToFileURL(page).href);
    await tab.screenshot({ path: join(folder, `${width}-${scheme}.png`), fullPage: true });
    const background = await tab.evaluate(() => getComputedStyle(document.body).backgroundColor);
    const overflow = await tab.evaluate(() => document.documentElement.scrollWidth - innerWidth);
    await tab.keyboard.press("Tab");
    const focused = await tab.evaluate(() => document.activeElement.getAttribute("href"));
    // What is folded away is read too.
    await tab.evaluate(() => document.querySelectorAll("details").forEach((part) => (part.open = true)));
    await tab.evaluate(axe);
    const found = await tab.evaluate(() => axe.run());
    looks.push({
      width, scheme, overflow, background, focused, requests: requests.length, complaints,
      checked: found.passes.length,
      violations: found.violations.map(({ id, impact, nodes }) => ({ id, impact, first: nodes[0].html })),
    });
    await tab.close();
  }
}
await browser.close();
console.log(JSON.stringify(looks));
