// A form made of a function's JSON Schema. Each field knows its node, its value, and where in the arguments it is.

import { bytes, el, mark, prose } from "./dom.js";

/** Fields inside fields; what is deeper is written as JSON. */
const DEPTH_MAX = 2;

/** What a byte list inside a JSON document may be; larger ones travel as the body. */
const BYTES_MAX = 1 << 20;

/** Thrown by a field that cannot be read. */
class Unreadable extends Error {}

let ids = 0;

/**
 * The fields of an object's members: a node, `read()` for the object (without what was left out), and `blame(pointer,
 * text)`, which says at a field what is wrong with it, or at none if there is no such field.
 */
export function fields(schema, leftOut = []) {
  const required = new Set(schema.required ?? []);
  const members = Object.entries(schema.properties ?? {}).filter(([name]) => !leftOut.includes(name));
  const all = members.map(([name, of]) => ({ name, field: labelled(name, of, required.has(name), 0) }));
  return {
    node: el("div", { class: "fields" }, all.map(({ field }) => field.node)),
    empty: all.length === 0,
    read() {
      const value = {};
      for (const { name, field } of all) {
        const of = field.read();
        if (of !== undefined) value[name] = of;
      }
      return value;
    },
    blame(pointer, text) {
      all.forEach(({ field }) => field.blame(""));
      const first = pointer?.split("/")[1]?.replaceAll("~1", "/").replaceAll("~0", "~");
      all.find(({ name }) => name === first)?.field.blame(text);
    },
  };
}

/** A field with its name, its description and room for what is wrong with it. */
function labelled(name, schema, required, depth) {
  const id = `field-${(ids += 1)}`;
  const help = schema.description && el("p", { class: "help", id: `${id}-help` }, prose(schema.description));
  const wrong = el("p", { class: "wrong", id: `${id}-wrong`, "aria-live": "polite" });
  const about = [help && `${id}-help`, `${id}-wrong`].filter(Boolean).join(" ");
  const inner = input(schema, { id, about, required, name, depth });
  const kind = el("span", { class: "type", text: inner.type + (required ? "" : ", optional") });
  const label = inner.group
    ? el("legend", {}, name, " ", kind)
    : el("label", { for: id }, name, " ", kind);
  const node = el(inner.group ? "fieldset" : "div", { class: "field", "aria-describedby": inner.group ? about : null },
    label, help, inner.node, wrong);
  const blame = (text) => {
    wrong.textContent = text;
    for (const control of node.querySelectorAll("input, select, textarea")) mark(control, "aria-invalid", text ? "true" : null);
  };
  const read = () => {
    try {
      return inner.read();
    } catch (error) {
      if (!(error instanceof Unreadable)) throw error;
      blame(error.message);
      node.querySelector("input, select, textarea")?.focus();
      throw error;
    }
  };
  return { node, read, blame };
}

/** Whether `error` was told at its field already. */
export function told(error) {
  return error instanceof Unreadable;
}

/** What a schema asks for. */
function input(schema, at) {
  const { nullable, inner } = option(schema);
  const optional = nullable || !at.required;
  if (nullable && inner.properties?.some && Object.keys(inner.properties).length === 1) return json(schema, at, "JSON");
  if (inner.enum) return choice(inner.enum, at, optional);
  if (inner.contentEncoding === "base64") return file(at, optional);
  if (inner.anyOf?.some((of) => of.type === "number")) return real(at, optional);
  const types = [inner.type ?? []].flat();
  if (types.includes("integer")) return integer(inner, at, optional, types.includes("string"));
  if (types.includes("boolean")) return truth(at, optional);
  if (types.includes("string")) return text(inner, at, optional);
  if (at.depth < DEPTH_MAX) {
    if (types.includes("array") && inner.items?.enum) return flags(inner.items.enum, at, optional);
    if (types.includes("array") && inner.items && !inner.prefixItems) return list(inner.items, at, optional);
    if (types.includes("object") && inner.properties && !optional) return record(inner, at);
    if (inner.oneOf?.every(tagged)) return variant(inner.oneOf, at, optional);
  }
  return json(schema, at, "JSON");
}

