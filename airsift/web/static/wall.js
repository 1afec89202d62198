// The wall: a tile for each station. Only those on the screen are drawn, a few in each frame.

import { el, say, clock, percent, songOf, stationPath, LABELS } from "./text.js";
import { store } from "./store.js";
import { drawRibbon, RIBBON_MS } from "./draw.js";
import { Groups } from "./groups.js";

const BUDGET_MS = 5; // of a frame of 16 ms
const SILENT_S = 30;
const FLOOR_DB = -60;
const FILTERS = [
  ["all", "All", () => true],
  ["speech", "Speech", (view) => view.now.label === "speech"],
  ["music", "Music", (view) => view.now.label === "music"],
  ["both", "Speech over music", (view) => view.now.label === "speech_over_music"],
  ["other", "Other", (view) => view.now.label === "other"],
  ["trouble", "Trouble", (view) => isTroubled(view)],
];

const silentFor = (view) => (performance.now() - view.seenAt) / 1000;
const isSilent = (view) => silentFor(view) > SILENT_S;
const faultsOf = (view) => view.now.level?.faults ?? [];
const isTroubled = (view) => isSilent(view) || view.openAlarms.length > 0 || faultsOf(view).length > 0;

// What is wrong with a station, in words; "" where nothing is.
export function troubleOf(view) {
  const alarms = view.openAlarms.map((alarm) => alarm.text || alarm.rule.replaceAll("_", " "));
  const faults = faultsOf(view).map((fault) => fault.replaceAll("_", " "));
  if (isSilent(view)) faults.push(`no news for ${clock(silentFor(view))}`);
  return [...alarms, ...faults].join(", ");
}

class Tile {
  // `size` is that of all ribbons: measuring each one costs a layout.
  constructor(view, observer, size) {
    this.view = view;
    this.size = size;
    this.dirty = true; // its texts may have changed
    this.isNew = true; // its ribbon is not drawn
    this.drawnHead = -1;
    this.name = el("h2", { text: view.name, title: view.name });
    this.since = el("span", { class: "since" });
    this.label = el("span", { class: "label" });
    this.sure = el("span", { class: "sure" });
    this.voice = el("span", { class: "voice" });
    this.own = el("span", { class: "own" });
    this.title = el("span", { class: "title" });
    this.artist = el("span", { class: "artist" });
    this.into = el("span", { class: "into" });
    this.progress = el("i");
    this.trouble = el("p", { class: "trouble" });
    this.meter = el("i");
    this.ribbon = el("canvas", { "aria-hidden": true });
    this.node = el(
      "a",
      { class: "tile", href: stationPath(view.name), "data-route": true, "data-station": view.name },
      this.name,
      this.since,
      el("p", { class: "now" }, this.label, this.sure, this.voice, this.own),
      el("p", { class: "song" }, this.title, this.artist, this.into, el("b", { class: "progress" }, this.progress)),
      this.trouble,
      el("div", { class: "ribbon" }, this.ribbon),
      el("div", { class: "meter", "aria-hidden": true }, this.meter),
    );
    this.node.tile = this;
    observer.observe(this.node);
  }

  // Gives the pixels back of a ribbon that nobody sees.
  free() {
    this.ribbon.width = this.ribbon.height = 0;
    this.isNew = true;
  }

  // Brings the texts up to date, and the ribbon, if it has moved by half a pixel.
  draw(at) {
    const { view } = this;
    const head = view.shownHead(at);
    if (this.dirty || Math.floor(head / 1000) !== this.second) this.write(head);
    const { size } = this;
    if (!size.width) {
      size.width = this.ribbon.clientWidth;
      size.height = this.ribbon.clientHeight;
    }
    if (!size.width) return;
    const moved = ((head - this.drawnHead) * size.width) / RIBBON_MS;
    if (this.isNew || Math.abs(moved) >= 0.5) {
      drawRibbon(this.ribbon, size.width, size.height, view, head);
      this.isNew = false;
      this.drawnHead = head;
    }
    this.dirty = false;
  }

