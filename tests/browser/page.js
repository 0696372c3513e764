// Drives the page at / as a person would. Arguments: the browser, the gateway's program, a folder of tasks, a picture,
// and a file of tokens with a token of it if the gateway is to ask for one. PAGE_IMAGES=FOLDER renews the pictures of
// the documentation, after two minutes of traffic.
import { spawn } from "node:child_process";
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import puppeteer from "puppeteer-core";

const [executablePath, program, tasks, picture, tokens, token] = process.argv.slice(2);
const PATIENCE_MS = 60_000;
const WEIGHT_BYTES_MAX = 150_000;
const LOOP_SHOWN_MS_MAX = 1000;
const images = process.env.PAGE_IMAGES;

/** Something that compiles, runs for ever and says so by its name. */
const LOOP = '(module (func (export "spin") (loop $again (br $again))))';
const BROKEN = '(module (func (export "f") i32.bad))';

const axe = readFileSync("node_modules/axe-core/axe.min.js", "utf8");
let server = null;
let url = "";

async function start(listen) {
  const access = tokens ? ["--tokens", tokens] : [];
  server = spawn(program, ["serve", "--tasks", tasks, "--listen", listen, "--cache", "cache", "--max-runs", "64", ...access]);
  let log = "";
  const ended = new Promise((_, fail) => server.once("exit", (code) => fail(new Error(`the gateway ended with ${code}: ${log}`))));
  ended.catch(() => {});
  const ready = (async () => {
    for await (const piece of server.stderr) {
      log += piece;
      const found = /http:\/\/(127\.0\.0\.1:\d+)/.exec(log);
      if (found) return found[1];
    }
    throw new Error(log);
  })();
  const address = await Promise.race([ready, ended]);
  server.stderr.resume();
  url = `http://${address}`;
  await until("the tasks are loaded", async () => (await fetch(`${url}/readyz`)).ok);
  return address;
}

async function stop() {
  const ended = new Promise((resolve) => server.once("exit", resolve));
  server.kill("SIGTERM");
  await ended;
}

