// One task: its functions with a form for each, its limits and grants, its calls, where its time goes.

import { ask, changes, json, state, token } from "./api.js";
import { Bin, bytes, count, duration, el, mark, ms, number, percent, prose, rate, say } from "./dom.js";
import { fields, told } from "./form.js";
import { standing } from "./overview.js";
import { key, phases, shown, spent, TASK_ERROR, text, WHO_OF_TASK_ERROR } from "./result.js";
import { term } from "./terms.js";

/** How often a call's progress is asked for. */
const PROGRESS_MS = 500;

/** How often it is asked whether the task is still the same, and for its last calls while it is busy. */
const LOOK_MS = 3000;
const CALLS_MS = 1000;

/** Calls of the list. */
const CALLS_MAX = 12;

/** Functions of the profile, the least part that one has, and how many samples make a good one. */
const FUNCTIONS_MAX = 10;
const PERCENT_MIN = 0.1;
const SAMPLES_FEW = 50;

/** Fills `main` with the task's page, and keeps it up to date until `bin` is emptied. */
export function task(main, bin, name) {
  const path = `tasks/${encodeURIComponent(name)}`;
  const body = el("div", { class: "task" });
  const inner = new Bin();
  let tag = null;
  let parts = [];
  main.append(el("h1", { text: name }), body);
  bin.add(() => inner.empty());

  async function load() {
    let description;
    try {
      description = await json(path);
    } catch (error) {
      // Disconnected: the frame says so, and what is shown stays.
      if (error.status === undefined) return;
      tag = null;
      inner.empty();
      parts = [];
      body.replaceChildren(...missing(name, error));
      return;
    }
    if (description.tag === tag) return;
    tag = description.tag;
    inner.empty();
    parts = [numbers(name), profile(name, path, inner), functions(description, inner), calls(name, path, inner), facts(description)];
    body.replaceChildren(head(description), ...parts.map((part) => part.node));
    update();
  }
  const update = () => parts.forEach((part) => part.update?.());
  bin.listen(changes, "tick", update);
  bin.listen(changes, "state", () => { load(); update(); });
  bin.every(LOOK_MS, load);
  load();
}

function missing(name, error) {
  const failure = state?.failures.find((of) => of.task === name);
  return [
    el("p", { class: "wrong", role: "alert", text: error.message }),
    failure && el("ul", { class: "remedies" }, failure.remedies.map((remedy) => el("li", { text: remedy }))),
    el("p", {}, el("a", { href: "#/", text: "To the overview" })),
  ].filter(Boolean);
}

function head(of) {
  const loaded = new Date(of.loaded).toLocaleString();
  return el("div", {},
    of.description && el("p", { class: "lead" }, prose(of.description)),
    el("p", { class: "muted small" }, `${of.kind} · ${of.size} · version `, el("code", { text: of.digest }), ` · loaded ${loaded}`),
    of.warnings.length > 0 && el("ul", { class: "warnings" }, of.warnings.map((warning) => el("li", { text: warning }))));
}

/** What it does now. */
function numbers(name) {
  const tile = ([means, label]) => {
    const value = el("dd", { class: "value", text: "–" });
    return { value, node: el("div", { class: "tile" }, el("dt", {}, term(means, label)), value) };
  };
  const labels = [
    ["calls", "Calls per second"], ["flight", "In flight"], ["failed", "Failed"], ["p50", "p50"], ["p99", "p99"],
    ["cpu", "CPU, of all workers"], ["memory", "Memory, most"],
  ];
  const all = labels.map(tile);
  const update = () => {
    const of = state.tasks.get(name);
    if (!of) return;
    const values = [
      rate(of.rate), number(of.running), of.p50_ms === null ? "–" : percent(of.error_rate), ms(of.p50_ms), ms(of.p99_ms),
      percent(of.cpu_share), of.memory_bytes_max > 0 ? bytes(of.memory_bytes_max) : "–",
    ];
    values.forEach((value, index) => say(all[index].value, value));
  };
  return { node: el("dl", { class: "tiles small" }, all.map((one) => one.node)), update };
}

