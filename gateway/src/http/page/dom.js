// Elements and numbers as text. Nothing here ever makes markup of a text.

const SVG = ["svg", "path"];

/** An element with properties: `class`, `text`, `on…` listeners, `style` by property, anything else an attribute. */
export function el(name, properties = {}, ...children) {
  const node = SVG.includes(name)
    ? document.createElementNS("http://www.w3.org/2000/svg", name)
    : document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (value === undefined || value === null || value === false) continue;
    if (key === "text") node.textContent = value;
    else if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else if (key === "style") for (const [of, to] of Object.entries(value)) node.style.setProperty(of, to);
    else node.setAttribute(key, value === true ? "" : value);
  }
  node.append(...children.flat(Infinity).filter((child) => child !== undefined && child !== null && child !== false));
  return node;
}

/** Changes a text only if it is another one, so that selections and screen readers are left alone. */
export function say(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** Sets or takes an attribute, if that changes anything. */
export function mark(node, name, value) {
  if (value === null || value === undefined || value === false) node.removeAttribute(name);
  else if (node.getAttribute(name) !== String(value)) node.setAttribute(name, value);
}

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const three = new Intl.NumberFormat("en", { maximumSignificantDigits: 3 });

/** 0.25, 7.1, 43, 12,345. */
export function number(value) {
  return Math.abs(value) >= 100 ? whole.format(value) : three.format(value);
}

const tenth = new Intl.NumberFormat("en", { maximumFractionDigits: 1 });

/** Things per second: 0.5, 22.2, 1,234. */
export function rate(value) {
  return value >= 100 ? whole.format(value) : tenth.format(value);
}

/** A doc comment: what stands between backticks is code. */
export function prose(text) {
  return text.split("`").map((piece, index) => (index % 2 === 1 ? el("code", { text: piece }) : piece));
}

/** Milliseconds with the unit that suits: 12 µs, 1.5 ms, 3.2 s, 5 min. */
export function ms(value) {
  if (value === null || value === undefined) return "–";
  if (value < 0.9995) return `${three.format(value * 1000)} µs`;
  if (value < 999.5) return `${three.format(value)} ms`;
  if (value < 119_500) return `${three.format(value / 1000)} s`;
  return duration(value / 1000);
}

/** Seconds in two units: 42 s, 3 min 20 s, 2 h 5 min, 3 d 4 h. */
export function duration(seconds) {
  const units = [["d", 86_400], ["h", 3600], ["min", 60], ["s", 1]];
  const rest = Math.max(0, Math.floor(seconds));
  const first = units.findIndex(([, size]) => rest >= size);
  if (first < 0) return "0 s";
  const [unit, size] = units[first];
  const text = `${Math.floor(rest / size)} ${unit}`;
  const next = units[first + 1];
  const more = next ? Math.floor((rest % size) / next[1]) : 0;
  return more > 0 ? `${text} ${more} ${next[0]}` : text;
}

/** Bytes by powers of two. */
export function bytes(value) {
  if (value === null || value === undefined) return "–";
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${number(value)} ${units[unit]}`;
}

/** A part of one as percent. */
export function percent(part) {
  if (part === 0) return "0 %";
  return part < 0.001 ? "< 0.1 %" : `${tenth.format(part * 100)} %`;
}

/** "3 calls", "1 call". */
export function count(value, noun) {
  return `${number(value)} ${noun}${value === 1 ? "" : "s"}`;
}

/** A colour of the style sheet. */
export function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}

/** What is cleaned up when a view goes. */
export class Bin {
  #undo = [];

  add(undo) {
    this.#undo.push(undo);
  }

  listen(target, event, listener) {
    target.addEventListener(event, listener);
    this.add(() => target.removeEventListener(event, listener));
  }

  every(milliseconds, work) {
    const timer = setInterval(work, milliseconds);
    this.add(() => clearInterval(timer));
  }

  empty() {
    for (const undo of this.#undo.splice(0)) undo();
  }
}
