// The catalogue: its tracks, files that are added, another name, a removal.

import { about, ask, change } from "./api.js";
import { filesOf, queue, queueList, takeDrops } from "./adding.js";
import { openDialog } from "./dialogs.js";
import { Pager } from "./pager.js";
import { clock, el, plural, say } from "./text.js";

const SIZE = 50;
const WAIT_MS = 250; // after a letter, before a search

// The links to both lists of this part of the page.
export function catalogueTabs(path, may) {
  const link = (to, text) => el("a", { class: "chip", href: to, "data-route": true, "aria-current": to === path ? "page" : null }, text);
  return el("nav", { class: "chips tabs", "aria-label": "Catalogue" }, may.catalogue === "none" ? null : link("/catalogue", "Tracks"), may.unknown ? link("/unknown", "Unknown") : null);
}

export function catalogue(main, query) {
  let words = query.get("search") ?? "";
  let isClosed = false;
  let asked = 0;
  let mayWrite = false;
  const ends = [];
  const input = el("input", { type: "search", id: "search", placeholder: "Title, artist, album, ISRC or key", "aria-label": "Search the catalogue", autocomplete: "off", spellcheck: "false", value: words });
  const count = el("span", { class: "dim" });
  const note = el("p", { class: "empty", role: "status", text: "Loading …" });
  const body = el("tbody");
  const table = el("table", { class: "tracks", hidden: true }, el("thead", {}, el("tr", {}, ...["Song", "Album", "Length", ""].map((text, n) => el("th", { scope: "col", class: n > 1 ? "number" : n ? "album" : null, text })))), body);
  const pager = new Pager(SIZE, (offset) => load(offset));
  const place = el("div");
  const list = el("section", { class: "panel", "aria-label": "Tracks" }, table, note, pager.node);
  const tools = el("div", { class: "tools" }, el("h1", { text: "Catalogue" }), count, input);
  main.replaceChildren(tools, place, list);

  let timer = 0;
  input.addEventListener("input", () => {
    words = input.value.trim();
    clearTimeout(timer);
    timer = setTimeout(() => load(0), WAIT_MS);
  });

  async function load(offset) {
    const ours = ++asked;
    const given = new URLSearchParams();
    if (words) given.set("search", words);
    if (offset) given.set("page", offset / SIZE + 1);
    history.replaceState(null, "", given.size ? `/catalogue?${given}` : "/catalogue");
    try {
      const found = await ask("/api/catalogue", { search: words, offset, limit: SIZE });
      if (ours !== asked || isClosed) return;
      if (!found.tracks.length && offset > 0) {
        load(found.found ? Math.floor((found.found - 1) / SIZE) * SIZE : 0);
        return;
      }
      show(found);
    } catch (error) {
      if (ours !== asked || isClosed) return;
      say(note, error.message);
      note.hidden = false;
    }
  }

  function show({ found, total, offset, tracks }) {
    say(count, plural(total, "track"));
    body.replaceChildren(...tracks.map(row));
    table.hidden = tracks.length === 0;
    note.hidden = tracks.length > 0;
    say(note, total ? "No track has these words." : mayWrite ? "No track yet: drop a song above, and it is recognised from then on." : "There is no track yet.");
    pager.show(offset, found, tracks.length);
  }

  function row(track) {
    const icon = (text, title, onclick) => el("button", { class: "button icon", title: `${title} “${track.title}”`, "aria-label": `${title} “${track.title}”`, onclick }, text);
    const about = [track.isrc, track.label, track.extra.kind].filter(Boolean).join(", ");
    return el("tr", { "data-key": track.key },
      el("td", {}, el("strong", { text: track.title || track.key }), track.artist ? el("span", { class: "dim", text: ` ${track.artist}` }) : null, track.album ? el("small", { class: "dim phone", text: track.album }) : null, about ? el("small", { class: "dim", text: about }) : null),
      el("td", { class: "album", text: track.album }), el("td", { class: "number", text: clock(track.duration_s) }),
      el("td", { class: "number actions" }, ...(mayWrite ? [icon("✎", "Rename", () => rename(track)), icon("✕", "Remove", () => remove(track))] : [])));
  }

  async function rename(track) {
    const facts = [["File", track.extra.file], ["ISRC", track.isrc], ["Label", track.label], ["Same recording as", track.copy_of], ["Key", track.key]].filter(([, text]) => text);
    const changed = await openDialog({
      title: "Rename the track",
      text: "Matches have this name from now on; what was published before keeps its own.",
      fields: ["title", "artist", "album"].map((name) => ({ name, label: name[0].toUpperCase() + name.slice(1), value: track[name], maxlength: 500, required: name === "title" })),
      after: el("p", { class: "dim facts-line", text: facts.map(([key, value]) => `${key} ${value}`).join(" · ") }),
      action: "Save",
      submit(values) {
        // Those alone that were changed here: another tab may have changed others.
        const names = Object.fromEntries(Object.entries(values).filter(([name, text]) => text !== track[name]));
        return Object.keys(names).length ? change("PATCH", "/api/catalogue/track", { key: track.key }, names) : track;
      },
    });
    if (changed && !isClosed) load(pager.offset);
  }

  async function remove(track) {
    const removed = await openDialog({
      title: `Remove “${track.title || track.key}”?`,
      text: "It is not recognised from now on. To have it again, its file must be added again. What was published before stays.",
      action: "Remove", danger: true,
      submit: () => change("DELETE", "/api/catalogue/track", { key: track.key }),
    });
    if (removed && !isClosed) load(pager.offset);
  }

  async function begin() {
    let may;
    try {
      may = await about();
    } catch (error) {
      say(note, error.message);
      return;
    }
    if (isClosed) return;
    if (may.catalogue === "none") {
      say(note, "No catalogue is set up: set identify.catalogue to a folder, and start again.");
      input.hidden = true;
      return;
    }
    tools.firstChild.after(catalogueTabs("/catalogue", may));
    mayWrite = may.catalogue === "write";
    if (mayWrite && may.uploads) {
      const chooser = el("input", { type: "file", id: "files", multiple: true, accept: "audio/*,video/*,.mkv,.ts,.mp3,.flac,.opus,.ogg,.wav,.m4a" });
      const zone = el("label", { class: "drop panel low", for: "files" }, el("strong", { text: "Drop songs here, or choose files" }),
        el("span", { class: "dim", text: "Any audio, also whole folders. Names come from the tags of the files. The sound itself is not kept." }), chooser);
      chooser.addEventListener("change", () => {
        queue.add([...chooser.files]);
        chooser.value = "";
      });
      const files = queueList();
      place.replaceChildren(zone, files.node);
      ends.push(files.close, takeDrops(zone, async (items) => queue.add(await filesOf(items))),
        queue.listen((job) => { if (job?.state === "added") load(pager.offset); }));
    }
    await load((Math.min(Math.max(1, Math.floor(Number(query.get("page"))) || 1), 1e6) - 1) * SIZE);
  }
  begin();
  const refresh = () => { if (!document.hidden && table.hidden === false) load(pager.offset); };
  addEventListener("focus", refresh); // another tab may have changed it
  ends.push(() => removeEventListener("focus", refresh));

  return {
    title: "Catalogue",
    key(event) {
      if (event.key === "/") input.focus();
      else return pager.key(event);
      return true;
    },
    close() {
      isClosed = true;
      clearTimeout(timer);
      for (const end of ends) end();
    },
  };
}
