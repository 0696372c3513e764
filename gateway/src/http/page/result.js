// What came of a call: pictures as pictures, text as text, JSON indented, problems with what to do about them.

import { bytes, el, ms, number } from "./dom.js";

/** Characters of a text that are shown; the rest can be downloaded. */
const TEXT_MAX = 100_000;

/**
 * Where a call's time went, in the order of time but for the run, whose slices are put together: on a processor, and not.
 * What is missing to the total is waiting for the network and the like.
 */
const PHASES = [
  ["queue", "queue"],
  ["instantiate", "instantiate"],
  ["run", "run, on CPU"],
  ["off", "run, off CPU (waits, parked or preempted)"],
  ["encode", "encode"],
];

/** The phases in words, of milliseconds of each and of the CPU time of all after the queue. */
export function spent({ queue = 0, instantiate = 0, run = 0, encode = 0, cpu = 0 }) {
  // Instantiating and encoding compute.
  const on = Math.min(run, Math.max(0, cpu - instantiate - encode));
  const times = { queue, instantiate, run: on, off: run - on, encode };
  return PHASES.map(([name, label]) => ({ name, label, ms: times[name] }));
}

/** A bar of a call's phases, with its words for those who see no bar. */
export function phases(of, total) {
  const known = spent(of);
  const sum = Math.max(total ?? 0, known.reduce((all, phase) => all + phase.ms, 0));
  const words = known.map((phase) => `${phase.label} ${ms(phase.ms)}`).join(", ");
  const parts = known.map((phase) => el("span", {
    class: phase.name, style: { width: `${sum > 0 ? (phase.ms / sum) * 100 : 0}%` },
  }));
  return el("div", { class: "phases", role: "img", "aria-label": words, title: words }, parts);
}

/** The key to [`phases`]. */
export function key() {
  return el("p", { class: "keys" }, PHASES.map(([name, label]) =>
    el("span", { class: "key" }, el("i", { class: `swatch ${name}` }), label)));
}

/** `Server-Timing` as an object of milliseconds. */
function timing(headers) {
  const times = {};
  for (const part of (headers.get("Server-Timing") ?? "").split(",")) {
    const [name, ...rest] = part.split(";").map((word) => word.trim());
    const time = rest.map((word) => /^dur=(.*)$/.exec(word)?.[1]).find(Boolean);
    if (time !== undefined) times[name] = Number(time);
  }
  return times;
}

/** A response as nodes. `bin` gets what holds memory. */
export async function shown(answer, took, bin) {
  const type = (answer.headers.get("Content-Type") ?? "").split(";")[0].trim().toLowerCase();
  const blob = await answer.blob();
  const times = timing(answer.headers);
  const facts = [`${answer.status} ${answer.statusText}`.trim(), `${ms(took)} as seen from here`];
  if (times.cpu !== undefined) facts.push(`${ms(times.cpu)} CPU`);
  if (blob.size > 0) facts.push(bytes(blob.size), type || "no media type");
  const version = answer.headers.get("Unblock-Task");
  const head = el("p", { class: answer.ok ? "facts" : "facts bad" }, facts.join(" · "));
  const nodes = [head];
  if (Object.keys(times).length > 0) nodes.push(phases(times), key());
  nodes.push(await body(answer, type, blob, bin));
  nodes.push(el("p", { class: "muted small" }, "call ", el("code", { text: answer.headers.get("X-Request-Id") ?? "" }),
    version && [" of ", el("code", { text: version })]));
  return nodes;
}

async function body(answer, type, blob, bin) {
  if (type === "application/problem+json") return problem(JSON.parse(await blob.text()));
  if (answer.status === 204 || blob.size === 0) return el("p", { class: "muted", text: "No content." });
  const url = URL.createObjectURL(blob);
  bin.add(() => URL.revokeObjectURL(url));
  const name = `result.${extension(type)}`;
  const save = el("a", { class: "button", href: url, download: name, text: `Download ${bytes(blob.size)}` });
  if (/^image\/(png|jpeg|gif|webp|avif|svg\+xml|bmp)$/.test(type)) {
    return el("div", {}, el("img", { class: "result", src: url, alt: "The picture that the call returned" }), save);
  }
  if (type.startsWith("text/") || type.endsWith("json") || type.endsWith("+xml") || type === "application/xml") {
    return el("div", {}, text(await blob.text(), type.endsWith("json")), save);
  }
  return el("div", {}, save);
}

function extension(type) {
  const known = { "image/png": "png", "image/jpeg": "jpg", "image/gif": "gif", "image/webp": "webp", "image/svg+xml": "svg",
    "application/json": "json", "text/plain": "txt", "text/html": "html", "text/csv": "csv", "application/pdf": "pdf" };
  return known[type] ?? "bin";
}

/** A text in a box that can be scrolled. */
export function text(content, json = false, label = "Result") {
  let all = content;
  if (json) {
    try {
      all = JSON.stringify(JSON.parse(content), null, 2);
    } catch {
      // As it came.
    }
  }
  const cut = all.length > TEXT_MAX;
  const pre = el("pre", { class: "result", tabindex: "0", role: "group", "aria-label": label, text: cut ? all.slice(0, TEXT_MAX) : all });
  return cut ? el("div", {}, pre, el("p", { class: "muted", text: `The first ${number(TEXT_MAX)} of ${number(all.length)} characters.` })) : pre;
}

/** An error that a function returned may be about what it was given, or not. */
export const TASK_ERROR = "task-error";
export const WHO_OF_TASK_ERROR = "You, if the value says so; else the task's author.";

const WHO = { caller: "The request has to change.", task: "The task's author has to act.", gateway: "The gateway's operator has to act, or it helps to try again." };

/** A problem document: what happened, where, and what to do. */
export function problem(document) {
  const kind = document.type?.split("/").at(-1) ?? "";
  const rows = [
    ["Who acts", kind === TASK_ERROR ? WHO_OF_TASK_ERROR : WHO[document.blame]],
    ["Phase", document.phase],
    ["Limit", document.limit && `${document.limit.name} = ${document.limit.value}`],
    ["Place", document.pointer],
    ["Expected", document.expected],
    ["Perhaps meant", document.nearest?.join(", ")],
  ].filter(([, value]) => value);
  return el("div", { class: "problem" },
    el("h4", { text: document.title }),
    el("p", { class: "detail", text: document.detail }),
    document.hints && el("ul", {}, document.hints.map((hint) => el("li", { text: hint }))),
    el("dl", { class: "pairs" }, rows.map(([name, value]) => [el("dt", { text: name }), el("dd", { text: value })])),
    "value" in document && [el("h5", { text: "Value" }), text(JSON.stringify(document.value), true, "Value")],
    document.stderr && [el("h5", { text: "Standard error" }), text(document.stderr, false, "Standard error")],
    document.backtrace && [el("h5", { text: "Backtrace" }), text(document.backtrace.join("\n"), false, "Backtrace")],
    kind && el("p", {}, el("a", { href: `problems/${kind}`, text: `What ${kind} means` })));
}
