// The overview: what happens now, who runs where, the tasks, and what could not be loaded.

import { changes, state } from "./api.js";
import { heat, lines, spark } from "./charts.js";
import { bytes, count, duration, el, mark, ms, number, percent, rate, say } from "./dom.js";
import { MEANS, term } from "./terms.js";

const ROWS_MAX = 200;
const REORDER_MS = 2000;
const LEVELS = 4;

/** A task whose calls compute for less of their time mostly waits, unless that takes much of the workers. */
const WAITS_PART = 0.05;
const WAITS_SHARE = 0.1;

/** Where the address of what could not be loaded leads. */
export const NOT_LOADED = "not-loaded";

/** Fills `main`, and keeps it up to date until `bin` is emptied. */
export function overview(main, bin) {
  const parts = [tiles(), charts(bin), workers(), tasks(bin), failures(), flight()];
  main.append(el("h1", { class: "hidden", text: "Overview" }), ...parts.map((part) => part.node));
  const update = () => parts.forEach((part) => part.update());
  bin.listen(changes, "tick", update);
  bin.listen(changes, "state", update);
  update();
}

function panel(title, ...children) {
  const heading = el("h2", { text: title });
  return el("section", { class: "panel", "aria-label": title }, el("header", {}, heading), ...children);
}

/** The numbers on top. */
function tiles() {
  const tile = (label, means) => {
    const value = el("dd", { class: "value", text: "–" });
    const more = el("dd", { class: "more" });
    return { node: el("div", { class: "tile" }, el("dt", {}, term(means, label)), value, more), value, more };
  };
  const all = {
    calls: tile("Calls per second", "calls"),
    latency: tile("Latency, p50 / p99", "latency"),
    flight: tile("In flight", "flight"),
    workers: tile("Workers busy", "workers"),
    slots: tile("Slots", "slots"),
    memory: tile("Memory held", "held"),
  };
  const meters = { workers: meter(), slots: meter(), memory: meter() };
  for (const [name, bar] of Object.entries(meters)) all[name].node.append(bar.node);
  const node = el("dl", { class: "tiles" }, Object.values(all).map((one) => one.node));
  const set = (name, value, more) => {
    say(all[name].value, value);
    say(all[name].more, more);
  };
  const update = () => {
    const { pool, memory, history, latency_ms: latency } = state;
    // Over two seconds: half a second of one call in a second is either nothing or two.
    const last = history.slice(-4);
    const mean = (of) => last.reduce((sum, sample) => sum + of(sample), 0) / Math.max(1, last.length);
    const errors = mean((sample) => sample.errors);
    set("calls", rate(mean((sample) => sample.calls)), errors > 0 ? `${rate(errors)} failed per second` : "none failed");
    mark(all.calls.more, "data-tone", errors > 0 ? "bad" : null);
    set("latency", latency ? `${ms(latency.p50)} / ${ms(latency.p99)}` : "–", "of the last 10 s");
    const queued = pool.queued.reduce((sum, of) => sum + of, 0);
    set("flight", number(state.in_flight), `${number(queued)} queued, ${number(pool.parked)} parked`);
    const busy = pool.workers - pool.idle_workers;
    set("workers", `${busy} of ${pool.workers}`, `${number(pool.preemptions_per_s)} preemptions/s`);
    meters.workers.set(busy / pool.workers);
    set("slots", `${number(pool.permits)} of ${number(pool.runs_max)}`, `${count(pool.waiting, "call")} wait for one`);
    meters.slots.set(pool.permits / pool.runs_max);
    set("memory", bytes(memory.held_bytes), `of ${bytes(memory.budget_bytes)}, ${bytes(memory.resident_bytes)} resident`);
    meters.memory.set(memory.held_bytes / memory.budget_bytes);
  };
  return { node, update };
}

/** A bar whose number stands beside it already. */
export function meter() {
  const fill = el("span");
  const node = el("div", { class: "meter", "aria-hidden": "true" }, fill);
  return {
    node,
    set(part) {
      fill.style.setProperty("width", `${Math.min(100, Math.max(0, part * 100))}%`);
      mark(fill, "data-tone", part > 0.9 ? "bad" : part > 0.7 ? "warn" : null);
    },
  };
}

