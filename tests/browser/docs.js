// Drives the page behind GET /docs as a person would. Arguments: the browser, the gateway's URL, and a token if it asks
// for one.
import puppeteer from "puppeteer-core";

const [executablePath, url, token] = process.argv.slice(2);
const TASKS = ["sleep", "password", "render", "thumbnail", "primes"];
const PATIENCE_MS = 60_000;

const browser = await puppeteer.launch({
  executablePath,
  // CI runs as root, where Chromium has no sandbox of its own; the only page is ours.
  args: ["--no-sandbox", "--disable-dev-shm-usage"],
});
const complaints = [];
const elsewhere = [];
try {
  const page = await browser.newPage();
  page.setDefaultTimeout(PATIENCE_MS);
  await page.setViewport({ width: 1280, height: 1600 });
  // A policy that blocks what the page needs is told on the console.
  page.on("console", (message) => {
    // Being asked for a token is no complaint of the page's.
    const asked = token && message.text().includes("status of 401");
    if (message.type() === "error" && !asked) complaints.push(message.text());
  });
  page.on("pageerror", (error) => complaints.push(String(error)));
  page.on("request", (request) => {
    const asked = request.url();
    if (!asked.startsWith(url) && !asked.startsWith("data:") && !asked.startsWith("blob:")) elsewhere.push(asked);
  });

  await page.goto(`${url}/docs`, { waitUntil: "networkidle0" });
  if (token) {
    const field = await page.waitForSelector("#access input", { visible: true });
    if (await page.$(".opblock-tag")) throw new Error("/docs shows tasks to somebody without a token");
    await field.type("ub_0123456789ab_wrong");
    await page.click("#access button");
    await page.waitForFunction(() => document.querySelector("#refusal").textContent.includes("not known"));
    await field.click({ clickCount: 3 });
    await field.type(token);
    await page.click("#access button");
  }
  await page.waitForSelector(".opblock-tag");
  const tags = await page.$$eval(".opblock-tag", (found) => found.map((tag) => tag.getAttribute("data-tag")));
  for (const task of TASKS) {
    if (!tags.includes(task)) throw new Error(`/docs does not list the task ${task}, only ${tags.join(", ")}`);
  }
  await page.screenshot({ path: "docs.png" });

  // A call with a body: the example is what the page fills in.
  const posted = await call(page, "/tasks/render/render", "post", async (operation) => {
    await operation.$eval("textarea.body-param__text", (area) => area.scrollIntoView());
    const area = await operation.waitForSelector("textarea.body-param__text");
    await area.click({ clickCount: 1 });
    await page.keyboard.down("Control");
    await page.keyboard.press("a");
    await page.keyboard.up("Control");
    await area.type(JSON.stringify({ template: "Hi {{ name }}!", data: '{"name": "browser"}' }));
  });
  if (posted.status !== "200" || !posted.body.includes("Hi browser!")) {
    throw new Error(`render answered ${posted.status}: ${posted.body}`);
  }
  // A call with a parameter in the path.
  const awake = await call(page, "/sleep/{seconds}", "get", async () => {});
  if (awake.status !== "200" || !awake.body.includes("Awake! ")) {
    throw new Error(`sleep answered ${awake.status}: ${awake.body}`);
  }
  await page.screenshot({ path: "call.png" });
  if (complaints.length > 0) throw new Error(`the page complains: ${complaints.join(" | ")}`);
  if (elsewhere.length > 0) throw new Error(`the page asks other servers: ${elsewhere.join(", ")}`);
  console.log(`browser-test${token ? ", with a token" : ""}: /docs lists ${tags.join(", ")}; calls of render and sleep succeeded`);
} finally {
  await browser.close();
}

/** Opens an operation, fills it in, sends it, and gives what the page shows of the answer. */
async function call(page, path, method, fill) {
  const operation = await page.evaluateHandle(
    (path, method) =>
      [...document.querySelectorAll(`.opblock-${method}`)].find(
        (block) => block.querySelector(".opblock-summary-path")?.getAttribute("data-path") === path,
      ),
    path,
    method,
  );
  const block = operation.asElement();
  if (!block) throw new Error(`/docs shows no ${method} ${path}`);
  await (await block.waitForSelector(".opblock-summary-control")).click();
  await block.waitForSelector(".btn.execute");
  await fill(block);
  await (await block.waitForSelector(".btn.execute")).click();
  const live = await block.waitForSelector(".live-responses-table tr.response .response-col_status");
  const status = await live.evaluate((cell) => cell.textContent.trim().split(/\s/)[0]);
  const body = await block.$eval(".live-responses-table", (table) => table.textContent);
  await block.evaluate((element) => element.scrollIntoView());
  return { status, body };
}