function section(title, ...children) {
  return el("section", { class: "panel", "aria-label": title }, el("header", {}, el("h2", { text: title })), ...children);
}

/** The functions, each with a form; a task of streams has one form for any request. */
function functions(of, bin) {
  const streams = of.kind === "http" || of.kind === "command";
  const all = streams ? [request(of, bin)] : of.functions.map((one) => callable(one, of, bin));
  const hidden = of.hidden.length > 0 && el("details", {},
    el("summary", { text: `${of.hidden.length} exports that cannot be called` }),
    el("dl", { class: "pairs" }, of.hidden.map((one) => [el("dt", { text: one.name }), el("dd", { text: one.reason })])));
  const routes = of.routes.length > 0 && el("p", { class: "muted small" }, "Routes of its own: ",
    of.routes.map((route, index) => [index > 0 && ", ", el("code", { text: `${route.method} ${route.path}` })]).flat());
  return { node: section(streams ? "Try a request" : all.length === 1 ? "Try it" : "Functions", all, routes, hidden) };
}

/** The name of the parameter that is the body, if one of several parameters is. */
function bodied(of) {
  if (!of.raw_body) return null;
  return Object.entries(of.params.properties ?? {}).find(([, schema]) => schema.contentEncoding === "base64")?.[0] ?? null;
}

function callable(of, task, bin) {
  const body = of.raw_body ? picker() : null;
  const form = fields(of.params, [bodied(of)]);
  const make = () => {
    const given = form.read();
    if (!body) return { method: "POST", url: of.url, json: given };
    const query = queried(given);
    return { method: "POST", url: query ? `${of.url}?${query}` : of.url, ...body.read() };
  };
  const sender = caller(make, bin, { blame: form.blame });
  const empty = form.empty && !body && el("p", { class: "muted small", text: "It takes no parameters." });
  const several = task.functions.length > 1;
  return el("article", { class: "function" },
    several ? el("h3", { text: of.name }) : null,
    el("p", { class: "signature" }, el("code", { text: `${of.name}: ${of.signature}` })),
    of.description && of.description !== task.description ? el("p", { class: "doc" }, prose(of.description)) : null,
    el("div", { class: "try" },
      el("form", { novalidate: true, onsubmit: sender.send, "aria-label": `Call ${of.name}` }, form.node, body?.node, empty, sender.node),
      sender.result));
}

/** Parameters in a query: a repeated name is a list of words, anything deeper is JSON. */
function queried(given) {
  const query = new URLSearchParams();
  const word = (value) => (typeof value === "string" ? value : JSON.stringify(value));
  for (const [name, value] of Object.entries(given)) {
    if (Array.isArray(value) && value.length > 0 && value.every((item) => typeof item !== "object")) {
      value.forEach((item) => query.append(name, word(item)));
    } else {
      query.append(name, word(value));
    }
  }
  return query.toString();
}

let pickers = 0;

/** The body of a request: a file, or a text. */
function picker() {
  const id = `body-${(pickers += 1)}`;
  const input = el("input", { id, type: "file" });
  const area = el("textarea", { id: `${id}-text`, rows: 2, spellcheck: "false" });
  const preview = el("img", { class: "preview", alt: "The file that was picked", hidden: true });
  let url = null;
  input.addEventListener("change", () => {
    if (url) URL.revokeObjectURL(url);
    const [file] = input.files;
    url = file?.type.startsWith("image/") ? URL.createObjectURL(file) : null;
    preview.hidden = !url;
    if (url) preview.src = url;
  });
  const node = el("fieldset", { class: "field" }, el("legend", {}, "request body ", el("span", { class: "type", text: "bytes" })),
    el("div", { class: "row" }, el("label", { for: id, text: "File" }), input), preview,
    el("label", { for: `${id}-text`, text: "or text" }), area);
  const read = () => {
    const [file] = input.files;
    if (file) return { body: file, type: file.type || "application/octet-stream", file: file.name };
    return area.value === "" ? {} : { body: area.value, type: "text/plain; charset=utf-8" };
  };
  return { node, read };
}