/** Calls, latency, heat. */
function charts(bin) {
  let history = [];
  const figure = (title, keys) => {
    const values = keys.map(({ label, colour }) => {
      const value = el("b");
      return { value, node: el("span", { class: "key" }, el("i", { class: `swatch ${colour}` }), label, " ", value) };
    });
    const body = el("div", { class: "chart", role: "img", "aria-label": title });
    const node = el("figure", { class: "panel" },
      el("figcaption", {}, el("h2", { text: title }), el("span", { class: "keys" }, values.map((of) => of.node))), body);
    return { node, body, values };
  };
  const calls = figure("Calls per second", [
    { label: "calls", colour: "accent" }, { label: "failed", colour: "bad" },
  ]);
  const latency = figure("Latency", [{ label: "p50", colour: "accent" }, { label: "p99", colour: "warn" }]);
  const readCalls = (sample) => [rate(sample?.calls ?? 0), rate(sample?.errors ?? 0)];
  const readLatency = (sample) => [ms(sample?.p50), ms(sample?.p99)];
  const reader = (chart, read) => {
    let at = null;
    const tell = () => read(at === null ? history.at(-1) : history[at]).forEach((text, index) =>
      say(chart.values[index].value, text));
    return { tell, told: (index) => { at = index; tell(); } };
  };
  const [callsRead, latencyRead] = [reader(calls, readCalls), reader(latency, readLatency)];
  const setCalls = lines(calls.body, bin, {
    series: [{ label: "calls", colour: "accent", filled: true }, { label: "failed", colour: "bad" }],
    told: callsRead.told,
  });
  const setLatency = lines(latency.body, bin, {
    series: [{ label: "p50", colour: "accent" }, { label: "p99", colour: "warn" }],
    logarithmic: true,
    told: latencyRead.told,
  });
  const canvas = el("canvas", { class: "chart", role: "img", "aria-label": "Calls by how long they took" });
  const word = el("span", { class: "keys" });
  const map = el("figure", { class: "panel" },
    el("figcaption", {}, el("h2", { text: "How long calls took" }), word), canvas);
  const setHeat = heat(canvas, bin, (text) => say(word, text));
  const node = el("div", { class: "charts" }, calls.node, latency.node, map);
  const update = () => {
    history = state.history;
    const now = history.at(-1)?.at_ms ?? 0;
    const x = history.map((sample) => (sample.at_ms - now) / 1000);
    const of = (name) => history.map((sample) => sample[name]);
    setCalls([x, of("calls"), of("errors")]);
    setLatency([x, of("p50"), of("p99")]);
    setHeat(history, state.heat_bounds_ms);
    callsRead.tell();
    latencyRead.tell();
    const last = history.at(-1);
    mark(calls.body, "aria-label", `Calls per second over the last two minutes; now ${number(last?.calls ?? 0)}`);
    mark(latency.body, "aria-label", `Latency over the last two minutes; now p50 ${ms(last?.p50)}, p99 ${ms(last?.p99)}`);
  };
  return { node, update };
}

