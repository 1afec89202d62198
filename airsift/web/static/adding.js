// Files that are added to the catalogue, one after the other, also while another view is shown.

import { sendFile } from "./api.js";
import { el, percent, plural, say } from "./text.js";

const STATES = { waiting: "Waiting", sending: "Sending", reading: "Reading", added: "Added", present: "Already there", duplicate: "Same recording", failed: "Not added", cancelled: "Cancelled" };

class Job {
  constructor(file) {
    this.file = file;
    this.state = "waiting";
    this.text = "";
    this.title = "";
    this.share = 0;
    this.duplicates = false;
    this.node = null;
  }
}

class Queue {
  constructor() {
    this.jobs = [];
    this.listeners = new Set();
    this.running = null;
  }

  // Calls `listener(job)` when one has changed, with null when the list has; returns what ends that.
  listen(listener) {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  add(files) {
    for (const file of files) this.jobs.push(new Job(file));
    this.changed(null);
    this.work();
  }

  again(job, duplicates) {
    job.duplicates = duplicates;
    job.state = "waiting";
    job.text = "";
    this.changed(job);
    this.work();
  }

  cancel(job) {
    if (this.running?.job === job) this.running.abort();
    else if (job.state === "waiting") {
      job.state = "cancelled";
      this.changed(job);
    }
  }

  clear() {
    this.jobs = this.jobs.filter((job) => ["waiting", "sending", "reading"].includes(job.state));
    this.changed(null);
  }

  changed(job) {
    for (const listener of this.listeners) listener(job);
  }

  async work() {
    if (this.running) return;
    const job = this.jobs.find(({ state }) => state === "waiting");
    if (!job) return;
    job.state = "sending";
    job.share = 0;
    const { done, abort } = sendFile("/api/catalogue", { name: job.file.name, duplicates: job.duplicates ? "1" : "" }, job.file, (share) => {
      job.share = share;
      if (share >= 1) job.state = "reading";
      this.changed(job);
    });
    this.running = { job, abort };
    this.changed(job);
    try {
      const { result, track, like, problems } = await done;
      job.state = result;
      job.title = track ? [track.title, track.artist].filter(Boolean).join(", ") : "";
      const notes = result === "present" && job.title ? [`as ${job.title}`] : result === "added" && job.title ? [job.title] : [];
      if (like) notes.push(like.text);
      job.text = [...notes, ...problems].join(" · ");
    } catch (error) {
      job.state = error.name === "AbortError" ? "cancelled" : "failed";
      job.text = error.name === "AbortError" ? "" : error.message;
    }
    this.running = null;
    this.changed(job);
    this.work();
  }
}

export const queue = new Queue();

addEventListener("beforeunload", (event) => {
  if (queue.running) event.preventDefault();
});

// A list of the files, as long as there are any. Returns `{node, close}`.
export function queueList() {
  const title = el("h2");
  const clear = el("button", { class: "button", text: "Clear the list", onclick: () => queue.clear() });
  const list = el("ul", { class: "jobs" });
  const node = el("section", { class: "panel", "aria-label": "Files", hidden: true }, el("div", { class: "tools" }, title, clear), list);
  const button = (text, onclick) => el("button", { class: "button small", text, onclick });

  function draw(job) {
    const row = job.node;
    row.className = `job ${job.state}`;
    const state = job.state === "sending" ? `Sending ${percent(job.share)}` : job.state === "reading" ? "Reading the file …" : STATES[job.state];
    say(row.state, state);
    say(row.text, job.text);
    row.bar.style.transform = `scaleX(${job.share})`;
    row.progress.hidden = job.state !== "sending" && job.state !== "reading";
    if (row.shown === job.state) return;
    row.shown = job.state;
    const isOpen = job.state === "waiting" || job.state === "sending" || job.state === "reading";
    row.actions.replaceChildren(...[
      isOpen ? button("Cancel", () => queue.cancel(job)) : null,
      job.state === "duplicate" ? button("Add it anyway", () => queue.again(job, true)) : null,
      job.state === "failed" || job.state === "cancelled" ? button("Try again", () => queue.again(job, job.duplicates)) : null,
    ].filter(Boolean));
  }

  function make(job) {
    const row = el("li", {});
    row.state = el("span", { class: "state", role: "status" });
    row.text = el("span", { class: "dim" });
    row.bar = el("i");
    row.progress = el("b", { class: "progress wide" }, row.bar);
    row.actions = el("span", { class: "actions" });
    row.append(el("strong", { text: job.file.name }), row.state, row.actions, row.text, row.progress);
    job.node = row;
    draw(job);
    return row;
  }

  function show(job) {
    const left = queue.jobs.filter(({ state }) => state === "waiting" || state === "sending" || state === "reading").length;
    node.hidden = queue.jobs.length === 0;
    say(title, left ? `${plural(left, "file")} to add` : plural(queue.jobs.length, "file"));
    clear.hidden = left === queue.jobs.length;
    if (job?.node?.parentNode === list) draw(job);
    else list.replaceChildren(...queue.jobs.map(make));
  }

  const stop = queue.listen(show);
  show(null);
  return { node, close: stop };
}

// Takes files that are dropped anywhere on the page while it is shown. Returns what ends that.
export function takeDrops(zone, take) {
  const over = (event) => {
    if (![...event.dataTransfer.types].includes("Files")) return;
    event.preventDefault();
    zone.classList.add("over");
  };
  const leave = (event) => {
    if (!event.relatedTarget) zone.classList.remove("over");
  };
  const drop = (event) => {
    event.preventDefault();
    zone.classList.remove("over");
    take([...event.dataTransfer.items].filter((item) => item.kind === "file"));
  };
  const events = { dragover: over, dragleave: leave, drop };
  for (const [name, does] of Object.entries(events)) addEventListener(name, does);
  return () => {
    for (const [name, does] of Object.entries(events)) removeEventListener(name, does);
  };
}

// Returns the files of what was dropped, with those in folders.
export async function filesOf(items) {
  // First all of them: the list is emptied when the event is over.
  const entries = items.map((item) => item.webkitGetAsEntry?.() ?? item.getAsFile());
  const found = [];
  async function walk(entry) {
    if (entry instanceof File) found.push(entry);
    else if (entry?.isFile) found.push(await new Promise((resolve, reject) => entry.file(resolve, reject)));
    else if (entry?.isDirectory) {
      const reader = entry.createReader();
      for (;;) {
        const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
        if (!some.length) break;
        for (const each of some.sort((a, b) => a.name.localeCompare(b.name, undefined, { numeric: true }))) await walk(each);
      }
    }
  }
  for (const entry of entries) await walk(entry);
  return found.filter((file) => !file.name.startsWith("."));
}