/** Any request to a task that takes them as they come. */
function request(of, bin) {
  const id = `request-${of.name}`;
  const methods = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD"];
  const method = el("select", { id: `${id}-method` }, methods.map((name) => el("option", { text: name })));
  const below = el("input", { id: `${id}-path`, type: "text", placeholder: "path?name=value", autocomplete: "off", spellcheck: "false" });
  const body = picker();
  if (of.kind === "command") method.value = "POST";
  const make = () => {
    const path = below.value.trim().replace(/^\//, "");
    const plain = method.value === "GET" || method.value === "HEAD";
    return { method: method.value, url: `/tasks/${of.name}${path.startsWith("?") ? "" : "/"}${path}`, ...(plain ? {} : body.read()) };
  };
  const sender = caller(make, bin, {});
  const help = of.kind === "command"
    ? "The body is its standard input; segments of the path and arg=VALUE are its arguments."
    : "Everything below its name is the task's own.";
  return el("article", { class: "function" }, el("p", { class: "muted small", text: help }),
    el("div", { class: "try" }, el("form", { novalidate: true, onsubmit: sender.send, "aria-label": `Request to ${of.name}` },
      el("div", { class: "fields" },
        el("div", { class: "field" }, el("label", { for: `${id}-method`, text: "method" }), method),
        el("div", { class: "field" }, el("label", { for: `${id}-path`, text: `below /tasks/${of.name}/` }), below)),
      body.node, sender.node), sender.result));
}

/** What makes the call of a form: its buttons, and where its result goes. */
function caller(make, bin, { blame }) {
  const results = new Bin();
  bin.add(() => results.empty());
  const button = el("button", { type: "submit", class: "primary", text: "Call" });
  const cancel = el("button", { type: "button", text: "Cancel", hidden: true });
  const word = el("span", { class: "muted", role: "status" });
  const line = el("code");
  const command = el("details", { class: "command" }, el("summary", { text: "As a command" }), el("pre", {}, line));
  const result = el("div", { class: "outcome", "aria-live": "polite" });
  const node = el("div", {}, el("div", { class: "row" }, button, cancel, word), command);
  command.addEventListener("toggle", () => {
    if (command.open) tell();
  });
  function tell() {
    try {
      say(line, curl(make()));
    } catch {
      say(line, "Fill the form in first.");
    }
  }
  async function send(event) {
    event.preventDefault();
    blame?.(null, "");
    let wish;
    try {
      wish = make();
    } catch (error) {
      if (told(error)) return;
      throw error;
    }
    if (command.open) tell();
    const stop = new AbortController();
    const id = `page-${Math.random().toString(36).slice(2, 12)}`;
    const headers = { "X-Request-Id": id };
    const body = wish.json === undefined ? wish.body : JSON.stringify(wish.json);
    if (wish.json !== undefined) headers["Content-Type"] = "application/json";
    else if (wish.body !== undefined) headers["Content-Type"] = wish.type;
    button.disabled = true;
    cancel.hidden = false;
    cancel.onclick = () => stop.abort();
    const start = performance.now();
    const timer = setInterval(() => progress(id, start, word), PROGRESS_MS);
    results.add(() => stop.abort());
    try {
      const answer = await ask(wish.url, { method: wish.method, headers, body, signal: stop.signal });
      const nodes = await shown(answer.clone(), performance.now() - start, results);
      result.replaceChildren(...nodes);
      if (!answer.ok) await point(answer, blame);
    } catch (error) {
      const gone = stop.signal.aborted;
      const took = ms(performance.now() - start);
      result.replaceChildren(el("p", { class: gone ? "facts" : "facts bad",
        text: gone ? `Cancelled after ${took}: the gateway stops the run.` : `No answer: ${error.message}` }));
    } finally {
      clearInterval(timer);
      button.disabled = false;
      cancel.hidden = true;
      say(word, "");
    }
  }
  return { node, result, send };
}

/** Says at its field what a problem is about. */
async function point(answer, blame) {
  try {
    const problem = await answer.json();
    if (problem.pointer) blame?.(problem.pointer, `found something else, expected ${problem.expected}`);
  } catch {
    // Not every answer is a problem document.
  }
}

/** How far a call is. */
async function progress(id, start, word) {
  const elapsed = duration((performance.now() - start) / 1000);
  try {
    const call = await json(`calls/${id}`);
    if (call.state === undefined) return;
    const report = call.progress ? ` · ${percent(call.progress.fraction)} ${call.progress.message}` : "";
    say(word, `${elapsed} · ${standing(call)} · ${ms(call.cpu_ms)} CPU${report}`);
  } catch {
    // A token for calls need not allow this.
    say(word, elapsed);
  }
}

/** The same call for a terminal. */
function curl(wish) {
  const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;
  const words = ["curl"];
  if (wish.method !== "GET" && !(wish.method === "POST" && (wish.json !== undefined || wish.body !== undefined))) {
    words.push(wish.method === "HEAD" ? "-I" : `-X ${wish.method}`);
  }
  words.push(quoted(new URL(wish.url, location.href).href));
  if (wish.json !== undefined) words.push(`-H 'Content-Type: application/json' -d ${quoted(JSON.stringify(wish.json))}`);
  else if (wish.file) words.push(`--data-binary ${quoted(`@${wish.file}`)}`);
  else if (wish.body !== undefined) words.push(`--data-binary ${quoted(wish.body)}`);
  return words.join(" ");
}

/** Its calls in flight and its last ones. */
function calls(name, path, bin) {
  const body = el("tbody");
  const flying = el("ul", { class: "flying" });
  const none = el("p", { class: "muted", text: "No call has ended yet." });
  const heads = [["Came at", "text"], ["Function", "text wide"], ["Outcome", "text"], ["Took"], ["Phases", "wide"], ["CPU", "wide"], ["Memory", "wide"], ["", "text"]];
  const table = el("div", { class: "scroll", tabindex: "0", role: "group", "aria-label": "Table of calls" },
    el("table", { class: "data" }, el("caption", { class: "hidden", text: "Calls that have ended" }),
      el("thead", {}, el("tr", {}, heads.map(([label, kind]) => (label
        ? el("th", { scope: "col", class: kind, text: label }) : el("td", { class: kind }))))), body));
  const legend = key();
  const note = el("p", { class: "muted small" });
  const kept = opened(body);
  const node = section("Calls", flying, none, table, kept.node, note, legend);
  let known = "";
  let asking = false;
  async function load() {
    if (asking) return;
    asking = true;
    try {
      const { in_flight: all, calls: live, ended } = await json(`${path}/-/calls`);
      flying.replaceChildren(...live.slice(0, CALLS_MAX).map((call) => el("li", {},
        el("code", { text: call.id }), ` ${call.function} · ${ms(call.elapsed_ms)} · ${standing(call)}`,
        call.progress ? ` · ${percent(call.progress.fraction)} ${call.progress.message}` : "")));
      const last = ended.slice(0, CALLS_MAX);
      const now = last.map((call) => `${call.id} ${call.started}`).join();
      table.hidden = legend.hidden = last.length === 0;
      none.hidden = last.length > 0;
      const cut = [
        all > CALLS_MAX && `In flight: the oldest ${CALLS_MAX} of ${number(all)}.`,
        ended.length > CALLS_MAX && `The last ${CALLS_MAX} of ${count(ended.length, "call")} that are kept.`,
      ].filter(Boolean);
      note.hidden = cut.length === 0;
      say(note, cut.join(" "));
      if (now === known) return;
      known = now;
      const focused = document.activeElement?.dataset?.call;
      body.replaceChildren(...last.map((call) => record(call, kept)));
      kept.mark();
      if (focused) body.querySelector(`[data-call="${CSS.escape(focused)}"]`)?.focus();
    } catch {
      // The frame tells of a connection that is gone; a token may not allow this.
    } finally {
      asking = false;
    }
  }
  let [seen, quiet] = ["", 0];
  const update = () => {
    const of = state.tasks.get(name);
    const now = of ? `${of.calls} ${of.running}` : "";
    // Once more after it has become quiet: a record is written a little after its answer.
    quiet = now === seen && !(of?.running > 0) ? quiet + 1 : 0;
    seen = now;
    if (quiet < 4) due = true;
  };
  let due = true;
  bin.every(CALLS_MS, () => {
    if (due) load();
    due = false;
  });
  load();
  return { node, update };
}

/** The id of where the details of a call are shown. */
const KEPT = "kept-call";

/** The details of one call of the table: below it, so that they do not move sideways with it. */
function opened(body) {
  let id = null;
  const heading = el("h3", { tabindex: "-1" });
  const content = el("div");
  const node = el("div", { class: "kept", id: KEPT, hidden: true },
    el("div", { class: "row" }, heading, el("button", { type: "button", class: "plain", text: "Close", onclick: () => toggle(id) })), content);
  const button = (of) => body.querySelector(`[data-call="${CSS.escape(of)}"]`);
  function show(next) {
    id = next;
    node.hidden = id === null;
    for (const one of body.querySelectorAll("[data-call]")) mark(one, "aria-expanded", String(one.dataset.call === id));
  }
  async function toggle(of) {
    if (of === id) {
      show(null);
      button(of)?.focus();
      return;
    }
    show(of);
    say(heading, `Call ${of}`);
    content.replaceChildren();
    try {
      const nodes = details(await json(`calls/${encodeURIComponent(of)}`));
      if (of === id) content.replaceChildren(...nodes);
    } catch (error) {
      if (of === id) content.replaceChildren(el("p", { class: "wrong", text: error.message }));
    }
    if (of === id) heading.focus();
  }
  return { node, toggle, mark: () => show(id) };
}

function record(call, kept) {
  const time = new Date(call.started).toLocaleTimeString();
  const button = el("button", { type: "button", class: "plain", "aria-expanded": "false", "data-call": call.id,
    "aria-controls": KEPT, "aria-label": `Details of call ${call.id}`, text: "Details", onclick: () => kept.toggle(call.id) });
  const outcome = el("span", { class: "chip", "data-tone": call.outcome === "ok" ? "good" : call.outcome === "cancelled" ? null : "bad", text: call.outcome });
  return el("tr", {},
    el("td", { class: "text", text: time }), el("td", { class: "text wide", text: call.function || "–" }), el("td", { class: "text" }, outcome),
    el("td", { text: ms(call.total_ms) }), el("td", { class: "wide" }, phases(times(call), call.total_ms)),
    el("td", { class: "wide", text: ms(call.cpu_ms) }), el("td", { class: "wide", text: bytes(call.memory_bytes) }),
    el("td", { class: "text" }, button));
}

/** Where its time went, as `Server-Timing` has it. */
function times(call) {
  return { queue: call.queue_ms, instantiate: call.instantiate_ms, run: call.run_ms, encode: call.encode_ms, cpu: call.cpu_ms };
}

/** What is kept of one call. */
function details(call) {
  if (call.outcome === undefined) return [el("p", { text: "A call of the same id is in flight." })];
  const pairs = [
    ["Function", call.function || null],
    ["Outcome", call.outcome],
    ["Who acts", call.outcome === TASK_ERROR ? WHO_OF_TASK_ERROR : null],
    ["Error's value", call.outcome === TASK_ERROR ? "It is not kept: only the caller got it." : null],
    ["Version", call.version],
    ["Took", ms(call.total_ms)],
    ...spent(times(call)).map((phase) => [phase.label, ms(phase.ms)]),
    ["CPU", ms(call.cpu_ms)],
    ["Memory, most", bytes(call.memory_bytes)],
    ["Slices, preemptions, level", [call.slices, call.preemptions, call.level].join(", ")],
    ["Received, sent", `${bytes(call.received_bytes)}, ${bytes(call.sent_bytes)}`],
    ["Failed in phase", call.phase],
    ["Limit", call.limit && `${call.limit.name} = ${call.limit.value}`],
  ].filter(([, value]) => value !== null && value !== undefined);
  const printed = [["Standard error", call.stderr], ["Standard output", call.stdout], ["Backtrace", call.backtrace?.join("\n")]];
  const said = printed.filter(([, of]) => of).flatMap(([label, of]) => [el("h4", { text: label }), text(of, false, label)]);
  return [
    el("dl", { class: "pairs" }, pairs.flatMap(([label, value]) => [el("dt", { text: label }), el("dd", { text: value })])),
    ...(said.length > 0 ? said : [el("p", { class: "muted", text: "It printed nothing." })]),
  ];
}

/** Where its processor time goes, if the gateway tells. */
function profile(name, path, bin) {
  const list = el("ol", { class: "profile" });
  const note = el("p", { class: "muted small" });
  const url = `${path}/-/profile`;
  // A link cannot carry a token.
  const graph = !token() && el("p", { class: "small" },
    el("a", { href: `${url}?format=flamegraph`, target: "_blank", rel: "noopener", text: "Flame graph" }), " (a new tab)");
  const node = section("Top functions by CPU", list, note, graph);
  node.hidden = true;
  let stopped = false;
  const line = (part, label) => el("li", {}, el("span", { class: "part", text: percent(part / 100) }),
    el("span", { class: "meter" }, el("span", { style: { width: `${part}%` } })), label);
  async function load() {
    if (stopped) return;
    try {
      const answer = await ask(url, { headers: { Accept: "application/json" } });
      // One that does not tell now will not tell later.
      stopped = answer.status === 404 || answer.status === 403;
      if (!answer.ok) return;
      const told = await answer.json();
      node.hidden = told.samples_per_second_max === 0;
      const top = told.functions.filter((of) => of.self_percent >= PERCENT_MIN).slice(0, FUNCTIONS_MAX);
      const rest = 100 - top.reduce((sum, of) => sum + of.self_percent, 0);
      list.replaceChildren(
        ...top.map((of) => line(of.self_percent, el("code", { text: of.name }))),
        ...(told.samples > 0 && rest >= PERCENT_MIN ? [line(rest, el("span", { class: "muted", text: "others" }))] : []));
      if (graph) graph.hidden = told.samples === 0;
      say(note, sampled(told));
    } catch {
      // Shown when it answers.
    }
  }
  /** What the profile is made of, or why there is none. */
  function sampled({ samples, window_seconds: seconds, cpu_ms: cpu }) {
    const window = `the last ${duration(seconds)}`;
    if (samples === 0 && !(state.tasks.get(name)?.calls > 0)) return "Nothing to sample yet: it was not called.";
    if (samples === 0) return `Too little CPU to sample: in ${window} its calls waited, or there were none.`;
    const few = samples < SAMPLES_FEW ? `few samples (${samples}): the parts are rough` : count(samples, "sample");
    return `${few} · ${ms(cpu)} of CPU time in ${window}`;
  }
  bin.every(LOOK_MS, load);
  load();
  return { node };
}

/** What it may take and use. */
function facts(of) {
  const pairs = (entries) => el("dl", { class: "pairs" }, entries
    .filter(([, value]) => value !== null && value !== undefined && value !== "")
    .flatMap(([label, value]) => [el("dt", { text: label }), el("dd", { text: value })]));
  const { limits, grants } = of;
  const granted = [
    ["Environment", grants.env.join(", ")],
    ["Folders", grants.dirs.map((dir) => `${dir.guest} (${dir.write ? "read and write" : "read"})`).join(", ")],
    ["HTTP", grants.http.join(", ")],
    ["Sockets", grants.sockets.join(", ")],
  ].filter(([, value]) => value);
  const limited = [
    ["Wall time", limits.wall], ["CPU time", limits.cpu], ["Memory", limits.memory], ["Request", limits.input],
    ["Response", limits.output], ["Stream", limits.stream], ["Runs at once", String(limits.concurrency)],
    ["Calls that wait", String(limits.queue)], ["Longest wait", limits.queue_wait], ["Weight", String(limits.weight)],
  ];
  const imports = of.imports.length > 0 && el("details", {},
    el("summary", { text: `${of.imports.length} imports` }), el("ul", { class: "imports" }, of.imports.map((name) => el("li", {}, el("code", { text: name })))));
  const node = el("div", { class: "pair" },
    section("Limits", pairs(limited)),
    section("Grants", granted.length > 0 ? pairs(granted) : el("p", { class: "muted", text: "None: no files, no network, no environment." }), imports));
  return { node };
}
