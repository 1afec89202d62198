// One station: what is on now, its last minutes, and its hours, days and weeks.

import { clock, dayOf, el, LABELS, midnight, percent, say, songOf, timeOf } from "./text.js";
import { ask } from "./api.js";
import { store } from "./store.js";
import { colourOf, drawRibbon } from "./draw.js";
import { DAY, HOUR, Timeline } from "./timeline.js";
import { troubleOf } from "./wall.js";
import { Spectrum } from "./spectrum.js";

const REFRESH_MS = 5000;
const SPAN_MS = 180000;
const ORDER = ["music", "speech_over_music", "speech", "other"];

export function station(main, query, go) {
  const name = query.get("name") ?? "";
  const big = {
    label: el("strong", { class: "label" }),
    since: el("span", { class: "dim" }),
    title: el("strong", { class: "title" }),
    artist: el("span", { class: "artist" }),
    into: el("span", { class: "into" }),
    bar: el("i"),
    facts: el("dl", { class: "facts" }),
    trouble: el("p", { class: "trouble" }),
    ribbon: el("canvas", { "aria-hidden": true }),
  };
  const live = el("section", { class: "live panel", "aria-label": "Now" },
    el("div", { class: "on" }, el("p", { class: "now" }, big.label, big.since),
      el("p", { class: "song" }, big.title, big.artist, big.into, el("b", { class: "progress" }, big.bar)), big.trouble),
    big.facts, el("div", { class: "ribbon" }, big.ribbon));
  const picture = el("canvas", { "aria-label": "Spectrum", role: "img" });
  const seen = el("div", { class: "spectrum", hidden: true }, picture);
  live.append(seen);
  let spectrum = null;
  const range = el("h2", { class: "range" });
  const shares = el("div", { class: "shares", role: "img" });
  const legend = el("p", { class: "legend" });
  const table = el("tbody");
  const none = el("p", { class: "empty", hidden: true });
  const note = el("p", { class: "note" });
  const timeline = new Timeline((since, until) => moved(since, until));
  timeline.picked = (at) => timeline.tell(at);
  const spans = [["Hour", HOUR], ["Day", DAY], ["Week", 7 * DAY]].map(([text, length]) =>
    el("button", { class: "chip", onclick: () => choose(length) }, text));
  const button = (text, title, onclick) => el("button", { class: "button", title, "aria-label": title, onclick }, text);
  main.replaceChildren(
    el("div", { class: "tools" }, el("a", { class: "button", href: "/", "data-route": true, title: "Back to the wall (Esc)" }, "‹ Wall"),
      el("h1", { text: name })),
    live,
    el("section", { class: "panel", "aria-label": "History" },
      el("div", { class: "tools" }, range, el("div", { class: "chips", role: "group", "aria-label": "Length" }, ...spans),
        el("div", { class: "steps" }, button("‹", "Earlier (←)", () => step(-1)), button("›", "Later (→)", () => step(1)),
          button("−", "Zoom out (−)", () => timeline.zoom(2)), button("+", "Zoom in (+)", () => timeline.zoom(0.5)),
          button("Now", "To the present (n)", () => present()))),
      timeline.node, shares, legend, note),
    el("section", { class: "panel", "aria-label": "Songs" }, el("h2", { text: "Songs" }),
      el("div", { class: "scroll" }, el("table", {}, el("thead", {}, el("tr", {},
        ...["Time", "Song", "Artist", "Length", "In the clear", "Under speech"].map((text, n) => el("th", { scope: "col", class: n > 2 ? "number" : null, text })))), table)), none),
  );

  const alarmed = el("tbody");
  const player = el("audio", { controls: true, hidden: true });
  const alarms = el("section", { class: "panel", "aria-label": "Alarms", hidden: true }, el("h2", { text: "Alarms" }),
    el("div", { class: "scroll" }, el("table", {}, el("thead", {}, el("tr", {},
      ...["Time", "Alarm", "Severity", "Length", ""].map((text, n) => el("th", { scope: "col", class: n === 3 ? "number" : null, text })))), alarmed)), player);
  main.lastElementChild.before(alarms);
  let areClips = false;
  let loaded = null;
  let wanted = 0;
  let timer = 0;
  let frame = 0;
  let atNow = !query.has("at");

  const view = () => store.stations.get(name);
  const newest = () => view()?.head_ms || known || Date.now();
  const isDated = () => view()?.dated ?? true;
  let known = 0; // the newest that is stored, of a station that is not live

  function step(direction) {
    if (timeline.isByDay || (isDated() && timeline.until - timeline.since === DAY)) {
      const days = Math.round((timeline.until - timeline.since) / DAY) * direction;
      timeline.show(midnight(timeline.since, days), midnight(timeline.until, days));
    } else timeline.move(direction * 0.5);
  }

  // Shows an hour, a day or a week around what is shown.
  function choose(length) {
    const at = atNow ? newest() : (timeline.since + timeline.until) / 2;
    if (!isDated()) {
      const end = Math.max(newest(), length);
      timeline.show(end - length, end);
    } else if (length === HOUR) timeline.show(at - HOUR * (atNow ? 0.98 : 0.5), at + HOUR * (atNow ? 0.02 : 0.5));
    else if (length === DAY) timeline.show(midnight(at), midnight(at, 1));
    else timeline.show(midnight(at, -6), midnight(at, 1));
  }

  // Shows what is in memory, of a station without a history.
  function recent() {
    const spans = [...(view()?.spans.values() ?? [])].filter((span) => span[2] !== "gap");
    const first = Math.min(newest(), ...spans.map((span) => span[0]));
    const length = Math.min(Math.max(newest() - first, 3 * 60000), HOUR);
    timeline.show(newest() - length * 1.02, newest() + length * 0.04);
  }

  function present() {
    atNow = true;
    choose(timeline.until - timeline.since > DAY ? 7 * DAY : timeline.until - timeline.since > 2 * HOUR ? DAY : HOUR);
  }

  function moved(since, until) {
    atNow = newest() >= since && newest() <= until + REFRESH_MS;
    timeline.limit = newest();
    const length = until - since;
    spans.forEach((chip, n) => chip.setAttribute("aria-pressed", String(Math.abs(length - [HOUR, DAY, 7 * DAY][n]) < 1000)));
    const dated = isDated();
    timeline.dated = dated;
    const first = dated ? dayOf(since) : timeOf(since, false);
    const last = dated ? dayOf(until - 1) : timeOf(until, false);
    say(range, !dated ? `${first} to ${last}` : first !== last ? `${first} to ${last}`
      : length >= DAY ? first : `${first}, ${timeOf(since, true, false)} to ${timeOf(until, true, false)}`);
    summarise();
    clearTimeout(timer);
    const isThere = loaded && loaded.since <= since && loaded.until >= until;
    timer = setTimeout(load, isThere ? REFRESH_MS : 120);
    const place = new URLSearchParams({ name, at: Math.round(since), to: Math.round(until) });
    if (atNow) ["at", "to"].forEach((each) => place.delete(each));
    history.replaceState(null, "", `/station?${place}`);
  }

  async function load() {
    clearTimeout(timer);
    const ours = ++wanted;
    const late = newest() - (timeline.until - (timeline.until - timeline.since) * 0.02);
    if (atNow && late > 0 && timeline.until - timeline.since <= 1.1 * HOUR) {
      timeline.since += late; // the present stays in sight
      timeline.until += late;
      moved(timeline.since, timeline.until);
      clearTimeout(timer);
    }
    const margin = (timeline.until - timeline.since) * 0.5;
    const since = Math.max(0, Math.round(timeline.since - margin));
    const until = Math.round(Math.min(timeline.until + margin, since + 31 * DAY));
    try {
      const data = await ask("/api/timeline", { station: name, since, until });
      if (ours !== wanted) return;
      loaded = { since, until };
      timeline.data = data;
      say(note, data.source === "memory" ? "From memory: what this server has seen. With a database it is all there is." : "");
      timeline.draw();
      summarise();
    } catch (error) {
      if (ours === wanted) say(note, error.message);
    }
    if (ours === wanted) timer = setTimeout(load, REFRESH_MS);
  }

  // What there is of each label, and the songs, between the two ends of the timeline.
  function summarise() {
    const { since, until, data } = timeline;
    const sums = new Map(ORDER.map((label) => [label, 0]));
    let total = 0;
    for (const [start, end, label] of data.labels) {
      const part = Math.min(end, until) - Math.max(start, since);
      if (part <= 0 || !sums.has(label)) continue;
      sums.set(label, sums.get(label) + part);
      total += part;
    }
    shares.replaceChildren(...ORDER.filter((label) => sums.get(label) > 0).map((label) => {
      const part = el("i", { title: LABELS[label] });
      part.style.flexGrow = String(sums.get(label));
      part.style.background = colourOf(label);
      return part;
    }));
    legend.replaceChildren(...ORDER.map((label) => el("span", { class: `key ${label}` }, el("i"), `${LABELS[label]} `,
      el("b", { text: total ? percent(sums.get(label) / total) : "–" }), total ? ` ${clock(sums.get(label) / 1000)}` : "")));
    listAlarms();
    const songs = data.songs.filter((song) => song.end_ms > since && song.start_ms < until).slice(-500).reverse();
    table.replaceChildren(...songs.map((song) => {
      const { title, artist } = songOf(song);
      const long = (value) => (value === undefined || value === null ? "" : clock(value));
      return el("tr", { onclick: () => timeline.show(song.start_ms - 60000, song.end_ms + 60000) },
        el("td", { class: "time" }, timeOf(song.start_ms, isDated())), el("td", {}, el("strong", { text: title }), song.final === false ? el("em", { text: "now" }) : null),
        el("td", { text: artist }), el("td", { class: "number", text: clock((song.end_ms - song.start_ms) / 1000) }),
        el("td", { class: "number", text: long(song.foreground_s) }), el("td", { class: "number", text: long(song.under_speech_s) }));
    }));
    none.hidden = songs.length > 0;
    say(none, "No song was recognised in this time.");
  }

  function listAlarms() {
    const { since, until, data } = timeline;
    const inside = data.alarms.filter(([start, end]) => Math.max(end, start + 1) > since && start < until).slice(-200).reverse();
    alarms.hidden = inside.length === 0;
    alarmed.replaceChildren(...inside.map(([start, end, text, rule, severity, sample]) => {
      const path = `/api/alarms/clip?${new URLSearchParams({ station: name, rule, start_sample: sample })}`;
      const listen = () => {
        player.src = path;
        player.hidden = false;
        player.play().catch(() => (player.hidden = true)); // none was kept of this one
      };
      return el("tr", { onclick: () => timeline.show(start - 60000, end + 60000) },
        el("td", { class: "time" }, timeOf(start, isDated())), el("td", {}, el("strong", { text })), el("td", { text: severity }),
        el("td", { class: "number", text: clock((end - start) / 1000) }),
        el("td", { class: "number" }, areClips ? el("button", { class: "button", onclick: (click) => { click.stopPropagation(); listen(); } }, "▶ Listen") : null));
    }));
  }

  function tell(at) {
    const its = view();
    live.hidden = !its;
    if (!its) return;
    const { now, song } = its;
    const head = its.shownHead(at);
    live.className = `live panel ${now.label ?? "none"}${song ? " named" : ""}`;
    say(big.label, LABELS[now.label] ?? "No audio");
    say(big.since, now.since_ms === undefined ? "" : `for ${clock((head - now.since_ms) / 1000)}`);
    const { title, artist } = song ? songOf(song) : { title: now.stream_title || "", artist: now.stream_title ? "as the stream says" : "" };
    say(big.title, title);
    say(big.artist, artist);
    const into = song ? (song.track_start_s ?? 0) + (head - song.start_ms) / 1000 : 0;
    const length = song?.track_duration_s;
    say(big.into, !song ? "" : length ? `${clock(Math.min(into, length))} / ${clock(length)}` : clock(into));
    big.bar.style.transform = `scaleX(${length ? Math.min(into / length, 1).toFixed(4) : 0})`;
    say(big.trouble, troubleOf(its));
    const facts = [["At", timeOf(head, its.dated)]];
    if (now.score !== null && now.score !== undefined) facts.push(["Sure", percent(now.score)]);
    if (now.p_speech !== undefined) facts.push(["Speech", percent(now.p_speech)], ["Music", percent(now.p_music)]);
    if (now.voice) facts.push(["Voice", now.voice]);
    if (now.labels?.length) facts.push(["Labels", now.labels.join(" · ")]);
    const level = now.level ?? {};
    if (level.momentary_lufs !== undefined && level.momentary_lufs !== null) facts.push(["Loudness", `${level.momentary_lufs.toFixed(1)} LUFS`]);
    if (level.true_peak_dbtp !== undefined && level.true_peak_dbtp !== null) facts.push(["Peak", `${level.true_peak_dbtp.toFixed(1)} dBTP`]);
    else if (now.level_dbfs !== undefined) facts.push(["Level", `${now.level_dbfs.toFixed(0)} dBFS`]);
    const text = facts.flat().join("|");
    if (big.shown !== text) {
      big.shown = text;
      big.facts.replaceChildren(...facts.map(([key, value]) => el("div", {}, el("dt", { text: key }), el("dd", { text: value }))));
    }
    const { clientWidth, clientHeight } = big.ribbon;
    if (clientWidth) drawRibbon(big.ribbon, clientWidth, clientHeight, its, head, SPAN_MS);
  }

  let drawn = 0;
  function work(at) {
    frame = requestAnimationFrame(work);
    if (at - drawn < 30) return;
    drawn = at;
    spectrum?.draw(at);
    tell(at);
  }

  async function begin() {
    await store.ready;
    if (wanted < 0) return;
    ask("/api/about").then((about) => {
      areClips = about.clips;
      listAlarms();
      if (!about.spectrum || wanted < 0) return;
      seen.hidden = false;
      spectrum = new Spectrum(picture, name);
    }, () => {});
    try {
      const { stations } = await ask("/api/stations");
      known = stations.find((each) => each.name === name)?.stored?.last_ms ?? 0;
    } catch (error) {
      say(note, error.message);
    }
    if (wanted < 0) return;
    if (query.has("at")) {
      const at = Number(query.get("at"));
      const to = Number(query.get("to")) || at + HOUR / 2;
      timeline.show(query.has("to") ? at : at - HOUR / 2, to);
    } else if (isDated() && known && newest() - midnight(newest()) > HOUR) choose(DAY);
    else if (known) choose(HOUR);
    else recent();
  }
  begin();
  frame = requestAnimationFrame(work);

  return {
    title: name,
    key(event) {
      const does = {
        ArrowLeft: () => step(-1), ArrowRight: () => step(1), "+": () => timeline.zoom(0.5), "=": () => timeline.zoom(0.5),
        "-": () => timeline.zoom(2), n: present, h: () => choose(HOUR), y: () => choose(DAY), k: () => choose(7 * DAY),
      }[event.key];
      does?.();
      return Boolean(does);
    },
    restyle() {
      timeline.draw();
      summarise();
    },
    close() {
      cancelAnimationFrame(frame);
      clearTimeout(timer);
      wanted = -1;
      timeline.close();
      spectrum?.close();
    },
  };
}
