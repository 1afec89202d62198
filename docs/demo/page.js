// The page: a wall that was recorded, a microphone, a file. Everything it needs is in the page.
"use strict";

const $ = (id) => document.getElementById(id);
const data = JSON.parse($("data").textContent);
const NAMES = { speech: "speech", music: "music", speech_over_music: "speech over music", other: "other" };

const bytesOf = (text) => Uint8Array.from(atob(text), (char) => char.charCodeAt(0));
const unpacked = async (text) => {
  const stream = new Blob([bytesOf(text)]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
};
const colour = (label) => getComputedStyle(document.documentElement).getPropertyValue(`--${label}`);
const clock = (s) => `${Math.floor(s / 60)}:${(s % 60).toFixed(1).padStart(4, "0")}`;

function element(name, parent, text = "", attributes = {}) {
  const made = document.createElement(name);
  made.textContent = text;
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  parent.append(made);
  return made;
}

// Spans of labels as a ribbon, with a cursor.
function draw(canvas, spans, length, at = null) {
  const width = canvas.clientWidth * devicePixelRatio, height = canvas.clientHeight * devicePixelRatio;
  if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
  const context = canvas.getContext("2d"), scale = width / Math.max(length, 1);
  context.clearRect(0, 0, width, height);
  for (const { start_s, end_s, label } of spans) {
    context.fillStyle = colour(label);
    context.fillRect(start_s * scale, 0, Math.max((end_s - start_s) * scale, 1), height);
  }
  if (at !== null) {
    context.fillStyle = getComputedStyle(canvas).color;
    context.fillRect(at * scale - 1, 0, 2 * devicePixelRatio, height);
  }
}

for (const [label, name] of Object.entries(NAMES)) {
  const item = element("span", $("legend"));
  element("i", item, "", { style: `background: var(--${label})` });
  item.append(name);
}

// The recorded wall: the sound of each station, and what airsift said of it.

const players = [];

for (const station of data.wall) {
  const box = element("div", $("wall")), row = element("div", box, "", { class: "row" });
  const button = element("button", row, "Play", { type: "button" });
  element("strong", row, station.title);
  const now = element("span", row, "", { class: "now" });
  const canvas = element("canvas", box, "", { "aria-hidden": "true" });
  const audio = new Audio(URL.createObjectURL(new Blob([bytesOf(station.audio)], { type: "audio/ogg" })));
  const at = (spans) => spans.find((each) => each.start_s <= audio.currentTime && audio.currentTime < each.end_s);
  const show = () => {
    const segment = at(station.segments), song = at(station.songs);
    const voice = segment && segment.voice ? `, ${segment.voice} voice` : "";
    now.textContent = (segment ? NAMES[segment.label] + voice : "") + (song ? `: ${song.artist} - ${song.title}` : "");
    draw(canvas, station.segments, station.length_s, audio.currentTime);
    button.textContent = audio.paused ? "Play" : "Pause";
    if (!audio.paused) requestAnimationFrame(show);
  };
  button.onclick = () => {
    for (const other of players) if (other !== audio) other.pause();
    if (audio.paused) audio.play().catch((error) => problem(error));
    else audio.pause();
  };
  button.title = "left and right: 5 seconds";
  button.onkeydown = ({ key }) => {
    if (key === "ArrowLeft") audio.currentTime = Math.max(audio.currentTime - 5, 0);
    if (key === "ArrowRight") audio.currentTime += 5;
  };
  canvas.onclick = (event) => {
    audio.currentTime = (event.offsetX / canvas.clientWidth) * station.length_s;
  };
  for (const kind of ["play", "pause", "seeked", "loadedmetadata", "ended"]) audio.addEventListener(kind, show);
  addEventListener("resize", show);
  players.push(audio);
  show();
}

// The engine, loaded when it is first needed.

let loading = null;

function engine() {
  loading ??= (async () => {
    const module = (text) => import(URL.createObjectURL(new Blob([text], { type: "text/javascript" })));
    const [ort, airsift] = await Promise.all(["runtime", "engine"].map((id) => module($(id).textContent)));
    ort.env.wasm.numThreads = 1;
    ort.env.wasm.wasmBinary = await unpacked(data.wasm);
    const files = {};
    for (const [name, text] of Object.entries(data.graphs)) files[name] = await unpacked(text);
    const model = await airsift.Model.load(ort, files, data.spec, data.manifest);
    return () => new airsift.Stream(model, data.smoothing);
  })();
  return loading;
}

function problem(error) {
  $("problem").textContent = error ? String(error.message || error) : "";
}

// What is known of a sound so far, on the screen.
class View {
  constructor() {
    this.decisions = [];
    this.closed = [];
    this.open = null;
    $("own").hidden = false;
    $("segments").replaceChildren();
    this.show();
  }

  add(events) {
    const rate = data.spec.sample_rate;
    for (const event of events) {
      if (event.kind === "decision") this.decisions.push(event);
      else {
        const span = { ...event, start_s: event.start / rate, end_s: event.end / rate };
        this.open = span.final ? null : span;
        if (span.final) this.close(span);
      }
    }
    this.show();
  }

  close(span) {
    this.closed.push(span);
    const row = element("tr", $("segments"));
    element("td", row, clock(span.start_s));
    element("td", row, clock(span.end_s));
    const cell = element("td", row);
    element("i", cell, "", { style: `background: var(--${span.label})` });
    cell.append(NAMES[span.label]);
    element("td", row, span.score.toFixed(2));
  }

  show() {
    const last = this.decisions.at(-1), spans = this.open ? [...this.closed, this.open] : this.closed;
    $("speech").value = last ? last.p_speech : 0;
    $("music").value = last ? last.p_music : 0;
    $("now").textContent = spans.length ? NAMES[spans.at(-1).label] : "";
    const length = last ? last.end / data.spec.sample_rate : 1;
    draw($("ribbon"), spans, Math.max(length, 30));
  }
}

// Decode a file to mono at the model's rate, as the browser's decoder gives it.
async function decode(bytes) {
  const context = new OfflineAudioContext(1, 1, data.spec.sample_rate);
  const sound = await context.decodeAudioData(bytes);
  const mono = new Float32Array(sound.length), channels = sound.numberOfChannels;
  for (let c = 0; c < channels; c++) {
    const samples = sound.getChannelData(c);
    for (let i = 0; i < mono.length; i++) mono[i] += samples[i] / channels;
  }
  return mono;
}

async function classify(bytes, show = () => {}) {
  const stream = (await engine())(), samples = await decode(bytes), events = [];
  const piece = 10 * data.spec.sample_rate;
  const take = (found) => {
    events.push(...found);
    show(found, events);
  };
  for (let i = 0; i < samples.length; i += piece) {
    take(await stream.push(samples.subarray(i, i + piece)));
    await new Promise((done) => setTimeout(done)); // the page stays alive
  }
  take(await stream.finish());
  return events;
}

$("file").onchange = async () => {
  const [file] = $("file").files;
  if (!file) return;
  await stop();
  problem(null);
  $("state").textContent = `loading ${file.name} …`;
  try {
    const view = new View(), began = performance.now();
    const events = await classify(await file.arrayBuffer(), (found) => view.add(found));
    const end = events.length ? events.at(-1).end / data.spec.sample_rate : 0;
    const spent = ((performance.now() - began) / 1000).toFixed(1);
    $("state").textContent = events.length
      ? `${file.name}: ${end.toFixed(1)} s in ${spent} s`
      : `${file.name} has less than 0.5 s of sound, which is too short to tell`;
  } catch (error) {
    $("state").textContent = "";
    problem(new Error(`${file.name} cannot be read as sound by this browser (${error.message})`));
  }
  $("file").value = "";
};

// The microphone: a worklet hands over its blocks, and one at a time is processed.

const WORKLET = `registerProcessor("blocks", class extends AudioWorkletProcessor {
  constructor() { super(); this.held = []; this.count = 0; }
  process([[samples]]) {
    if (samples) { this.held.push(samples.slice()); this.count += samples.length; }
    if (this.count >= 4096) {
      const block = new Float32Array(this.count);
      let at = 0;
      for (const each of this.held) { block.set(each, at); at += each.length; }
      this.port.postMessage(block);
      this.held = []; this.count = 0;
    }
    return true;
  }
});`;

let listening = null;

async function stop() {
  if (listening === null) return;
  const { context, tracks, work } = listening;
  listening = null;
  $("microphone").setAttribute("aria-pressed", "false");
  $("microphone").textContent = "Microphone";
  for (const track of tracks) track.stop();
  await context.close();
  await work();
  $("state").textContent = "";
}

$("microphone").onclick = async () => {
  if (listening !== null) return stop();
  problem(null);
  $("state").textContent = "loading …";
  try {
    const raw = { echoCancellation: false, noiseSuppression: false, autoGainControl: false };
    const microphone = await navigator.mediaDevices.getUserMedia({ audio: raw });
    const stream = (await engine())(), view = new View();
    const context = new AudioContext({ sampleRate: data.spec.sample_rate });
    // Not a blob: a page that is a file may load none as a worklet.
    await context.audioWorklet.addModule(`data:text/javascript,${encodeURIComponent(WORKLET)}`);
    const node = new AudioWorkletNode(context, "blocks", { numberOfOutputs: 0, channelCount: 1, channelCountMode: "explicit" });
    context.createMediaStreamSource(microphone).connect(node);
    let queue = Promise.resolve();
    node.port.onmessage = ({ data: block }) => {
      queue = queue.then(async () => view.add(await stream.push(block))).catch(problem);
    };
    listening = {
      context,
      tracks: microphone.getTracks(),
      work: () => queue.then(async () => view.add(await stream.finish())).catch(problem),
    };
    $("microphone").setAttribute("aria-pressed", "true");
    $("microphone").textContent = "Stop";
    $("state").textContent = "listening; the first answer comes after 2 s";
  } catch (error) {
    $("state").textContent = "";
    problem(new Error(`no microphone: ${error.message}`));
  }
};

window.airsift = { classify };
