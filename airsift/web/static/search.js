// Search in the history: when and where a song was played.

import { clock, dayOf, el, LABELS, say, songOf, stationPath, timeOf } from "./text.js";
import { ask } from "./api.js";

const KINDS = [["match", "Songs"], ["segment", "Labels"], ["label", "Own labels"], ["repeat", "Played before"], ["gap", "No audio"], ["alarm", "Alarms"]];
const LIMIT = 500;
const local = (text) => (text ? new Date(text).getTime() : "");

export function search(main, query, go) {
  const field = (name, more) => el("input", { id: name, name, autocomplete: "off", value: query.get(name) ?? "", ...more });
  const track = field("track", { type: "search", placeholder: "Song, artist, ISRC or key", spellcheck: "false" });
  const names = el("datalist", { id: "stations" });
  const stationName = field("station", { placeholder: "All", list: "stations" });
  const since = field("since", { type: "datetime-local" });
  const until = field("until", { type: "datetime-local" });
  const kind = el("select", { id: "kind", name: "kind" }, ...KINDS.map(([value, text]) => el("option", { value, text, selected: query.get("kind") === value })));
  const label = (text, input) => el("label", {}, el("span", { text }), input);
  const body = el("tbody");
  const note = el("p", { class: "empty", role: "status" });
  const form = el("form", { class: "panel search", role: "search", onsubmit: (event) => { event.preventDefault(); submit(); } },
    label("What", track), label("Station", stationName), label("From", since), label("To", until), label("Kind", kind), names,
    el("button", { class: "button primary", text: "Search" }));
  const head = ["When", "Station", "What", "Length", "In the clear", "Under speech"].map((text, n) => el("th", { scope: "col", class: n > 2 ? "number" : null, text }));
  const table = el("table", { hidden: true }, el("thead", {}, el("tr", {}, ...head)), body);
  main.replaceChildren(el("div", { class: "tools" }, el("h1", { text: "Search" })), form,
    el("section", { class: "panel results", "aria-label": "Results" }, el("div", { class: "scroll" }, table), note));

  let asked = 0;

  function submit() {
    const given = new URLSearchParams();
    for (const [name, input] of Object.entries({ track, station: stationName, since, until, kind })) {
      if (input.value && !(name === "kind" && input.value === "match")) given.set(name, input.value);
    }
    history.replaceState(null, "", `/search?${given}`);
    find();
  }

  async function find() {
    const ours = ++asked;
    say(note, "Searching …");
    note.hidden = false;
    try {
      const { events, complete } = await ask("/api/history", {
        track: track.value.trim(), station: stationName.value, kind: kind.value, limit: LIMIT,
        since: local(since.value), until: local(until.value),
      });
      if (ours !== asked) return;
      body.replaceChildren(...events.reverse().map(row));
      table.hidden = events.length === 0;
      say(note, events.length === 0 ? "Nothing is stored that is like that." : complete ? "" : `These are the newest ${LIMIT}; give a time to see others.`);
      note.hidden = !note.textContent;
    } catch (error) {
      if (ours !== asked) return;
      table.hidden = true;
      say(note, error.message);
    }
  }

  function row(event) {
    const dated = event.time !== null;
    const at = dated ? Date.parse(event.time) : event.start_s * 1000;
    const long = (value) => (value === undefined ? "" : clock(value));
    const link = stationPath(event.station, at);
    return el("tr", { onclick: (click) => { if (!click.target.closest("a")) go(link); } },
      el("td", { class: "time" }, el("a", { href: link, "data-route": true }, dated ? `${dayOf(at)} ${timeOf(at, true)}` : timeOf(at, false))),
      el("td", { text: event.station }), what(event), el("td", { class: "number", text: clock(event.end_s - event.start_s) }),
      el("td", { class: "number", text: long(event.foreground_s) }), el("td", { class: "number", text: long(event.under_speech_s) }));
  }

  function what(event) {
    if (event.track !== undefined) {
      const { title, artist } = songOf(event);
      return el("td", {}, el("strong", { text: title }), artist ? ` ${artist}` : "");
    }
    if (event.label in LABELS && event.guess === undefined) return el("td", {}, el("span", { class: `key ${event.label}` }, el("i"), LABELS[event.label]));
    return el("td", { text: event.title || event.guess || event.text || event.rule || event.reason || event.label || "" });
  }

  ask("/api/stations").then(({ stations }) => names.replaceChildren(...stations.map(({ name }) => el("option", { value: name }))), () => {});
  if ([...query.keys()].length) find();
  else say(note, "Songs by title, artist, ISRC or key; everything else by station and time. The newest come first.");
  track.focus();

  return {
    title: "Search",
    key(event) {
      if (event.key !== "/") return false;
      track.focus();
      return true;
    },
    close() {
      asked = -1;
    },
  };
}