/** The type inside an option. */
function option(schema) {
  const forms = schema.anyOf ?? [];
  if (forms.length === 2 && forms[1].type === "null") return { nullable: true, inner: forms[0] };
  return { nullable: false, inner: schema };
}

const absent = (at, optional, what) => {
  if (optional) return undefined;
  throw new Unreadable(`is required: ${what}`);
};

function common({ id, about, required, name }) {
  return { id, name, "aria-describedby": about, "aria-required": required ? "true" : null };
}

function choice(values, at, optional) {
  const node = el("select", common(at),
    optional && el("option", { value: "", text: "(left out)" }),
    values.map((value) => el("option", { value, text: value })));
  const read = () => (node.value === "" && optional ? undefined : node.value);
  return { node, type: "one of", read };
}

function truth(at, optional) {
  if (optional) {
    const field = choice(["true", "false"], at, true);
    return { ...field, type: "bool", read: () => (field.read() === undefined ? undefined : field.read() === "true") };
  }
  const box = el("input", { ...common(at), type: "checkbox" });
  return { node: box, type: "bool", read: () => box.checked };
}

function text(schema, at, optional) {
  const short = schema.maxLength === 1;
  const node = short
    ? el("input", { ...common(at), type: "text", maxlength: 2, autocomplete: "off" })
    : el("textarea", { ...common(at), rows: 1, spellcheck: "false", autocomplete: "off" });
  const grow = () => {
    node.style.setProperty("height", "auto");
    node.style.setProperty("height", `${Math.min(320, node.scrollHeight + 2)}px`);
  };
  if (!short) node.addEventListener("input", grow);
  // An empty text is a text; only one that may be left out is left out by leaving it empty.
  return { node, type: short ? "char" : "string", read: () => (node.value === "" && optional ? undefined : node.value) };
}

function integer(schema, at, optional, large) {
  const node = el("input", { ...common(at), type: "text", inputmode: "numeric", autocomplete: "off", placeholder: hint(schema) });
  const read = () => {
    const value = node.value.trim();
    if (value === "") return absent(at, optional, "a whole number");
    if (!/^-?\d+$/.test(value)) throw new Unreadable(`found ${quoted(value)}, expected a whole number`);
    const number = Number(value);
    // Larger ones lose digits as numbers; the gateway takes their text.
    return large && !Number.isSafeInteger(number) ? value : number;
  };
  return { node, type: "integer", read };
}

function hint({ minimum, maximum }) {
  if (minimum === undefined || maximum === undefined || maximum > 2 ** 32) return null;
  return `${minimum} to ${maximum}`;
}

function real(at, optional) {
  const node = el("input", { ...common(at), type: "text", inputmode: "decimal", autocomplete: "off" });
  const read = () => {
    const value = node.value.trim();
    if (value === "") return absent(at, optional, "a number");
    if (["NaN", "Infinity", "-Infinity"].includes(value)) return value;
    const number = Number(value);
    if (!Number.isFinite(number)) throw new Unreadable(`found ${quoted(value)}, expected a number`);
    return number;
  };
  return { node, type: "number", read };
}

function quoted(text) {
  return JSON.stringify(text.length > 60 ? `${text.slice(0, 60)}…` : text);
}

/** A file, as base64 in the document. */
function file(at, optional) {
  const node = el("input", { ...common(at), type: "file" });
  let content;
  node.addEventListener("change", async () => {
    const [picked] = node.files;
    content = picked && picked.size <= BYTES_MAX ? base64(new Uint8Array(await picked.arrayBuffer())) : undefined;
  });
  const read = () => {
    const [picked] = node.files;
    if (!picked) return optional ? undefined : "";
    if (picked.size > BYTES_MAX) {
      throw new Unreadable(`found ${bytes(picked.size)}, expected at most 1 MiB: this function takes its bytes inside JSON`);
    }
    if (content === undefined) throw new Unreadable("the file is still being read; try again");
    return content;
  };
  return { node, type: "bytes", read };
}

