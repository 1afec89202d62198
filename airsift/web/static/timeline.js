// A timeline that zooms and scrolls: labels, songs, gaps, repeats and alarms of a station.
// Of more than two days it is a row for each day.

import { el, say, clock, timeOf, dayOf, shortDay, midnight, LABELS, songOf } from "./text.js";
import { colour, drawGaps, drawLabels, fitted, fittingText } from "./draw.js";

export const HOUR = 3600000;
export const DAY = 24 * HOUR;
const SHORTEST = 60000;
const LONGEST = 31 * DAY;
const STEPS = [1e3, 5e3, 1e4, 3e4, 6e4, 3e5, 6e5, 9e5, 18e5, HOUR, 3 * HOUR, 6 * HOUR, 12 * HOUR, DAY];
const HINT = "Drag to move; click, then turn the wheel to zoom.";
const ROW = { labels: 52, songs: 22, marks: 8, axis: 20, gap: 8 };

export class Timeline {
  // `moved(since, until)` is called when another part is shown; `dated` says what times are.
  constructor(moved) {
    this.moved = moved;
    this.data = { labels: [], songs: [], gaps: [], repeats: [], alarms: [] };
    this.since = 0;
    this.until = DAY;
    this.dated = true;
    this.limit = Infinity; // where the present is drawn
    this.shortest = SHORTEST;
    this.canvas = el("canvas", { tabindex: "0", role: "img", "aria-label": "Timeline" });
    this.hint = el("p", { class: "hint", text: HINT });
    this.node = el("div", { class: "timeline" }, this.canvas, this.hint);
    this.observer = new ResizeObserver(() => this.draw());
    this.observer.observe(this.node);
    this.canvas.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
    this.canvas.addEventListener("pointerdown", (event) => this.grab(event));
    this.canvas.addEventListener("pointermove", (event) => this.point(event));
    this.canvas.addEventListener("pointerup", (event) => this.release(event));
    this.canvas.addEventListener("pointercancel", () => (this.grabbed = null));
    this.canvas.addEventListener("pointerleave", () => say(this.hint, HINT));
  }

  close() {
    this.observer.disconnect();
  }

  show(since, until) {
    const length = Math.min(Math.max(until - since, this.shortest), LONGEST);
    this.since = Math.round(since);
    this.until = Math.round(since + length);
    this.draw();
    this.moved(this.since, this.until);
  }

  zoom(factor, at = (this.since + this.until) / 2) {
    const length = Math.min(Math.max((this.until - this.since) * factor, this.shortest), LONGEST);
    const part = (at - this.since) / (this.until - this.since);
    this.show(at - part * length, at + (1 - part) * length);
  }

  move(part) {
    const step = (this.until - this.since) * part;
    this.show(this.since + step, this.until + step);
  }

  get isByDay() {
    return this.dated && this.until - this.since > 2 * DAY;
  }

  rows() {
    if (!this.isByDay) return [{ since: this.since, until: this.until, name: "" }];
    const rows = [];
    for (let day = midnight(this.since); day < this.until && rows.length < 32; day = midnight(day, 1)) {
      rows.push({ since: day, until: midnight(day, 1), name: shortDay(day) });
    }
    return rows;
  }

  layout() {
    const width = this.canvas.clientWidth;
    const rows = this.rows();
    const left = rows[0]?.name ? 52 : 0;
    const labels = rows.length > 1 ? 30 : ROW.labels;
    const songs = rows.length > 1 ? 6 : ROW.songs;
    const high = labels + songs + ROW.marks + ROW.gap;
    return { width, rows, left, labels, songs, high, height: rows.length * high + ROW.axis };
  }

  draw() {
    const { width, rows, left, labels, songs, high, height } = this.layout();
    if (!width) return;
    this.canvas.style.height = `${height}px`;
    const context = fitted(this.canvas, width, height);
    context.font = "12px system-ui, sans-serif";
    context.textBaseline = "middle";
    const inner = width - left;
    rows.forEach(({ since, until, name }, n) => {
      const y = n * high;
      const x = (ms) => left + ((ms - since) * inner) / (until - since);
      context.fillStyle = colour("dim");
      if (name) context.fillText(name, 0, y + labels / 2);
      context.fillStyle = colour("line");
      context.globalAlpha = 0.5;
      context.fillRect(left, y, inner, labels);
      context.globalAlpha = 1;
      drawLabels(context, left, y, inner, labels, this.data.labels, since, until);
      drawGaps(context, left, y, inner, labels, this.data.gaps, since, until);
      for (const song of this.data.songs) {
        if (song.end_ms <= since || song.start_ms >= until) continue;
        const from = Math.max(x(song.start_ms), left);
        const wide = Math.max(Math.min(x(song.end_ms), width) - from - 1, 1.5);
        context.fillStyle = colour("song");
        context.globalAlpha = songs < 10 ? 1 : wide < 14 ? 0.5 : 0.18;
        context.fillRect(from, y + labels + 2, wide, songs);
        context.globalAlpha = 1;
        if (songs < 10 || wide < 14) continue;
        context.fillRect(from, y + labels + 2, 2, songs);
        if (wide < 34) continue;
        const { title, artist } = songOf(song);
        context.fillStyle = colour("ink");
        context.fillText(fittingText(context, artist ? `${title} · ${artist}` : title, wide - 10), from + 6, y + labels + 2 + songs / 2);
      }
      const marks = y + labels + songs + 4;
      for (const [list, name2] of [[this.data.repeats, "both"], [this.data.alarms, "alarm"]]) {
        context.fillStyle = colour(name2);
        for (const [start, end] of list) {
          if (end < since || start >= until) continue;
          const from = Math.max(x(start), left);
          context.fillRect(from, marks, Math.max(Math.min(x(end), width) - from, 2), 4);
        }
      }
      if (this.isByDay) return;
      this.axis(context, x, y + high - ROW.gap + 4, since, until, inner);
    });
    if (this.isByDay) this.hours(context, left, inner, rows.length * high);
    else this.nowLine(context, left, inner, labels + songs);
  }

