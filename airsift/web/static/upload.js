// A file that is dropped here, and its segments and songs as they are found.

import { clock, el, LABELS, percent, say, songOf } from "./text.js";
import { Timeline } from "./timeline.js";

export function upload(main) {
  const input = el("input", { type: "file", id: "file", accept: "audio/*,video/*,.mkv,.ts,.mp3,.flac,.opus,.ogg,.wav,.m4a", onchange: () => take(input.files[0]) });
  const drop = el("label", { class: "drop panel", for: "file" }, el("strong", { text: "Drop a file here, or choose one" }),
    el("span", { class: "dim", text: "Any audio or video. It is segmented on this server and not kept." }), input);
  const status = el("p", { class: "note", role: "status" });
  const bar = el("i");
  const progress = el("b", { class: "progress wide", hidden: true }, bar);
  const player = el("audio", { controls: true, hidden: true });
  const title = el("h2");
  const body = el("tbody");
  const save = el("a", { class: "button", hidden: true, text: "Save as JSON lines" });
  const timeline = new Timeline(() => {});
  timeline.dated = false;
  timeline.shortest = 1000;
  timeline.picked = (at) => seek(at / 1000);
  const result = el("section", { class: "panel", hidden: true }, el("div", { class: "tools" }, title, save), player, timeline.node,
    el("div", { class: "scroll" }, el("table", {}, el("thead", {}, el("tr", {}, ...["From", "To", "What", "Sure"].map((text, n) => el("th", { scope: "col", class: n > 2 ? "number" : null, text })))), body)));
  main.replaceChildren(el("div", { class: "tools" }, el("h1", { text: "Upload" })), drop, status, progress, result);

  let request = null;
  let played = "";
  let saved = "";
  const urls = () => [played, saved].filter(Boolean).forEach((url) => URL.revokeObjectURL(url));

  function seek(seconds) {
    if (player.hidden || !Number.isFinite(player.duration)) return;
    player.currentTime = Math.min(seconds, player.duration);
    player.play();
  }

  function take(file) {
    if (!file) return;
    request?.abort();
    urls();
    played = URL.createObjectURL(file);
    saved = "";
    say(title, file.name);
    body.replaceChildren();
    save.hidden = true;
    timeline.data = { labels: [], songs: [], gaps: [], repeats: [], alarms: [] };
    player.src = played;
    player.hidden = false;
    player.onerror = () => (player.hidden = true); // the browser does not know this format
    player.ontimeupdate = () => {
      timeline.limit = player.currentTime * 1000;
      timeline.draw();
    };
    result.hidden = false;
    send(file);
  }

  // By XMLHttpRequest: fetch does not say how much has been sent.
  function send(file) {
    const asked = (request = new XMLHttpRequest());
    let at = 0;
    asked.open("POST", `/api/segments?name=${encodeURIComponent(file.name)}`);
    asked.upload.onprogress = ({ loaded, total }) => {
      bar.style.transform = `scaleX(${loaded / total})`;
      say(status, loaded < total ? `Sending: ${percent(loaded / total)}` : "Listening …");
    };
    asked.onprogress = () => {
      if (asked.status !== 200) return;
      const lines = asked.responseText.slice(at).split("\n");
      at += asked.responseText.slice(at).length - lines.at(-1).length;
      for (const line of lines.slice(0, -1)) if (line) show(JSON.parse(line));
      timeline.show(0, timeline.end);
    };
    asked.onload = () => {
      progress.hidden = true;
      if (asked.status === 200) {
        const own = asked.responseText.split("\n").filter((line) => line && !line.startsWith('{"done"'));
        saved = URL.createObjectURL(new Blob([own.join("\n"), "\n"], { type: "application/x-ndjson" }));
        save.href = saved;
        save.download = `${file.name}.jsonl`;
        save.hidden = own.length === 0;
        return;
      }
      let reason = asked.statusText;
      try {
        reason = JSON.parse(asked.responseText).error;
      } catch { /* it was no answer of ours */ }
      say(status, reason);
    };
    asked.onerror = () => {
      progress.hidden = true;
      say(status, "The server went away, or does not take this file.");
    };
    timeline.end = 0;
    progress.hidden = false;
    bar.style.transform = "scaleX(0)";
    say(status, "Sending …");
    asked.send(file);
  }

  function show(event) {
    if ("done" in event) {
      say(status, event.problems.length ? event.problems.join(" · ") : "Done.");
      return;
    }
    const [start, end] = [event.start_s * 1000, event.end_s * 1000];
    timeline.end = Math.max(timeline.end, end);
    const kind = event.schema.split("/")[0].replace("airsift.", "");
    let what = event.reason ?? kind;
    if (kind === "segment") {
      timeline.data.labels.push([start, end, event.label]);
      what = el("span", { class: `key ${event.label}` }, el("i"), LABELS[event.label], event.voice ? `, ${event.voice} voice` : "");
    } else if (kind === "match") {
      const song = { ...event, start_ms: start, end_ms: end };
      timeline.data.songs.push(song);
      what = el("span", { class: "key song" }, el("i"), `${songOf(song).title} · ${songOf(song).artist}`);
    } else if (kind === "label") what = event.label;
    else if (kind === "gap") timeline.data.gaps.push([start, end, event.reason]);
    const row = el("tr", { onclick: () => seek(event.start_s) }, el("td", { class: "time", text: clock(event.start_s) }),
      el("td", { class: "time", text: clock(event.end_s) }), el("td", {}, what),
      el("td", { class: "number", text: kind === "segment" || kind === "label" ? percent(event.score) : "" }));
    row.start = event.start_s;
    const later = [...body.children].find((other) => other.start > row.start);
    body.insertBefore(row, later ?? null);
  }

  const over = (event) => {
    event.preventDefault();
    drop.classList.add("over");
  };
  const leave = () => drop.classList.remove("over");
  const dropped = (event) => {
    event.preventDefault();
    leave();
    take(event.dataTransfer.files[0]);
  };
  const events = { dragover: over, dragleave: leave, drop: dropped };
  for (const [name, does] of Object.entries(events)) addEventListener(name, does);

  return {
    title: "Upload",
    restyle: () => timeline.draw(),
    close() {
      for (const [name, does] of Object.entries(events)) removeEventListener(name, does);
      request?.abort();
      urls();
      timeline.close();
    },
  };
}
