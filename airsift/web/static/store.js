// What the server has sent: the state of every station. Applying its messages in order gives what
// its hub has (airsift/web/hub.py), however many were left out in between.

const KEYS = {
  spans: (span) => `${span[0]}${span[2] === "gap" ? "g" : ""}`,
  songs: (song) => `${song.start_ms}/${song.track}`,
  alarms: (alarm) => alarm.id,
  trace: (point) => Math.floor(point[0] / 1000),
};
const RETRY_MS = [500, 1000, 2000, 5000];
const DEAD_MS = 25000; // without a message; the server says something every 10 s

function keep(map, most) {
  for (const key of map.keys()) {
    if (map.size <= most) return;
    map.delete(key);
  }
}

class View {
  constructor(name) {
    this.name = name;
    this.now = {};
    this.clear();
    this.head_ms = 0;
    this.dated = false;
    this.seenAt = 0; // performance.now() of its last news
    this.from = this.to = { head: 0, at: 0 }; // the last two heads, to move between them
  }

  clear() {
    for (const lane of Object.keys(KEYS)) this[lane] = new Map();
  }

  // The head as it is drawn: it moves evenly, and is as far behind as the last two were apart.
  shownHead(at) {
    const { from, to } = this;
    const length = Math.min(to.at - from.at, 6000);
    const part = length > 0 ? Math.min((at - to.at) / length, 1) : 1;
    return from.head + (to.head - from.head) * part;
  }

  get song() {
    return this.now.song ?? null;
  }

  get openAlarms() {
    return [...this.alarms.values()].filter((alarm) => alarm.open);
  }
}

export class Store {
  constructor() {
    this.stations = new Map();
    this.groups = new Map(); // the group of each station that is in one
    this.revision = -1;
    this.connected = false;
    this.problem = "";
    this.listeners = new Set();
    this.failures = 0;
    this.ready = new Promise((resolve) => (this.isReady = resolve)); // once all stations are known
  }

  // Calls `listener({changed, added})` after each message; returns what ends that.
  listen(listener) {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  apply(message, at = performance.now()) {
    const changed = new Set();
    let added = false;
    if ("problem" in message) this.problem = message.problem;
    if ("groups" in message) {
      this.groups = new Map(Object.entries(message.groups));
      added = true;
    }
    if (message.since === -1) {
      added ||= this.stations.size > 0;
      this.stations = new Map();
    }
    for (const fields of message.stations ?? []) {
      let view = this.stations.get(fields.name);
      if (!view) {
        view = new View(fields.name);
        added = true;
      }
      this.stations.delete(fields.name);
      this.stations.set(fields.name, view);
      if (fields.reset) view.clear();
      for (const [lane, key] of Object.entries(KEYS)) {
        for (const value of fields[lane] ?? []) {
          view[lane].delete(key(value));
          view[lane].set(key(value), value);
        }
        keep(view[lane], message.limits[lane]);
      }
      if (fields.head_ms !== view.head_ms) {
        const isJump = Math.abs(fields.head_ms - view.head_ms) > 60000;
        view.from = isJump ? { head: fields.head_ms, at } : { head: view.shownHead(at), at: view.to.at };
        view.to = { head: fields.head_ms, at };
      }
      view.head_ms = fields.head_ms;
      view.dated = fields.dated;
      view.now = fields.now;
      view.seenAt = at - (message.now_s - fields.seen_s) * 1000;
      changed.add(view);
    }
    if (message.limits) keep(this.stations, message.limits.stations);
    if (message.revision !== undefined) {
      this.revision = message.revision;
      this.isReady();
    }
    for (const listener of this.listeners) listener({ changed, added });
  }

  connect() {
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    const socket = new WebSocket(`${scheme}://${location.host}/api/wall/ws`);
    let last = performance.now();
    const watch = setInterval(() => {
      if (performance.now() - last > DEAD_MS) socket.close();
    }, 5000);
    socket.onmessage = (event) => {
      last = performance.now();
      this.failures = 0;
      this.connected = true;
      this.apply(JSON.parse(event.data));
    };
    socket.onclose = () => {
      clearInterval(watch);
      this.connected = false;
      for (const listener of this.listeners) listener({ changed: new Set(), added: false });
      setTimeout(() => this.connect(), RETRY_MS[Math.min(this.failures++, RETRY_MS.length - 1)]);
    };
  }
}

export const store = new Store();