  axis(context, x, y, since, until, inner) {
    const step = STEPS.find((each) => ((until - since) / each) * 76 <= inner) ?? DAY;
    const base = this.dated ? midnight(since) : 0;
    context.fillStyle = colour("dim");
    for (let ms = base + Math.ceil((since - base) / step) * step; ms < until; ms += step) {
      const at = x(ms);
      context.globalAlpha = 0.18;
      context.fillRect(Math.round(at), 0, 1, y);
      context.globalAlpha = 1;
      const isDay = this.dated && ms === midnight(ms) && step < DAY;
      const text = step >= DAY || isDay ? shortDay(ms) : timeOf(ms, this.dated, step < 60000);
      const wide = context.measureText(text).width;
      context.fillText(text, Math.min(Math.max(at - wide / 2, 0), inner - wide), y + 10);
    }
  }

  hours(context, left, inner, y) {
    context.fillStyle = colour("dim");
    const step = inner < 500 ? 6 : 3;
    for (let hour = 0; hour < 24; hour += step) {
      const at = left + (hour * inner) / 24;
      context.globalAlpha = 0.3;
      context.fillRect(Math.round(at), 0, 1, y);
      context.globalAlpha = 1;
      context.fillText(`${String(hour).padStart(2, "0")}:00`, at + 3, y + 8);
    }
  }

  nowLine(context, left, inner, height) {
    if (this.limit < this.since || this.limit > this.until) return;
    context.fillStyle = colour("ink");
    context.fillRect(left + ((this.limit - this.since) * inner) / (this.until - this.since), 0, 1, height);
  }

  timeAt(event) {
    const { rows, left, width, high } = this.layout();
    const box = this.canvas.getBoundingClientRect();
    const row = rows[Math.min(Math.max(Math.floor((event.clientY - box.top) / high), 0), rows.length - 1)];
    const part = Math.min(Math.max((event.clientX - box.left - left) / (width - left), 0), 1);
    return row.since + part * (row.until - row.since);
  }

  wheel(event) {
    if (event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY)) {
      this.move((event.deltaX || event.deltaY) / this.canvas.clientWidth);
    } else if (event.ctrlKey || event.altKey || event.metaKey || this.canvas === document.activeElement) {
      this.zoom(Math.exp(event.deltaY * 0.002), this.timeAt(event));
    } else return; // the page scrolls
    event.preventDefault();
  }

  grab(event) {
    this.grabbed = { x: event.clientX, since: this.since, until: this.until, moved: false };
    this.canvas.setPointerCapture(event.pointerId);
  }

  release(event) {
    const { grabbed } = this;
    this.grabbed = null;
    if (!grabbed || grabbed.moved) return;
    const at = this.timeAt(event);
    if (this.isByDay) this.show(midnight(at), midnight(at, 1));
    else if (event.detail === 0 || event.pointerType === "mouse") this.picked?.(at);
  }

  point(event) {
    const { grabbed } = this;
    if (grabbed && !this.isByDay) {
      const shift = ((grabbed.x - event.clientX) * (grabbed.until - grabbed.since)) / this.canvas.clientWidth;
      if (Math.abs(grabbed.x - event.clientX) > 4) grabbed.moved = true;
      if (grabbed.moved) this.show(grabbed.since + shift, grabbed.until + shift);
      return;
    }
    this.tell(this.timeAt(event));
  }

  // Says in words what there is at a time.
  tell(at) {
    const inside = ([start, end]) => start <= at && at < end;
    const label = this.data.labels.findLast?.(inside);
    const song = this.data.songs.findLast((each) => each.start_ms <= at && at < each.end_ms);
    const other = [...this.data.alarms, ...this.data.repeats, ...this.data.gaps].filter(inside).map((each) => each[2]);
    const parts = [this.dated ? `${dayOf(at)} ${timeOf(at, true)}` : timeOf(at, false)];
    if (label) parts.push(`${LABELS[label[2]] ?? label[2]} (${clock((label[1] - label[0]) / 1000)})`);
    if (song) parts.push(`${songOf(song).title}${song.artist ? ` · ${song.artist}` : ""}`);
    say(this.hint, [...parts, ...other].join("   "));
  }
}