  write(head) {
    const { view } = this;
    const { now, song } = view;
    this.second = Math.floor(head / 1000);
    const silent = isSilent(view);
    const trouble = troubleOf(view);
    const state = `${now.label ?? "none"}${silent ? " silent" : ""}${song ? " named" : ""}${trouble ? " troubled" : ""}`;
    if (this.state !== state) {
      this.state = state;
      this.node.className = `tile ${state}`;
    }
    say(this.label, LABELS[now.label] ?? "No audio");
    say(this.sure, now.label && now.score !== null ? percent(now.score) : "");
    say(this.voice, now.voice && now.label !== "music" && now.label !== "other" ? `${now.voice} voice` : "");
    say(this.own, (now.labels ?? []).join(" · "));
    say(this.since, now.since_ms === undefined ? "" : clock((head - now.since_ms) / 1000));
    say(this.trouble, trouble);
    if (this.trouble.title !== trouble) this.trouble.title = trouble;
    if (song) {
      const { title, artist } = songOf(song);
      const into = (song.track_start_s ?? 0) + (head - song.start_ms) / 1000;
      const length = song.track_duration_s;
      say(this.title, title);
      say(this.artist, artist);
      say(this.into, length ? `${clock(Math.min(into, length))} / ${clock(length)}` : clock(into));
      this.progress.style.transform = `scaleX(${length ? Math.min(into / length, 1).toFixed(3) : 0})`;
    } else {
      say(this.title, now.stream_title || "");
      say(this.artist, "");
      say(this.into, "");
      this.progress.style.transform = "scaleX(0)";
    }
    const level = now.level_dbfs;
    const loud = level === undefined || level === null ? 0 : Math.max(0, 1 - level / FLOOR_DB);
    this.meter.style.transform = `scaleY(${Math.min(loud, 1).toFixed(3)})`;
    const { label } = this;
    this.node.setAttribute(
      "aria-label",
      [view.name, label.textContent, song && `${songOf(song).title} ${songOf(song).artist}`, trouble].filter(Boolean).join(", "),
    );
  }
}

