// Elements and texts. Texts of stations and songs come from anywhere: they become text nodes, never HTML.

export const LABELS = {
  speech: "Speech",
  music: "Music",
  speech_over_music: "Speech over music",
  other: "Other",
};

// Makes an element: `el("p", {class: "dim", onclick: f}, "text", child)`.
export function el(name, given = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(given)) {
    if (value === undefined || value === null || value === false) continue;
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else if (key === "text") made.textContent = value;
    else made.setAttribute(key, value === true ? "" : value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

// Sets a text if it differs: setting an equal one costs a layout.
export function say(element, text) {
  if (element.firstChild?.data !== text) element.textContent = text;
}

export const two = (value) => String(value).padStart(2, "0");

// A length or a position: 2:05, or 1:02:05.
export function clock(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  const hours = Math.floor(whole / 3600);
  const rest = `${hours ? two(Math.floor(whole / 60) % 60) : Math.floor(whole / 60)}:${two(whole % 60)}`;
  return hours ? `${hours}:${rest}` : rest;
}

// The time of day, or the position where a station knows no time.
export function timeOf(ms, dated, seconds = true) {
  if (!dated) return clock(ms / 1000);
  const at = new Date(ms);
  return `${two(at.getHours())}:${two(at.getMinutes())}${seconds ? `:${two(at.getSeconds())}` : ""}`;
}

const DAYS = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];

export function dayOf(ms) {
  const at = new Date(ms);
  return `${DAYS[at.getDay()]} ${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())}`;
}

export const shortDay = (ms) => `${DAYS[new Date(ms).getDay()]} ${new Date(ms).getDate()}`;

export function midnight(ms, days = 0) {
  const at = new Date(ms);
  return new Date(at.getFullYear(), at.getMonth(), at.getDate() + days).getTime();
}

export function percent(share) {
  return `${Math.round(share * 100)} %`;
}

export function songOf(song) {
  return { title: song.title || song.track || "unknown", artist: song.artist || "" };
}

export const stationPath = (name, at) =>
  `/station?name=${encodeURIComponent(name)}${at ? `&at=${Math.round(at)}` : ""}`;

// A size of a file.
export function bytes(count) {
  if (count < 1000) return `${count} B`;
  return count < 1e6 ? `${Math.round(count / 1000)} kB` : `${(count / 1e6).toFixed(1)} MB`;
}

export const plural = (count, word) => `${count.toLocaleString("en").replaceAll(",", "\u202f")} ${word}${count === 1 ? "" : "s"}`;
