// Canvases: the ribbon of a station's last minutes, and rows of a timeline.

export const RIBBON_MS = 180000;
const NAMES = ["speech", "music", "both", "other", "song", "alarm", "line", "dim", "faint", "ink", "panel"];
const OF_LABEL = { speech: "speech", music: "music", speech_over_music: "both", other: "other" };
let colours = {};

// Reads the colours of the theme: canvases know no variables of CSS.
export function readColours() {
  const probe = document.createElement("i");
  document.body.append(probe);
  colours = {};
  for (const name of NAMES) {
    probe.style.color = `var(--${name})`;
    colours[name] = getComputedStyle(probe).color;
  }
  probe.remove();
}

export const colourOf = (label) => colours[OF_LABEL[label]] ?? colours.faint;
export const colour = (name) => colours[name];

// Gives a canvas as many pixels as it has on the screen; returns its context, in CSS pixels.
export function fitted(canvas, width, height) {
  const scale = Math.min(devicePixelRatio || 1, 2);
  const wide = Math.round(width * scale);
  const high = Math.round(height * scale);
  if (canvas.width !== wide || canvas.height !== high) {
    canvas.width = wide;
    canvas.height = high;
  }
  const context = canvas.getContext("2d");
  context.setTransform(scale, 0, 0, scale, 0, 0);
  context.clearRect(0, 0, width, height);
  return context;
}

// Stripes where there is no audio.
function hatch(context, x, y, width, height) {
  context.save();
  context.beginPath();
  context.rect(x, y, width, height);
  context.clip();
  context.strokeStyle = colours.faint;
  context.globalAlpha = 0.55;
  context.lineWidth = 1;
  context.beginPath();
  for (let at = Math.floor((x - height) / 5) * 5; at < x + width; at += 5) {
    context.moveTo(at, y + height);
    context.lineTo(at + height, y);
  }
  context.stroke();
  context.restore();
}

// Draws the last minutes up to `head`: probabilities above, labels below, songs as a line on top.
export function drawRibbon(canvas, width, height, view, head, span = RIBBON_MS) {
  const context = fitted(canvas, width, height);
  const x = (ms) => width - ((head - ms) * width) / span;
  const first = head - span;
  const band = Math.max(8, Math.round(height * 0.3));
  const bandY = height - band;
  const top = 5;
  context.strokeStyle = colours.line;
  context.lineWidth = 1;
  context.beginPath();
  for (let ms = Math.ceil(first / 60000) * 60000; ms < head; ms += 60000) {
    context.moveTo(Math.round(x(ms)) + 0.5, 0);
    context.lineTo(Math.round(x(ms)) + 0.5, height);
  }
  context.stroke();
  drawTrace(context, view, x, first, top, bandY - 2);
  for (const [start, end, label, final] of view.spans.values()) {
    const to = final ? end : Math.max(end, head);
    if (to < first || start > head) continue;
    const left = Math.max(x(start), 0);
    const right = Math.min(x(to), width);
    if (label === "gap") {
      hatch(context, left, 0, right - left, height);
      continue;
    }
    context.fillStyle = colourOf(label);
    context.fillRect(left, bandY, Math.max(right - left, 0.5), band);
  }
  context.fillStyle = colours.song;
  for (const song of view.songs.values()) {
    const to = song.final ? song.end_ms : Math.max(song.end_ms, head);
    if (to < first) continue;
    context.fillRect(Math.max(x(song.start_ms), 0), 0, Math.max(x(to) - Math.max(x(song.start_ms), 0), 1), 3);
  }
  context.fillStyle = colours.alarm;
  for (const alarm of view.alarms.values()) {
    if (alarm.end_ms >= first) context.fillRect(x(alarm.start_ms) - 1, 0, 2, height);
  }
}

function drawTrace(context, view, x, first, top, bottom) {
  const points = [...view.trace.values()].filter((point) => point[0] >= first - 4000).sort((a, b) => a[0] - b[0]);
  if (points.length < 2) return;
  const y = (p) => bottom - p * (bottom - top);
  for (const [index, name] of [[2, "music"], [1, "speech"]]) {
    let begun = null;
    context.beginPath();
    points.forEach((point, n) => {
      if (begun === null || point[0] - points[n - 1][0] > 8000) {
        if (begun !== null) context.lineTo(x(points[n - 1][0]), bottom);
        begun = x(point[0]);
        context.moveTo(begun, bottom);
      }
      context.lineTo(x(point[0]), y(point[index]));
    });
    context.lineTo(x(points.at(-1)[0]), bottom);
    context.fillStyle = colours[name];
    context.globalAlpha = 0.2;
    context.fill();
    context.globalAlpha = 1;
    context.strokeStyle = colours[name];
    context.lineWidth = 1.25;
    context.beginPath();
    points.forEach((point, n) => {
      const isNew = n === 0 || point[0] - points[n - 1][0] > 8000;
      context[isNew ? "moveTo" : "lineTo"](x(point[0]), y(point[index]));
    });
    context.stroke();
  }
}

const STACK = ["other", "speech", "speech_over_music", "music"];

// Draws labels between two times: of each pixel, as much of every colour as there is of its label.
export function drawLabels(context, left, top, width, height, labels, since, until) {
  const columns = Math.max(1, Math.round(width));
  const perMs = columns / (until - since);
  const sums = STACK.map(() => new Float32Array(columns));
  for (const [start, end, label] of labels) {
    const lane = sums[STACK.indexOf(label)];
    if (!lane || end <= since || start >= until) continue;
    const a = Math.max((start - since) * perMs, 0);
    const b = Math.min((end - since) * perMs, columns);
    const last = Math.min(Math.ceil(b), columns);
    for (let n = Math.floor(a); n < last; n++) lane[n] += Math.min(b, n + 1) - Math.max(a, n);
  }
  for (let n = 0; n < columns; n++) {
    let y = top + height;
    const total = sums.reduce((sum, lane) => sum + lane[n], 0);
    if (total < 0.02) continue;
    const scale = height / Math.max(total, 1);
    STACK.forEach((label, index) => {
      const part = sums[index][n] * scale;
      if (part <= 0) return;
      context.fillStyle = colourOf(label);
      context.fillRect(left + n, y - part, 1, part);
      y -= part;
    });
  }
}

export function drawGaps(context, left, top, width, height, gaps, since, until) {
  const x = (ms) => left + ((ms - since) * width) / (until - since);
  for (const [start, end] of gaps) {
    if (end <= since || start >= until) continue;
    const from = Math.max(x(start), left);
    hatch(context, from, top, Math.max(Math.min(x(end), left + width) - from, 2), height);
  }
}

export function fittingText(context, text, width) {
  if (context.measureText(text).width <= width) return text;
  let low = 0;
  let high = text.length;
  while (low < high) {
    const middle = Math.ceil((low + high) / 2);
    if (context.measureText(`${text.slice(0, middle)}…`).width <= width) low = middle;
    else high = middle - 1;
  }
  return low > 1 ? `${text.slice(0, low)}…` : "";
}