function base64(content) {
  let binary = "";
  for (let at = 0; at < content.length; at += 0x8000) binary += String.fromCharCode(...content.subarray(at, at + 0x8000));
  return btoa(binary);
}

function flags(labels, at, optional) {
  const boxes = labels.map((label) => {
    const box = el("input", { type: "checkbox", value: label });
    return { box, node: el("label", { class: "flag" }, box, " ", label) };
  });
  const read = () => {
    const set = boxes.filter(({ box }) => box.checked).map(({ box }) => box.value);
    return set.length === 0 && optional ? undefined : set;
  };
  return { node: el("div", { class: "flags" }, boxes.map(({ node }) => node)), type: "any of", group: true, read };
}

function list(items, at, optional) {
  const rows = [];
  const body = el("ol", { class: "items" });
  const rename = () => rows.forEach((row, index) => mark(row.control, "aria-label", `${at.name} ${index + 1}`));
  const add = () => {
    const id = `${at.id}-${rows.length}`;
    const inner = input(items, { id, about: at.about, required: true, name: null, depth: at.depth + 1 });
    const drop = el("button", { type: "button", class: "plain", text: "Remove", onclick: () => {
      rows.splice(rows.indexOf(row), 1);
      row.node.remove();
      rename();
      more.focus();
    } });
    const row = { inner, control: inner.node, node: el("li", {}, inner.node, drop) };
    rows.push(row);
    body.append(row.node);
    rename();
    inner.node.focus?.();
  };
  const more = el("button", { type: "button", class: "plain", text: "Add one", onclick: add });
  const read = () => (rows.length === 0 && optional ? undefined : rows.map((row) => row.inner.read()));
  return { node: el("div", {}, body, more), type: "list", group: true, read };
}

function record(schema, at) {
  const required = new Set(schema.required ?? []);
  const inner = Object.entries(schema.properties).map(([name, of]) =>
    ({ name, field: labelled(name, of, required.has(name), at.depth + 1) }));
  const read = () => {
    const value = {};
    for (const { name, field } of inner) {
      const of = field.read();
      if (of !== undefined) value[name] = of;
    }
    return value;
  };
  return { node: el("div", { class: "fields" }, inner.map(({ field }) => field.node)), type: "record", group: true, read };
}

function tagged(form) {
  return form.properties?.tag?.const !== undefined || (form.type === "string" && form.enum);
}

function variant(forms, at, optional) {
  const cases = forms.filter((form) => form.properties).map((form) => ({
    tag: form.properties.tag.const,
    payload: form.properties.val
      && labelled(form.properties.tag.const, form.properties.val, (form.required ?? []).includes("val"), at.depth + 1),
  }));
  const select = choice(cases.map(({ tag }) => tag), { ...at, about: at.about }, optional);
  mark(select.node, "aria-label", at.name);
  const payload = el("div");
  const chosen = () => cases.find(({ tag }) => tag === select.read());
  const show = () => payload.replaceChildren(...[chosen()?.payload?.node].filter(Boolean));
  select.node.addEventListener("change", show);
  show();
  const read = () => {
    const of = chosen();
    if (!of) return undefined;
    const val = of.payload?.read();
    return val === undefined ? { tag: of.tag } : { tag: of.tag, val };
  };
  return { node: el("div", {}, select.node, payload), type: "variant", group: true, read };
}

function json(schema, at, type) {
  const node = el("textarea", { ...common(at), rows: 3, spellcheck: "false", class: "code", placeholder: "JSON" });
  const read = () => {
    if (node.value.trim() === "") return absent(at, !at.required, "JSON");
    try {
      return JSON.parse(node.value);
    } catch (error) {
      throw new Unreadable(`expected JSON: ${error.message}`);
    }
  };
  const shown = el("details", {}, el("summary", { text: "Schema" }), el("pre", { text: JSON.stringify(schema, null, 2) }));
  return { node: at.name === null ? node : el("div", {}, node, shown), type, read };
}