export function wall(main, query) {
  const density = localStorage.getItem("density") === "rows" ? "rows" : "tiles";
  const tiles = new Map();
  const seen = new Set();
  const size = { width: 0, height: 0 };
  let filter = sessionStorage.getItem("filter") || "all";
  let words = sessionStorage.getItem("words") || "";
  let turn = 0;
  let frame = 0;
  const groups = new Groups(query.get("group"), () => {
    count();
    sift();
  });
  const grid = el("section", { class: `wall ${density}`, "aria-label": "Stations" });
  const chips = FILTERS.map(([name, text]) =>
    el("button", { class: `chip ${name}`, "aria-pressed": String(name === filter), onclick: () => choose(name) }, el("i"), text, el("b", { text: "0" })),
  );
  const input = el("input", {
    type: "search", id: "filter", placeholder: "Filter by station, song or artist", "aria-label": "Filter stations",
    autocomplete: "off", spellcheck: "false", value: words,
    oninput: () => {
      words = input.value;
      sessionStorage.setItem("words", words);
      sift();
    },
  });
  const empty = el("p", { class: "empty", hidden: true });
  main.replaceChildren(
    el("div", { class: "tools" }, el("div", { class: "chips", role: "group", "aria-label": "Show" }, ...chips), input,
      el("button", { class: "button", id: "density", title: "Tiles or rows (d)", onclick: () => turnDensity() }, density === "rows" ? "Tiles" : "Rows")),
    groups.node,
    grid,
    empty,
  );
  const observer = new IntersectionObserver(
    (entries) => {
      for (const { target, isIntersecting } of entries) {
        if (isIntersecting) {
          target.tile.dirty = target.tile.isNew = true;
          seen.add(target.tile);
        } else {
          seen.delete(target.tile);
          target.tile.free();
        }
      }
    },
    { rootMargin: "120px" },
  );
  const resized = new ResizeObserver(redraw);
  resized.observe(grid);

  function redraw() {
    size.width = 0;
    for (const tile of tiles.values()) tile.isNew = tile.dirty = true;
  }

  function choose(name) {
    filter = name;
    sessionStorage.setItem("filter", filter);
    chips.forEach((chip, n) => chip.setAttribute("aria-pressed", String(FILTERS[n][0] === filter)));
    sift();
  }

  function turnDensity() {
    const rows = grid.classList.toggle("rows");
    grid.classList.toggle("tiles", !rows);
    localStorage.setItem("density", rows ? "rows" : "tiles");
    say(document.getElementById("density"), rows ? "Tiles" : "Rows");
    redraw();
  }

  // Hides the tiles that are not asked for.
  function sift() {
    const parts = words.toLowerCase().split(/\s+/).filter(Boolean);
    const test = FILTERS.find(([name]) => name === filter)[2];
    let shown = 0;
    for (const { view, node } of tiles.values()) {
      const { song, now } = view;
      const text = [view.name, now.stream_title, song?.title, song?.artist].join(" ").toLowerCase();
      const isShown = groups.has(view) && test(view) && parts.every((part) => text.includes(part));
      if (node.hidden === isShown) node.hidden = !isShown;
      shown += isShown;
    }
    empty.hidden = shown > 0;
    say(empty, groups.isUnknown ? `No station is in the group “${groups.chosen}”.` : tiles.size ? "No station is like that." : "No station yet: events are shown as they come.");
  }

  function count() {
    const all = [...store.stations.values()];
    const views = all.filter((view) => groups.has(view));
    groups.count(all, isTroubled);
    FILTERS.forEach(([, , test], n) => say(chips[n].lastChild, String(views.filter(test).length)));
  }

  function place() {
    for (const name of tiles.keys()) {
      if (store.stations.get(name) === tiles.get(name).view) continue;
      observer.unobserve(tiles.get(name).node);
      seen.delete(tiles.get(name));
      tiles.get(name).node.remove();
      tiles.delete(name);
    }
    for (const [name, view] of store.stations) {
      if (!tiles.has(name)) tiles.set(name, new Tile(view, observer, size));
    }
    grid.classList.toggle("few", tiles.size <= 6);
    const order = new Intl.Collator(undefined, { numeric: true }).compare;
    const sorted = [...tiles.values()].sort((a, b) => order(a.view.name, b.view.name));
    sorted.forEach((tile, n) => {
      if (grid.children[n] !== tile.node) grid.insertBefore(tile.node, grid.children[n] ?? null);
    });
  }

  function work(at) {
    frame = requestAnimationFrame(work);
    const list = [...seen];
    const begun = performance.now();
    for (let n = 0; n < list.length; n++) {
      list[(turn + n) % list.length].draw(at);
      if (performance.now() - begun > BUDGET_MS) {
        turn = (turn + n + 1) % list.length;
        return;
      }
    }
  }

  let counted = 0;
  const stop = store.listen(({ changed, added }) => {
    if (added || tiles.size !== store.stations.size) place();
    for (const view of changed) {
      const tile = tiles.get(view.name);
      if (tile) tile.dirty = true;
    }
    if (performance.now() - counted > 900 || added) {
      counted = performance.now();
      count();
      sift();
    }
  });
  place();
  count();
  sift();
  frame = requestAnimationFrame(work);

  function move(key) {
    const shown = [...grid.children].filter((node) => !node.hidden);
    if (!shown.length) return;
    const at = shown.indexOf(document.activeElement);
    if (at < 0) return shown[0].focus();
    const top = shown[0].offsetTop;
    const columns = Math.max(1, shown.findIndex((node) => node.offsetTop > top));
    const wide = shown.at(-1).offsetTop === top ? shown.length : columns;
    const step = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -wide, ArrowDown: wide }[key];
    shown[Math.min(Math.max(at + step, 0), shown.length - 1)].focus();
  }

  return {
    title: "Wall",
    key(event) {
      if (event.key === "/") input.focus();
      else if (event.key === "d") turnDensity();
      else if (event.key === "g") groups.step(1);
      else if (event.key === "G") groups.step(-1);
      else if (event.key.startsWith("Arrow")) move(event.key);
      else return false;
      return true;
    },
    restyle() {
      redraw();
    },
    close() {
      stop();
      cancelAnimationFrame(frame);
      observer.disconnect();
      resized.disconnect();
    },
  };
}
