// Reports of what stations played: which, of when, in which format.

import { about, ask, change } from "./api.js";
import { store } from "./store.js";
import { bytes, clock, el, plural, say, two } from "./text.js";

const NAMES = { html: "Page (HTML)", csv: "Table (CSV)", json: "JSON", xlsx: "Spreadsheet (XLSX)", parquet: "Parquet", soundexchange: "SoundExchange, Report of Use", ddex: "DDEX, flat file for radio" };
const made = []; // reports of this visit, the newest first

const day = (date) => `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;

function yesterday() {
  const at = new Date();
  at.setDate(at.getDate() - 1);
  return day(at);
}

export function reports(main, query) {
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  let isClosed = false;
  let formats = [];
  let running = null;
  let timer = 0;
  const from = el("input", { type: "date", name: "from", value: query.get("from") ?? yesterday(), required: true });
  const to = el("input", { type: "date", name: "to", value: query.get("to") ?? query.get("from") ?? yesterday(), required: true });
  const format = el("select", { name: "format", id: "format", onchange: () => ask_() });
  const table = el("select", { name: "table" });
  const label = (text, input) => el("label", {}, el("span", { text }), input);
  const tables = label("Table", table);
  const fields = el("div", { class: "fields", hidden: true });
  const find = el("input", { type: "search", placeholder: "Find a station", "aria-label": "Find a station", autocomplete: "off", oninput: () => sift() });
  const group = el("select", { "aria-label": "Group", onchange: () => sift() });
  const names = el("div", { class: "names" });
  const chosen = el("p", { class: "dim", role: "status" });
  const pick = (text, onclick) => el("button", { class: "button small", type: "button", text, onclick });
  const stations = el("fieldset", {}, el("legend", { text: "Stations" }), el("div", { class: "tools" }, find, group, pick("Choose these", () => mark(true)), pick("None of these", () => mark(false))), names, chosen);
  const send = el("button", { class: "button primary", text: "Make the report" });
  const cancel = el("button", { class: "button", type: "button", text: "Cancel", hidden: true, onclick: () => running?.abort() });
  const note = el("p", { class: "note", role: "status" });
  const problem = el("p", { class: "wrong", role: "alert" });
  const form = el("form", { class: "panel report", onsubmit: (event) => { event.preventDefault(); make(); } },
    el("div", { class: "row" }, label("From", from), label("To (that day included)", to), label("Format", format), tables), stations, fields,
    el("div", { class: "tools" }, send, cancel, note), problem, el("p", { class: "dim", text: `Days are those of ${zone}.` }));
  const kept = el("ul", { class: "jobs" });
  const list = el("section", { class: "panel", "aria-label": "Reports that were made", hidden: true }, el("h2", { text: "Made now" }), kept);
  const frame = el("iframe", { class: "report", title: "Report", hidden: true });
  main.replaceChildren(el("div", { class: "tools" }, el("h1", { text: "Reports" })), form, list, frame);
  form.hidden = true;
  const empty = el("p", { class: "empty", role: "status", text: "Loading …" });
  main.append(empty);

  const boxes = () => [...names.querySelectorAll("input")];

  function sift() {
    const words = find.value.toLowerCase();
    for (const box of boxes()) {
      const isIn = !group.value || store.groups.get(box.value) === group.value.slice(1);
      box.parentNode.hidden = !(isIn && box.value.toLowerCase().includes(words));
    }
  }

  function mark(isChosen) {
    for (const box of boxes()) if (!box.parentNode.hidden) box.checked = isChosen;
    tell();
  }

  function tell() {
    const many = boxes().filter((box) => box.checked).length;
    const all = boxes().length;
    say(chosen, many === 0 || many === all ? `All ${plural(all, "station")}` : `${many} of ${plural(all, "station")}`);
  }

  // Shows what the chosen format asks for.
  function ask_() {
    const its = formats.find(({ name }) => name === format.value);
    tables.hidden = its.tables.length === 0;
    table.replaceChildren(...its.tables.map((value) => el("option", { value, text: value })));
    fields.hidden = its.fields.length === 0;
    fields.replaceChildren(...its.fields.map(({ name, what, default: value }) =>
      el("label", {}, el("span", { text: `${name}${value === null ? " *" : ""}` }), el("input", { name: `field-${name}`, placeholder: value ?? "", required: value === null, autocomplete: "off" }), el("small", { class: "dim", text: what }))));
  }

  async function make() {
    if (running) return;
    const asked = { from: from.value, to: to.value, format: format.value, zone };
    if (!tables.hidden) asked.table = table.value;
    const checked = boxes().filter((box) => box.checked).map((box) => box.value);
    if (checked.length && checked.length < boxes().length) asked.stations = checked;
    asked.fields = Object.fromEntries([...fields.querySelectorAll("input")].map((input) => [input.name.slice(6), input.value]));
    history.replaceState(null, "", `/reports?${new URLSearchParams({ from: asked.from, to: asked.to, format: asked.format })}`);
    running = new AbortController();
    const began = performance.now();
    say(problem, "");
    send.disabled = true;
    cancel.hidden = false;
    const wait = () => say(note, `It is being made, for ${clock((performance.now() - began) / 1000)} …`);
    wait();
    timer = setInterval(wait, 1000);
    try {
      const report = await change("POST", "/api/reports", {}, asked, running.signal);
      made.unshift({ ...report, what: `${asked.from}${asked.to === asked.from ? "" : ` to ${asked.to}`}, ${asked.stations ? plural(asked.stations.length, "station") : "all stations"}` });
      if (!isClosed) {
        listed();
        if (report.format === "html") show(report);
      }
      say(note, "");
    } catch (error) {
      say(note, "");
      say(problem, error.name === "AbortError" ? "Cancelled." : error.message);
    }
    clearInterval(timer);
    running = null;
    send.disabled = false;
    cancel.hidden = true;
  }

  const pathOf = ({ id }) => `/api/reports/${encodeURIComponent(id)}`;

  function show(report) {
    frame.src = pathOf(report);
    frame.hidden = false;
    frame.scrollIntoView({ block: "nearest" });
  }

  function listed() {
    list.hidden = made.length === 0;
    kept.replaceChildren(...made.map((report) => el("li", { class: "job" },
      el("strong", { text: report.name }), el("span", { class: "dim", text: `${bytes(report.bytes)}, ${report.what}` }),
      el("span", { class: "actions" }, report.format === "html" ? el("button", { class: "button small", text: "Show", onclick: () => show(report) }) : null,
        report.format === "html" ? el("a", { class: "button small", href: pathOf(report), target: "_blank", rel: "noopener", text: "In a tab of its own" }) : null,
        el("a", { class: "button small", href: `${pathOf(report)}?save`, download: report.name, text: "Save" })),
      report.notes.length ? el("span", { class: "dim", text: report.notes.join(" · ") }) : null)));
  }

  async function begin() {
    try {
      const may = await about();
      if (!may.reports) {
        say(empty, "There is no history to report from: start with --database URL, or airsift run with --sink database.");
        return;
      }
      const [known, { stations: found }] = await Promise.all([ask("/api/reports"), ask("/api/stations"), store.ready]);
      if (isClosed) return;
      formats = known.formats;
      const stored = found.filter((each) => each.stored).map(({ name }) => name);
      if (!stored.length) {
        say(empty, "Nothing is stored yet: the history is empty.");
        return;
      }
      format.replaceChildren(...formats.map(({ name }) => el("option", { value: name, text: NAMES[name] ?? name, selected: query.get("format") === name })));
      const groups = [...new Set(stored.map((name) => store.groups.get(name)).filter(Boolean))].sort();
      group.hidden = groups.length === 0;
      group.replaceChildren(el("option", { value: "", text: "All groups" }), ...groups.map((name) => el("option", { value: `g${name}`, text: name })));
      names.replaceChildren(...stored.map((name) => el("label", { class: "check" }, el("input", { type: "checkbox", value: name, checked: stored.length === 1, onchange: tell }), el("span", { text: name }))));
      from.max = to.max = day(new Date());
      stations.querySelector(".tools").hidden = stored.length < 8 && !groups.length;
      ask_();
      tell();
      listed();
      form.hidden = false;
      empty.remove();
    } catch (error) {
      say(empty, error.message);
    }
  }
  begin();

  return {
    title: "Reports",
    close() {
      isClosed = true;
      clearInterval(timer);
      running?.abort();
    },
  };
}