async function until(what, holds) {
  const end = Date.now() + PATIENCE_MS;
  for (;;) {
    if (await holds().catch(() => false)) return;
    if (Date.now() > end) throw new Error(`never: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/** A call by somebody else. */
function call(path, options = {}) {
  const headers = token ? { Authorization: `Bearer ${token}` } : {};
  return fetch(`${url}${path}`, { ...options, headers: { ...headers, ...options.headers } });
}

const complaints = [];
const elsewhere = [];
const calm = new AbortController();

/** Traffic until `calm` says stop: what an ordinary minute looks like. */
async function traffic() {
  const sorts = [
    [() => call("/tasks/render/render", post({ template: "Hi {{ name }}!", data: '{"name": "page"}' })), 12],
    [() => call("/tasks/primes/count?n=20000"), 30],
    [() => call("/sleep/0.3"), 120],
    [() => call("/tasks/password/hash", post({ password: "correct horse" })), 700],
    [() => call("/tasks/thumbnail?width=64", { method: "POST", body: readFileSync(picture) }), 900],
    [() => call("/tasks/primes/count?n=nonsense"), 2500],
  ];
  await Promise.all(sorts.map(async ([make, pause]) => {
    while (!calm.signal.aborted) {
      await make().then((answer) => answer.arrayBuffer()).catch(() => {});
      await new Promise((resolve) => setTimeout(resolve, pause * (0.5 + Math.random())));
    }
  }));
}

function post(body) {
  return { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) };
}

const address = await start("127.0.0.1:0");
const browser = await puppeteer.launch({
  executablePath,
  // CI runs as root, where Chromium has no sandbox of its own; the only page is ours.
  args: ["--no-sandbox", "--disable-dev-shm-usage"],
});
try {
  const page = await browser.newPage();
  page.setDefaultTimeout(PATIENCE_MS);
  await page.setViewport({ width: 1360, height: 1000 });
  await page.emulateMediaFeatures([{ name: "prefers-color-scheme", value: "light" }]);
  let restarting = false;
  page.on("console", (message) => {
    // Being asked for a token is no complaint of the page's, nor is a gateway that we stopped.
    const asked = token && message.text().includes("status of 401");
    const gone = restarting && message.text().includes("ERR_");
    // The form shows problems; the browser tells of their status besides.
    const answered = /status of (4|5)\d\d/.test(message.text()) && /\/(tasks|calls|sleep)\//.test(message.location().url ?? "");
    if (message.type() === "error" && !asked && !gone && !answered) complaints.push(`${message.text()} ${message.location().url ?? ""}`);
  });
  page.on("pageerror", (error) => complaints.push(String(error)));
  page.on("request", (request) => {
    const asked = request.url();
    if (!asked.startsWith(url) && !asked.startsWith("data:") && !asked.startsWith("blob:")) elsewhere.push(asked);
  });
  const weight = await weigh(page);
  const text = (selector) => page.$eval(selector, (node) => node.textContent);
  const shows = (selector, wanted) => page.waitForFunction(
    (of, part) => [...document.querySelectorAll(of)].some((node) => node.textContent.includes(part)), {}, selector, wanted);
  const live = () => page.waitForSelector("#status[data-status=live]");

  await page.goto(url, { waitUntil: "load" });
  if (token) {
    const field = await page.waitForSelector("#token", { visible: true });
    if (await page.$(".tiles")) throw new Error("the page shows numbers to somebody without a token");
    await sound(page, "asking for a token");
    await field.type("ub_0123456789ab_wrong");
    await page.keyboard.press("Enter");
    await shows("#token-refusal", "not known");
    await page.type("#token", token);
    await page.keyboard.press("Enter");
  }
  await live();
  await shows(".data th a", "thumbnail");
  if (weight() > WEIGHT_BYTES_MAX || weight() < 20_000) throw new Error(`the page weighs ${weight()} bytes, expected at most ${WEIGHT_BYTES_MAX}`);
  console.log(`page: ${weight()} bytes transferred`);

  // A loop that somebody else started.
  writeFileSync(`${tasks}/spinner.wat`, LOOP);
  await shows(".data th a", "spinner");
  const loop = new AbortController();
  const begun = Date.now();
  call("/tasks/spinner/spin", { signal: loop.signal }).catch(() => {});
  await shows(".workers .what", "spinner");
  const took = Date.now() - begun;
  if (took > LOOP_SHOWN_MS_MAX) throw new Error(`a running loop was shown after ${took} ms, expected ${LOOP_SHOWN_MS_MAX}`);
  await shows(".data td.text", "running");
  console.log(`page: a running loop was shown after ${took} ms`);

  // Who takes the processors stands on top, whoever comes.
  await page.waitForSelector("thead th[aria-sort=descending] button::-p-text(CPU)");
  await page.waitForFunction(() => document.querySelector(".data tbody th a")?.textContent === "spinner");
  const told = await page.$eval("thead button::-p-text(CPU)", (button) => button.title);
  if (!told.includes("10 s")) throw new Error(`the CPU's column says "${told}", expected over which time`);
  void traffic();
  if (images) await new Promise((resolve) => setTimeout(resolve, 125_000));
  else await shows(".tile .more", "failed per second");

  // A module that cannot be loaded.
  writeFileSync(`${tasks}/broken.wat`, BROKEN);
  await shows(".failures strong", "broken.wat");
  await shows(".failures .reason", "i32.bad");
  await shows("#trouble", "1 not loaded");
  await page.goto(`${url}/#/tasks/sleep`);
  await page.waitForSelector(".function form");
  await page.click("#trouble");
  await page.waitForFunction(() => document.activeElement?.id === "not-loaded" && location.hash === "#/");
  const top = await page.$eval("#not-loaded", (part) => part.getBoundingClientRect().top);
  if (top < 0 || top > 900) throw new Error(`what is not loaded is at ${top} after a click on that in the header`);

  // How it looks, and whether it is for everybody.
  await page.bringToFront();
  for (const scheme of ["light", "dark"]) {
    await page.emulateMediaFeatures([{ name: "prefers-color-scheme", value: scheme }]);
    await sound(page, `the overview, ${scheme}`);
    await shot(page, `overview-${scheme}`);
  }
  loop.abort();
  await phone(page, "overview-phone");

  // A table that is sorted, and a task that is found.
  await (await page.waitForSelector(".data thead button::-p-text(Calls/s)", { visible: true })).click();
  await page.waitForSelector("th[aria-sort=descending] button::-p-text(Calls/s)");
  await page.click(".data th a::-p-text(sleep)");
  await page.waitForFunction(() => document.querySelector("h1")?.textContent === "sleep");
  await page.waitForSelector(".function form");
  if (await page.evaluate(() => document.title) !== "sleep · Unblock") throw new Error("the title does not say where one is");

  // What is chosen stays chosen.
  await page.click("#nav-overview");
  await page.waitForSelector("thead th[aria-sort=descending] button::-p-text(Calls/s)");
  await page.click(".data th a::-p-text(sleep)");
  await page.waitForSelector(".function form");

  // What is wrong is said at its field, here and by the gateway.
  await page.click(".function .primary");
  await shows(".field .wrong", "is required: a number");
  await page.type(".function [name=seconds]", "soon");
  await page.click(".function .primary");
  await shows(".field .wrong", "expected a number");
  await replace(page, ".function [name=seconds]", "-1");
  await page.click(".function .primary");
  await shows(".outcome", "422");
  await replace(page, ".function [name=seconds]", "0.2");
  await page.click(".function .primary");
  await shows(".outcome .result", "Awake! ");
  await shows(".chip", "ok");
  // A call that sleeps is seen to wait, in the bar and in words.
  await page.waitForFunction(() => [...document.querySelectorAll("tr")].some((row) => row.querySelector(".chip")?.textContent === "ok"
    && Number.parseFloat(row.querySelector(".off").style.width) > 80));
  await opens(page, "good");
  await shows(".kept .pairs", "off CPU");
  await page.click("#nav-overview");
  await shows(".waits:not([hidden])", "waits");

  // Which function takes the processors.
  await page.goto(`${url}/#/tasks/password`);
  await shows(".profile code", "argon2");
  await shows(".profile + .small", "CPU time in the last");
  await page.waitForFunction(() => [...document.querySelectorAll(".profile .part")].every((part) => !/^0 %/.test(part.textContent)));
  const [first, forms] = await page.$$eval(".profile, form", (parts) => parts.map((part) => part.className));
  if (first !== "profile" || forms !== "") throw new Error("the profile does not stand above the forms");

  // A picture goes up and a smaller one comes back.
  await page.goto(`${url}/#/tasks/thumbnail`);
  const upload = await page.waitForSelector(".function input[type=file]");
  await page.type(".function [name=width]", "80");
  await page.click(".function .primary");
  await shows(".outcome .pairs", "You, if the value says so");
  await opens(page, "bad");
  await shows(".kept .pairs", "only the caller got it");
  await page.click(".kept button");
  await upload.uploadFile(picture);
  await page.click(".function .primary");
  await page.waitForFunction(() => document.querySelector(".outcome img.result")?.naturalWidth === 80);
  await shows(".chip", "ok");
  await new Promise((resolve) => setTimeout(resolve, 1500));
  for (const scheme of ["light", "dark"]) {
    await page.emulateMediaFeatures([{ name: "prefers-color-scheme", value: scheme }]);
    await sound(page, `a task, ${scheme}`);
    await shot(page, `task-${scheme}`);
  }
  await phone(page, "task-phone");

  // A restart of the gateway.
  calm.abort();
  restarting = true;
  await stop();
  await page.waitForSelector("#status[data-status=gone]");
  if (!(await text("#status")).includes("disconnected")) throw new Error("the page does not say that it is disconnected");
  rmSync(`${tasks}/broken.wat`);
  await start(address);
  await live();
  restarting = false;
  await page.goto(`${url}/#/`);
  await shows(".data th a", "thumbnail");
  await page.waitForFunction(() => !document.querySelector(".failures strong"));

  if (complaints.length > 0) throw new Error(`the page complains: ${complaints.join(" | ")}`);
  if (elsewhere.length > 0) throw new Error(`the page asks other servers: ${elsewhere.join(", ")}`);
  console.log(`browser-test${token ? ", with a token" : ""}: the page shows a loop, a broken module and a restart; calls of sleep and thumbnail succeeded`);
} finally {
  calm.abort();
  await browser.close();
  server.kill("SIGKILL");
  rmSync(`${tasks}/spinner.wat`, { force: true });
  rmSync(`${tasks}/broken.wat`, { force: true });
}

/** Bytes that the page's own files took on the wire. */
async function weigh(page) {
  const client = await page.createCDPSession();
  await client.send("Network.enable");
  const files = new Map();
  let bytes = 0;
  client.on("Network.responseReceived", ({ requestId, response }) => files.set(requestId, response.url));
  client.on("Network.loadingFinished", ({ requestId, encodedDataLength }) => {
    const path = files.get(requestId)?.slice(url.length) ?? "";
    if (path === "/" || path.startsWith("/page/")) bytes += encodedDataLength;
  });
  return () => bytes;
}

/** Fails on anything serious that axe finds. */
async function sound(page, where) {
  await page.evaluate(axe);
  const { violations } = await page.evaluate(() => axe.run(document, { resultTypes: ["violations"] }));
  const serious = violations.filter((of) => ["serious", "critical"].includes(of.impact));
  for (const of of violations) console.log(`axe, ${where}: ${of.impact} ${of.id}: ${of.nodes.slice(0, 3).map((node) => node.target).join("; ")}`);
  if (serious.length > 0) {
    const told = serious.map((of) => `${of.id}: ${of.help}: ${of.nodes.slice(0, 5).map((node) => `${node.target} ${node.failureSummary}`).join("; ")}`);
    throw new Error(`axe finds in ${where}: ${told.join("\n")}`);
  }
}

/** Opens a call of the list that ended well or badly; the list goes on meanwhile. */
function opens(page, tone) {
  return page.waitForFunction((of) => {
    const button = document.querySelector(`.data tr:has(.chip[data-tone=${of}]) button`);
    button?.click();
    return button;
  }, {}, tone);
}

async function replace(page, selector, value) {
  await page.click(selector, { count: 3 });
  await page.type(selector, value);
}

async function shot(page, name, whole = false) {
  await page.evaluate(() => window.scrollTo(0, 0));
  // What moves has come to rest.
  await new Promise((resolve) => setTimeout(resolve, 700));
  const folder = images && !token ? images : ".";
  await page.screenshot({ path: `${folder}/${name}.png`, fullPage: whole });
}

/** At the width of a phone: nothing is cut off at the side. */
async function phone(page, name) {
  await page.emulateMediaFeatures([{ name: "prefers-color-scheme", value: "light" }]);
  await page.setViewport({ width: 380, height: 800, isMobile: true, hasTouch: true });
  await page.waitForFunction(() => document.documentElement.clientWidth === 380);
  await shot(page, name, true);
  const wide = await page.evaluate(() => document.documentElement.scrollWidth);
  if (wide > 380) throw new Error(`on a phone ${name} is ${wide} pixels wide, expected 380`);
  const cut = await page.$$eval(".scroll:not([hidden])", (all) => all.filter((of) => of.scrollWidth > of.clientWidth)
    .map((of) => `${of.ariaLabel}: ${of.scrollWidth} of ${of.clientWidth}`));
  if (cut.length > 0) throw new Error(`on a phone ${name} has tables that are cut: ${cut.join(", ")}`);
  await page.setViewport({ width: 1360, height: 1000 });
}