/** Who runs where, and who waits on which level. */
function workers() {
  const list = el("ol", { class: "workers", start: "0" });
  const cells = [];
  const levels = el("dl", { class: "levels" });
  const rows = [];
  const words = Object.fromEntries(["parked", "urgent", "slices", "preemptions", "demotions"].map((of) => [of, term(of, "")]));
  const rates = el("p", { class: "muted small words" }, Object.values(words));
  const node = panel("Workers and levels",
    el("div", { class: "split" }, el("div", {}, list), el("div", {}, levels, rates)));
  const cell = (index) => {
    const what = el("a", { class: "what" });
    const more = el("span", { class: "more" });
    const one = el("li", {}, el("span", { class: "no", text: `worker ${index}` }), what, more);
    list.append(one);
    return { one, what, more };
  };
  const level = (label) => {
    const waiting = el("dd");
    const bar = meter();
    levels.append(el("div", {}, el("dt", {}, term("level", label)), waiting, el("dd", {}, bar.node)));
    return { waiting, bar };
  };
  const update = () => {
    const { pool } = state;
    while (cells.length < state.workers.length) cells.push(cell(cells.length));
    while (cells.length > state.workers.length) cells.pop().one.remove();
    const running = new Array(pool.queued.length).fill(0);
    state.workers.forEach((run, index) => {
      const { one, what, more } = cells[index];
      mark(one, "data-level", run ? Math.min(run.level, LEVELS - 1) : "idle");
      say(what, run ? name(run) : "idle");
      mark(what, "href", run ? `#/tasks/${run.task}` : null);
      say(more, run ? `level ${run.level} · ${ms(run.cpu_ms)} CPU in ${ms(run.elapsed_ms)}` : "");
      if (run && run.level < running.length) running[run.level] += 1;
    });
    while (rows.length < pool.queued.length) rows.push(level(`Level ${rows.length}`));
    const most = Math.max(1, ...pool.queued);
    pool.queued.forEach((queued, index) => {
      say(rows[index].waiting, `${number(running[index])} run, ${number(queued)} wait`);
      rows[index].bar.set((queued / most) * 0.7);
    });
    say(words.parked, `${count(pool.parked, "run")} parked`);
    say(words.urgent, `${number(pool.urgent)} being stopped`);
    words.urgent.hidden = pool.urgent === 0;
    for (const of of ["slices", "preemptions", "demotions"]) say(words[of], `${number(pool[`${of}_per_s`])} ${of}/s`);
  };
  return { node, update };
}

function name(call) {
  return call.function && call.function !== call.task ? `${call.task}/${call.function}` : call.task;
}

const COLUMNS = [
  { key: "name", label: "Task", text: true },
  { key: "history", label: "Last two minutes", fixed: true, wide: true },
  { key: "cpu_share", label: "CPU", means: MEANS.cpu },
  { key: "p50_ms", label: "p50", means: MEANS.p50 },
  { key: "p99_ms", label: "p99", means: MEANS.p99 },
  { key: "error_rate", label: "Failed", means: MEANS.failed },
  { key: "rate", label: "Calls/s", means: `${MEANS.calls}, over the last 5 s`, wide: true },
  { key: "running", label: "In flight", means: MEANS.flight, wide: true },
  { key: "calls", label: "Calls", means: "Calls that came since the task was loaded", wide: true },
  { key: "memory_bytes_max", label: "Memory, most", means: MEANS.memory, wide: true },
];

/** How the table is sorted: for as long as the page lives, so that whoever comes back from a task finds it again. */
let sort = { key: "cpu_share", down: true };

