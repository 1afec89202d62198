// Which view is shown, the keys that all have, the theme, and the state of the connection.

import { el, say } from "./text.js";
import { store } from "./store.js";
import { readColours } from "./draw.js";
import { wall } from "./wall.js";
import { station } from "./station.js";
import { search } from "./search.js";
import { upload } from "./upload.js";
import { catalogue } from "./catalogue.js";
import { unknown } from "./unknown.js";
import { reports } from "./reports.js";
import { about } from "./api.js";

const VIEWS = { "/": wall, "/station": station, "/search": search, "/upload": upload, "/catalogue": catalogue, "/unknown": unknown, "/reports": reports };
// Views that stand in the bar under the link of another one.
const UNDER = { "/unknown": "/catalogue", "/station": "/" };
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
  for (const link of document.querySelectorAll(".bar nav a")) {
    if (link.pathname === (UNDER[path] ?? path)) {
      link.setAttribute("aria-current", "page");
      link.scrollIntoView({ block: "nearest", inline: "nearest" });
    } else link.removeAttribute("aria-current");
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
  go(link.pathname === "/" ? wallPath() : link.pathname + link.search);
});

// The wall as it was left: with its group.
const wallPath = () => `/${sessionStorage.getItem("wall") ?? ""}`;

document.addEventListener("keydown", (event) => {
  if (event.metaKey || event.ctrlKey || event.altKey || document.querySelector("dialog[open]")) return;
  const isTyping = event.target.matches("input, select, textarea");
  if (event.key === "Escape") {
    if (isTyping) event.target.blur();
    else if (location.pathname !== "/") go(wallPath());
    return;
  }
  if (isTyping) return;
  if (view.key?.(event)) event.preventDefault();
  else if (event.key === "t") turnTheme();
  else if (event.key === "?") help.showModal();
  else if (event.key === "w") go(wallPath());
  else if (event.key === "u") go("/upload");
  else if (event.key === "c" && !toCatalogue.hidden) go(toCatalogue.pathname);
  else if (event.key === "r" && !toReports.hidden) go("/reports");
  else if (event.key === "s" || event.key === "/") {
    event.preventDefault();
    go("/search");
  }
});

addEventListener("popstate", show);
document.getElementById("theme").addEventListener("click", turnTheme);
document.getElementById("keys").addEventListener("click", () => help.showModal());
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", restyle);

// Links to what this server can do.
const toCatalogue = document.getElementById("to-catalogue");
const toReports = document.getElementById("to-reports");
about().then(({ catalogue: its, unknown: isThere, reports: can, uploads }) => {
  toCatalogue.hidden = its === "none" && !isThere;
  if (its === "none") toCatalogue.href = "/unknown";
  toReports.hidden = !can;
  document.querySelector(".bar nav [aria-current]")?.scrollIntoView({ block: "nearest", inline: "nearest" });
  document.getElementById("to-upload").hidden = !uploads;
}, () => {});

const status = document.getElementById("status");
const problem = document.getElementById("problem");

function showStatus() {
  const many = store.stations.size;
  status.className = `status ${store.connected ? "on" : "off"}`;
  say(status.lastElementChild, store.connected ? `${many} station${many === 1 ? "" : "s"}` : "connecting …");
  problem.hidden = !store.problem;
  say(problem, store.problem);
}

store.listen(showStatus);
setTheme(THEMES.includes(localStorage.getItem("theme")) ? localStorage.getItem("theme") : "auto");
showStatus();
store.connect();
show();
globalThis.airsift = { store }; // for whoever looks into it, tests among them
