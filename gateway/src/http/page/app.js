// The frame: which view is shown, how it stands with the connection, and the token if the gateway asks for one.

import { changes, connection, keep, state, token, watch } from "./api.js";
import { Bin, count, duration, el, mark, number, say } from "./dom.js";
import { NOT_LOADED, overview } from "./overview.js";
import { task } from "./task.js";

const main = document.getElementById("main");
const status = document.getElementById("status");
const about = document.getElementById("about");
const trouble = document.getElementById("trouble");
const leave = document.getElementById("leave");
const bin = new Bin();
let shown = null;

const WORDS = {
  connecting: "connecting",
  live: "live",
  gone: "disconnected, trying again",
  locked: "needs a token",
  refused: "not allowed",
};

/** The view that the address means. */
function wanted() {
  if (connection.status === "locked" || connection.status === "refused") return "token";
  if (!state) return "waiting";
  const path = /^#\/tasks\/([^/]+)$/.exec(location.hash);
  return path ? `task ${decodeURIComponent(path[1])}` : "overview";
}

function show() {
  const view = wanted();
  if (view === shown) return;
  const moved = shown !== null && shown !== "waiting" && view !== "waiting";
  shown = view;
  bin.empty();
  main.replaceChildren();
  if (view === "token") ask();
  else if (view === "waiting") wait();
  else if (view === "overview") overview(main, bin);
  else task(main, bin, view.slice("task ".length));
  mark(document.getElementById("nav-overview"), "aria-current", view === "overview" ? "page" : null);
  const heading = main.querySelector("h1")?.textContent;
  document.title = heading && view !== "overview" ? `${heading} · Unblock` : "Unblock";
  if (moved) {
    window.scrollTo(0, 0);
    main.focus({ preventScroll: true });
  }
  if (view === "overview") jump();
}

/** To what could not be loaded, if the address means that. It does so once, so that the link works again. */
function jump() {
  if (location.hash !== `#/${NOT_LOADED}`) return;
  history.replaceState(null, "", "#/");
  const part = document.getElementById(NOT_LOADED);
  part?.scrollIntoView();
  part?.focus({ preventScroll: true });
}

function wait() {
  main.append(el("h1", { class: "quiet", text: "Waiting for the gateway…" }));
}

/** The form for a token. */
function ask() {
  const refused = connection.detail;
  const field = el("input", {
    id: "token", name: "token", type: "password", autocomplete: "off", required: true, spellcheck: "false",
    "aria-describedby": "token-help token-refusal",
  });
  const send = (event) => {
    event.preventDefault();
    keep(field.value.trim());
  };
  main.append(
    el("form", { class: "panel token", onsubmit: send },
      el("h1", { text: "This gateway asks for a token" }),
      el("p", { id: "token-help", class: "muted" },
        "One with the scope ", el("code", { text: "read" }), " shows what happens; calls need ",
        el("code", { text: "call:TASK" }), " or ", el("code", { text: "call:*" }),
        ". It is kept in this tab only, until that is closed. Its operator makes one with ",
        el("code", { text: "unblock token create" }), "."),
      el("label", { for: "token", text: "Token" }),
      el("div", { class: "row" }, field, el("button", { type: "submit", text: "Show" })),
      el("p", { id: "token-refusal", class: "wrong", role: "alert", text: refused })));
  field.focus();
}

function tell() {
  mark(status, "data-status", connection.status);
  const drains = connection.status === "live" && state?.draining;
  say(status.querySelector(".text"), drains ? "draining" : WORDS[connection.status]);
  mark(status, "title", connection.detail || null);
  mark(main, "data-stale", connection.status === "gone" ? "" : null);
  leave.hidden = !token();
  const info = state ? `${state.version} · up ${duration(state.uptime_s)} · ${count(state.tasks.size, "task")}` : "";
  say(about, info);
  const failed = state?.failures.length ?? 0;
  trouble.hidden = failed === 0;
  say(trouble, `${number(failed)} not loaded`);
}

changes.addEventListener("status", () => {
  // A second refusal is another text in the same form.
  if (wanted() === "token" && shown === "token") shown = "asked again";
  tell();
  show();
});
changes.addEventListener("state", () => { tell(); show(); });
changes.addEventListener("tick", tell);
window.addEventListener("hashchange", () => { show(); jump(); });
leave.addEventListener("click", () => keep(""));
tell();
show();
watch();
