// Which view is shown, the keys that all have, the theme, and the state of the connection.

import { el, say } from "./text.js";
import { store } from "./store.js";
import { readColours } from "./draw.js";
import { wall } from "./wall.js";
import { station } from "./station.js";
import { search } from "./search.js";
import { upload } from "./upload.js";

const VIEWS = { "/": wall, "/station": station, "/search": search, "/upload": upload };
const THEMES = ["auto", "light", "dark"];
const main = document.getElementById("main");
const help = document.getElementById("help");
let view = null;

export function go(path, { replace = false } = {}) {
  history[replace ? "replaceState" : "pushState"](null, "", path);
  show();
}

function show() {
  view?.close();
  const path = location.pathname in VIEWS ? location.pathname : "/";
  for (const link of document.querySelectorAll("nav a")) {
    if (link.pathname === path) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  view = VIEWS[path](main, new URLSearchParams(location.search), go);
  document.title = `${view.title} · airsift`;
  scrollTo(0, 0);
}

function setTheme(theme) {
  if (theme === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
  localStorage.setItem("theme", theme);
  say(document.getElementById("theme"), { auto: "◐", light: "☀", dark: "☾" }[theme]);
  restyle();
}

function turnTheme() {
  const at = THEMES.indexOf(localStorage.getItem("theme") ?? "auto");
  setTheme(THEMES[(at + 1) % THEMES.length]);
}

function restyle() {
  readColours();
  view?.restyle?.();
}

document.addEventListener("click", (event) => {
  const link = event.target.closest("a[data-route]");
  if (!link || event.button || event.metaKey || event.ctrlKey || event.shiftKey) return;
  event.preventDefault();
  go(link.pathname + link.search);
});

document.addEventListener("keydown", (event) => {
  if (event.metaKey || event.ctrlKey || event.altKey || help.open) return;
  const isTyping = event.target.matches("input, select, textarea");
  if (event.key === "Escape") {
    if (isTyping) event.target.blur();
    else if (location.pathname !== "/") go("/");
    return;
  }
  if (isTyping) return;
  if (view.key?.(event)) event.preventDefault();
  else if (event.key === "t") turnTheme();
  else if (event.key === "?") help.showModal();
  else if (event.key === "w") go("/");
  else if (event.key === "u") go("/upload");
  else if (event.key === "s" || event.key === "/") {
    event.preventDefault();
    go("/search");
  }
});

addEventListener("popstate", show);
document.getElementById("theme").addEventListener("click", turnTheme);
document.getElementById("keys").addEventListener("click", () => help.showModal());
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", restyle);

const status = document.getElementById("status");
const problem = document.getElementById("problem");

function tell() {
  const many = store.stations.size;
  status.className = `status ${store.connected ? "on" : "off"}`;
  say(status.lastElementChild, store.connected ? `${many} station${many === 1 ? "" : "s"}` : "connecting …");
  problem.hidden = !store.problem;
  say(problem, store.problem);
}

store.listen(tell);
setTheme(THEMES.includes(localStorage.getItem("theme")) ? localStorage.getItem("theme") : "auto");
tell();
store.connect();
show();
globalThis.airsift = { store }; // for whoever looks into it, tests among them
