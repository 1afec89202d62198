// What stations played several times and no catalogue names: to listen to, and to name.

import { about, ask, change } from "./api.js";
import { catalogueTabs } from "./catalogue.js";
import { openDialog } from "./dialogs.js";
import { Pager } from "./pager.js";
import { clock, dayOf, el, LABELS, plural, say, stationPath, timeOf } from "./text.js";

const SIZE = 50;
const SHOWN = 3; // times, before all are asked for
const KINDS = ["song", "jingle", "bed", "advert", "programme open", "other"];
const FILTERS = [["music", "Music"], ["all", "All sounds"]];

export function unknown(main, query) {
  let kind = query.get("kind") === "all" ? "all" : "music";
  let named = query.get("named") === "1";
  let isClosed = false;
  let mayName = false;
  let asked = 0;
  const player = el("audio", { controls: true, hidden: true, "aria-label": "The piece that is played" });
  const count = el("span", { class: "dim" });
  const note = el("p", { class: "empty", role: "status", text: "Loading …" });
  const list = el("ol", { class: "pieces" });
  const pager = new Pager(SIZE, (offset) => load(offset));
  const chip = (text, isOn, onclick) => el("button", { class: "chip", "aria-pressed": String(isOn), onclick, text });
  const kinds = el("div", { class: "chips", role: "group", "aria-label": "Kind of sound" });
  const names = el("div", { class: "chips", role: "group", "aria-label": "With or without a name" });
  const tools = el("div", { class: "tools" }, el("h1", { text: "Catalogue" }), count, el("div", { class: "right" }, kinds, names));
  main.replaceChildren(tools, el("section", { class: "panel", "aria-label": "Pieces" }, player, list, note, pager.node));

  function chips() {
    kinds.replaceChildren(...FILTERS.map(([value, text]) => chip(text, kind === value, () => { kind = value; chips(); load(0); })));
    names.replaceChildren(...[[false, "Without a name"], [true, "Named"]].map(([value, text]) => chip(text, named === value, () => { named = value; chips(); load(0); })));
  }

  async function load(offset) {
    const ours = ++asked;
    const given = new URLSearchParams();
    if (kind !== "music") given.set("kind", kind);
    if (named) given.set("named", "1");
    if (offset) given.set("page", offset / SIZE + 1);
    history.replaceState(null, "", given.size ? `/unknown?${given}` : "/unknown");
    try {
      const found = await ask("/api/unknown", { kind, named: named ? "1" : "", offset, limit: SIZE });
      if (ours !== asked || isClosed) return;
      if (!found.pieces.length && offset > 0) {
        load(0);
        return;
      }
      say(count, plural(found.found, "piece"));
      list.replaceChildren(...found.pieces.map(row));
      note.hidden = found.pieces.length > 0;
      say(note, named ? "Nothing has been named here yet." : "Nothing that was played several times is without a name.");
      pager.show(offset, found.found, found.pieces.length);
    } catch (error) {
      if (ours !== asked || isClosed) return;
      say(note, error.message);
      note.hidden = false;
    }
  }

  const clipOf = ({ folder, cluster }) => `/api/unknown/clip?${new URLSearchParams({ folder, cluster })}`;

  function listen(piece, button) {
    for (const other of list.querySelectorAll(".playing")) other.classList.remove("playing");
    button.closest("li").classList.add("playing");
    player.src = clipOf(piece);
    player.hidden = false;
    player.play().catch(() => {
      player.hidden = true;
      say(note, "Its sound cannot be played here (any more).");
      note.hidden = false;
    });
  }

  function row(piece) {
    const { label, count: times, occurrences } = piece;
    const play = piece.clip ? el("button", { class: "button", "aria-label": `Listen to piece ${piece.cluster}`, text: "▶ Listen", onclick: () => listen(piece, play) }) : null;
    const what = el("p", { class: "what" }, el("strong", { text: piece.title || piece.guess[0].toUpperCase() + piece.guess.slice(1) }),
      label in LABELS ? el("span", { class: `key ${label}` }, el("i"), LABELS[label]) : null, el("span", { text: clock(piece.length_s) }), el("span", { text: plural(times, "time") }));
    const where = el("p", { class: "dim" }, piece.station);
    const at = el("p", { class: "times" });
    const newest = [...occurrences].reverse();
    const show = (all) => {
      const more = newest.length - SHOWN;
      at.replaceChildren(...(all ? newest : newest.slice(0, SHOWN)).map((each) => time(piece, each)));
      if (!all && more > 0) at.append(el("button", { class: "button small", text: `${more} more`, onclick: () => show(true) }));
      else if (times > newest.length) at.append(el("span", { class: "dim", text: `and ${times - newest.length} before` }));
    };
    show(false);
    const name = mayName && !piece.title ? el("button", { class: "button primary", text: "Name it …", onclick: () => give(piece) }) : null;
    return el("li", { "data-cluster": piece.cluster }, el("div", {}, what, where, at), el("div", { class: "actions" }, play, name));
  }

  function time({ station }, { start_ms: start, dated, file }) {
    if (!dated) return el("span", { text: file ? `${timeOf(start, false)} ${file}` : timeOf(start, false) });
    return el("a", { href: stationPath(station, start), "data-route": true, text: `${dayOf(start)} ${timeOf(start, true)}` });
  }

  async function give(piece) {
    player.pause();
    const done = await openDialog({
      title: "What is it?",
      text: "It becomes a track of the catalogue, and is recognised from now on.",
      body: [piece.clip ? el("audio", { controls: true, src: clipOf(piece), preload: "none" }) : null,
        el("datalist", { id: "kinds" }, ...KINDS.map((value) => el("option", { value })))],
      fields: [{ name: "title", label: "Title", maxlength: 500, required: true }, { name: "artist", label: "Artist", maxlength: 500 },
        { name: "kind", label: "Kind", value: piece.guess, list: "kinds", maxlength: 100 }],
      action: "Name it",
      submit: ({ title, artist, kind: its }) => change("POST", "/api/unknown/name", {}, { folder: piece.folder, cluster: piece.cluster, title, artist, kind: its }),
    });
    if (done && !isClosed) load(pager.offset);
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
    tools.firstChild.after(catalogueTabs("/unknown", may));
    if (!may.unknown) {
      say(note, "What is played again is not searched for: set repeats.folder to a folder, and start again.");
      return;
    }
    mayName = may.catalogue === "write";
    chips();
    await load((Math.min(Math.max(1, Math.floor(Number(query.get("page"))) || 1), 1e6) - 1) * SIZE);
  }
  begin();

  return {
    title: "Unknown",
    key: (event) => pager.key(event),
    close() {
      isClosed = true;
      player.pause();
    },
  };
}