/** The table of tasks. */
function tasks(bin) {
  let filter = "";
  let reordered = 0;
  const rows = new Map();
  const body = el("tbody");
  const heads = COLUMNS.map((column) => {
    const button = column.fixed ? el("span", { text: column.label })
      : el("button", { type: "button", class: "plain", text: column.label, title: column.means, onclick: () => by(column) });
    return el("th", { scope: "col", class: classes(column) }, button);
  });
  const search = el("input", {
    type: "search", placeholder: "Filter", "aria-label": "Filter tasks by name",
    oninput: () => { filter = search.value.trim().toLowerCase(); order(); },
  });
  const note = el("p", { class: "muted small", hidden: true });
  const table = el("table", { class: "data" },
    el("caption", { class: "hidden", text: "Tasks" }), el("thead", {}, el("tr", {}, heads)), body);
  const node = panel("Tasks", el("div", { class: "scroll", tabindex: "0", role: "group", "aria-label": "Table of tasks" }, table), note);
  node.querySelector("header").append(search);

  function by(column) {
    sort = { key: column.key, down: sort.key === column.key ? !sort.down : !column.text };
    order();
  }
  function order() {
    reordered = performance.now();
    COLUMNS.forEach((column, index) => mark(heads[index], "aria-sort",
      column.key === sort.key ? (sort.down ? "descending" : "ascending") : null));
    const value = (task) => task[sort.key] ?? -1;
    const sign = sort.down ? -1 : 1;
    const all = [...state.tasks.values()].filter((task) => task.name.includes(filter));
    all.sort((a, b) => {
      const [x, y] = [value(a), value(b)];
      return (x < y ? -sign : x > y ? sign : 0) || (a.name < b.name ? -1 : 1);
    });
    const shown = all.slice(0, ROWS_MAX);
    const wanted = new Set(shown.map((task) => task.name));
    for (const [of, row] of rows) {
      if (wanted.has(of)) continue;
      row.node.remove();
      rows.delete(of);
    }
    shown.forEach((task, index) => {
      if (!rows.has(task.name)) rows.set(task.name, row(task.name));
      const { node: line } = rows.get(task.name);
      if (body.children[index] !== line) body.insertBefore(line, body.children[index] ?? null);
    });
    const hidden = all.length - shown.length;
    note.hidden = hidden === 0 && all.length > 0;
    say(note, hidden > 0 ? `${ROWS_MAX} of ${count(all.length, "task")}; filter to see others`
      : filter ? "No task has that in its name" : "No task is loaded; put a module into the folder of tasks");
    fill();
  }
  function fill() {
    for (const [of, row] of rows) {
      const task = state.tasks.get(of);
      if (task) row.fill(task);
    }
  }
  function update() {
    const changed = [...rows.keys()].some((of) => !state.tasks.has(of))
      || (rows.size < ROWS_MAX && !filter && rows.size !== state.tasks.size);
    // Nothing moves under a hand.
    const held = node.querySelector("tbody:hover, tbody :focus") !== null;
    const due = sort.key !== "name" && !held && performance.now() - reordered > REORDER_MS;
    if (changed || due) order();
    else fill();
  }
  bin.add(() => rows.clear());
  return { node, update };
}

function classes(column) {
  return [column.text ? "text" : "", column.wide ? "wide" : ""].join(" ").trim() || null;
}

/** A line of the table. */
function row(task) {
  const canvas = el("canvas", { class: "spark", "aria-hidden": "true" });
  const cpu = meter();
  const share = el("span");
  const cells = Object.fromEntries(COLUMNS.slice(2).map((column) => [column.key, el("td", { class: classes(column) })]));
  cells.cpu_share.append(share, cpu.node);
  const waits = el("span", { class: "muted small waits", text: "waits", hidden: true });
  const node = el("tr", {},
    el("th", { scope: "row", class: "text" }, el("a", { href: `#/tasks/${task}`, text: task }), waits),
    el("td", { class: "wide" }, canvas),
    Object.values(cells));
  let drawn = "";
  const fill = (of) => {
    const ended = of.p50_ms !== null;
    say(cells.rate, rate(of.rate));
    say(cells.running, number(of.running));
    say(cells.calls, number(of.calls));
    say(cells.error_rate, ended ? percent(of.error_rate) : "–");
    mark(cells.error_rate, "data-tone", of.error_rate > 0 ? "bad" : null);
    say(cells.p50_ms, ms(of.p50_ms));
    say(cells.p99_ms, ms(of.p99_ms));
    say(share, percent(of.cpu_share));
    cpu.set(of.cpu_share * 0.7);
    waits.hidden = !(of.cpu_part !== null && of.cpu_part < WAITS_PART && of.cpu_share < WAITS_SHARE);
    if (!waits.hidden) mark(waits, "title", `Its calls compute for ${percent(of.cpu_part)} of their time; else they wait: for a timer, the network or a worker`);
    say(cells.memory_bytes_max, of.memory_bytes_max > 0 ? bytes(of.memory_bytes_max) : "–");
    mark(node, "data-idle", of.rate === 0 && of.running === 0 ? "" : null);
    const now = `${of.history.length} ${canvas.clientWidth} ${of.history.join(" ")}`;
    if (now !== drawn) spark(canvas, of.history);
    drawn = now;
  };
  return { node, fill };
}

/** What could not be loaded. */
function failures() {
  const list = el("ul", { class: "failures" });
  const node = panel("Not loaded", list);
  mark(node, "id", NOT_LOADED);
  mark(node, "tabindex", "-1");
  let shown = "";
  const update = () => {
    const now = JSON.stringify([state.failures, state.loading]);
    node.hidden = state.failures.length === 0 && state.loading.length === 0;
    if (now === shown) return;
    shown = now;
    list.replaceChildren(
      ...state.loading.map((task) => el("li", {}, el("strong", { text: task }), el("p", { text: "is being compiled" }))),
      ...state.failures.map((failure) => el("li", { class: "bad" },
        el("strong", { text: failure.file }),
        el("p", { class: "reason", text: failure.reason }),
        failure.remedies.length > 0 && el("ul", { class: "remedies" }, failure.remedies.map((text) => el("li", { text }))),
        failure.serving && el("p", { class: "muted", text: `${failure.serving} goes on serving` }))));
  };
  return { node, update };
}

const FLIGHT = ["Call", "Task", "State", "For", "CPU", "Memory", "Progress"];

/** The oldest calls in flight. */
function flight() {
  const body = el("tbody");
  const none = el("p", { class: "muted", text: "No call is in flight." });
  const note = el("p", { class: "muted small" });
  const table = el("div", { class: "scroll", tabindex: "0", role: "group", "aria-label": "Table of calls in flight" },
    el("table", { class: "data" }, el("caption", { class: "hidden", text: "Calls in flight" }),
      el("thead", {}, el("tr", {}, FLIGHT.map((label, index) =>
        el("th", { scope: "col", class: [index < 3 && "text", (index === 0 || index > 3) && "wide"].filter(Boolean).join(" ") || null, text: label })))), body));
  const node = panel("Calls in flight", none, table, note);
  const rows = new Map();
  const update = () => {
    const { calls } = state;
    none.hidden = calls.length > 0;
    table.hidden = calls.length === 0;
    const more = state.in_flight - calls.length;
    note.hidden = more <= 0;
    say(note, `The oldest ${calls.length}; ${number(more)} more`);
    const ids = new Set(calls.map((call) => call.id));
    for (const [id, row] of rows) {
      if (ids.has(id)) continue;
      row.node.remove();
      rows.delete(id);
    }
    calls.forEach((call, index) => {
      if (!rows.has(call.id)) rows.set(call.id, flying(call));
      const { node: line, fill } = rows.get(call.id);
      if (body.children[index] !== line) body.insertBefore(line, body.children[index] ?? null);
      fill(call);
    });
  };
  return { node, update };
}

function flying(call) {
  const [state_, elapsed, cpu, memory, progress] = [
    el("td", { class: "text" }), el("td"), el("td", { class: "wide" }), el("td", { class: "wide" }), el("td", { class: "wide" }),
  ];
  const node = el("tr", {},
    el("th", { scope: "row", class: "text id wide" }, linked(call, call.id)),
    el("td", { class: "text" }, linked(call, name(call))),
    state_, elapsed, cpu, memory, progress);
  const fill = (of) => {
    say(state_, standing(of));
    say(elapsed, of.elapsed_ms < 100_000 ? ms(of.elapsed_ms) : duration(of.elapsed_ms / 1000));
    say(cpu, ms(of.cpu_ms));
    say(memory, bytes(of.memory_bytes));
    say(progress, of.progress ? `${percent(of.progress.fraction)} ${of.progress.message}` : "–");
  };
  return { node, fill };
}

/** A text that leads to the call's task, if that is still served. */
function linked(call, text) {
  return state.tasks.has(call.task) ? el("a", { href: `#/tasks/${call.task}`, text }) : text;
}

/** Where a call is, in words. */
export function standing(call) {
  if (call.state === "running" && call.worker !== null) return `running on worker ${call.worker}, level ${call.level}`;
  if (call.state === "queued") return `queued on level ${call.level}`;
  return call.state === "waiting" ? "waits for a slot" : call.state;
}
