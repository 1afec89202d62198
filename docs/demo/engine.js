// airsift's engine in a browser: samples to columns, decisions and segments, by the graphs of
// NAME.onnx.zip. It is that of stream/stages (features, classify, smooth, viterbi) for one station
// whose audio begins at sample 0 and has no breaks; tests compare the two.

const EARLY_COLUMNS = 75; // as in stream/stages/classify.py
const SHORTEST_COLUMNS = 25; // model/short.py
const MAX_LOG_ODDS = 5, SCALE = 1000, MARGIN = 0.5; // stream/stages/smooth.py
const DROPPED = -1e9, REBASE_CELLS = 32; // stream/stages/viterbi.py

// Both classes of each state, and its label.
export const LABELS = ["other", "speech", "music", "speech_over_music"];
const STATES = [[0, 0], [1, 0], [0, 1], [1, 1]];

const round4 = (p) => Math.round(p * 1e4) / 1e4;

function roundHalfEven(x) {
  const low = Math.floor(x);
  if (x - low !== 0.5) return Math.round(x);
  return low % 2 ? low + 1 : low;
}

// Rows of equal length, one after another; the first ones can be dropped.
class Rows {
  constructor(width, count = 0) {
    this.width = width;
    this.data = new Float32Array(width * count);
  }
  get length() {
    return this.data.length / this.width;
  }
  push(more) {
    const joined = new Float32Array(this.data.length + more.length);
    joined.set(this.data);
    joined.set(more, this.data.length);
    this.data = joined;
  }
  slice(first, last) {
    return this.data.slice(first * this.width, last * this.width);
  }
  drop(count) {
    this.data = this.data.slice(count * this.width);
  }
}

// The graphs of a model, and what its spec says.
export class Model {
  constructor(ort, sessions, spec, manifest) {
    Object.assign(this, { ort, sessions, spec, manifest });
    const s = spec;
    this.windowFrames = (s.window_columns - s.context_columns) / s.stride_columns + 1;
    this.framesBeforeStep = Math.ceil(Math.max(s.context_columns - s.stride_columns, 0) / s.stride_columns);
    this.framesInStep = s.step_columns / s.stride_columns;
    this.centres = [...Array(s.moments).keys()].map((moment) => {
      const frame = Math.floor((this.windowFrames - s.moments) / 2) + moment;
      return Math.floor(((2 * frame * s.stride_columns + s.context_columns - 1) * s.hop) / 2);
    });
  }

  static async load(ort, files, spec, manifest) {
    const sessions = {};
    for (const [name, bytes] of Object.entries(files)) {
      sessions[name] = await ort.InferenceSession.create(bytes, { executionProviders: ["wasm"] });
    }
    return new Model(ort, sessions, spec, manifest);
  }

  async run(name, inputs) {
    const feeds = {};
    for (const [key, [data, shape]] of Object.entries(inputs)) {
      feeds[key] = new this.ort.Tensor("float32", data, [1, ...shape]);
    }
    return this.sessions[name].run(feeds);
  }

  async embed(columns) {
    const bins = this.spec.n_bins;
    const { frames } = await this.run("embed", { columns: [columns, [columns.length / bins, bins]] });
    return frames.data;
  }

  // Probabilities of a window from its frames; those of moments too where it is whole.
  async decide(frames) {
    const count = frames.length / this.spec.frame_size;
    const isWhole = count === this.windowFrames && this.spec.moments > 0;
    const found = await this.run(isWhole ? "predict" : "decide", {
      frames: [frames, [count, this.spec.frame_size]],
    });
    const moments = isWhole ? found.moments.data : [];
    return { clip: found.probabilities.data, moments };
  }
}

// Samples at the model's rate to decisions and segments, in any pieces.
export class Stream {
  constructor(model, smoothing) {
    const { spec, manifest } = model;
    this.model = model;
    this.smooth = new Smooth(smoothing, spec.sample_rate);
    this.perStep = spec.step_columns * spec.hop;
    // Where a step's samples begin: its columns lie before them by the latency.
    const step = Math.floor(-manifest.latency / this.perStep);
    this.next = step * this.perStep + manifest.latency;
    this.column = step * spec.step_columns;
    this.pending = new Float32Array(-this.next);
    this.history = new Float32Array(manifest.history);
    this.received = 0; // samples
    this.window = 0; // first column of the next window
    this.decided = 0; // column up to which there are decisions
    this.end = 0; // column after the last
    this.early = null;
    this.columns = new Rows(spec.n_bins, Math.max(spec.step_columns, spec.context_columns + spec.stride_columns));
    this.tail = this.columns.length;
    this.frames = new Rows(spec.frame_size);
    this.skip = model.framesBeforeStep;
  }

  // Take samples; return the decisions and segments that they complete, in order.
  async push(samples) {
    this.received += samples.length;
    const out = [];
    this._add(samples);
    while (this.pending.length >= this.perStep) out.push(...(await this._step(null)));
    return out;
  }

  // End the audio; return what is left.
  async finish() {
    const out = [];
    const came = this.next + this.pending.length, end = this.received;
    const needed = Math.ceil(came / this.perStep) * this.perStep + this.model.manifest.latency - this.next;
    this._add(new Float32Array(Math.max(needed - this.pending.length, 0)));
    while (this.pending.length >= this.perStep) out.push(...(await this._step(end)));
    out.push(...(await this._last(end)));
    return [...out, ...this.smooth.finish(end)];
  }

  _add(samples) {
    const joined = new Float32Array(this.pending.length + samples.length);
    joined.set(this.pending);
    joined.set(samples, this.pending.length);
    this.pending = joined;
  }

  async _step(audioEnd) {
    const { spec } = this.model, n = this.perStep;
    const samples = this.pending.slice(0, n);
    this.pending = this.pending.slice(n);
    this.next += n;
    const found = await this.model.run("columns", {
      samples: [samples, [n]],
      history: [this.history, [this.history.length]],
    });
    this.history = found.next_history.data;
    const last = audioEnd === null ? Infinity : Math.ceil(audioEnd / spec.hop);
    const begin = this.column, end = Math.min(begin + spec.step_columns, last);
    this.column += spec.step_columns;
    const first = Math.max(begin, 0);
    if (first >= end) return [];
    const values = found.columns.data.slice((first - begin) * spec.n_bins, (end - begin) * spec.n_bins);
    return this._classify(values, audioEnd);
  }

  async _classify(values, audioEnd) {
    const { model } = this, { spec } = model;
    const count = values.length / spec.n_bins, begin = this.end - this.window;
    this.columns.push(values);
    const before = model.framesBeforeStep * spec.stride_columns;
    const within = this.columns.slice(this.columns.length - count - before, this.columns.length);
    if (within.length / spec.n_bins >= spec.context_columns) {
      const frames = await model.embed(within);
      const skip = Math.min(this.skip, frames.length / spec.frame_size);
      this.skip -= skip;
      this.frames.push(frames.slice(skip * spec.frame_size));
    }
    this.end += count;
    const out = [];
    const earlyEnd = Math.ceil(EARLY_COLUMNS / spec.step_columns) * spec.step_columns;
    if (this.decided === this.window && begin + count >= earlyEnd) {
      const { clip } = await model.decide(await this._cut(earlyEnd));
      this.decided = this.window + earlyEnd;
      const decision = this._decision(clip, [], audioEnd, false);
      this.early = decision;
      out.push(decision);
    }
    while (this.frames.length >= model.windowFrames) {
      const { clip, moments } = await model.decide(this.frames.slice(0, model.windowFrames));
      this.decided = this.window + spec.window_columns;
      const decision = this._decision(clip, moments, audioEnd, true);
      out.push(decision, ...this.smooth.push(decision));
      this.window += spec.step_columns;
      this.early = null;
      this.frames.drop(model.framesInStep);
    }
    this.columns.drop(this.columns.length - this.tail);
    return out;
  }

  // Frames of the window up to a column, counted from its first one.
  async _cut(end) {
    const { spec } = this.model;
    const after = Math.floor((end - spec.context_columns) / spec.stride_columns) + 1;
    if (after > 0) return this.frames.slice(0, after);
    // No frame lies in audio this short: it has one of its own, with silence around it.
    const missing = spec.context_columns - end, padded = new Float32Array(spec.context_columns * spec.n_bins);
    const zero = this.columns.length - (this.end - this.window);
    padded.set(this.columns.slice(zero, zero + end), Math.floor(missing / 2) * spec.n_bins);
    return (await this.model.embed(padded)).slice(0, spec.frame_size);
  }

  // The decision about the audio before the end that has none yet.
  async _last(end) {
    const length = this.end - this.window;
    const isNew = this.early !== null || this.end > this.decided;
    if (!isNew || (this.decided <= this.window && length < SHORTEST_COLUMNS)) return [];
    const { clip } = await this.model.decide(await this._cut(length));
    this.decided = this.end;
    const decision = this._decision(clip, [], end, true);
    return [decision, ...this.smooth.push(decision)];
  }

  _decision(clip, moments, audioEnd, final) {
    const { hop } = this.model.spec;
    const start = this.window * hop, end = Math.min(this.decided * hop, audioEnd ?? Infinity);
    const frames = this.model.centres.slice(0, moments.length / 2).map((centre, i) => [
      start + centre, round4(moments[2 * i]), round4(moments[2 * i + 1]),
    ]);
    return { kind: "decision", start, end, p_speech: round4(clip[0]), p_music: round4(clip[1]), frames, final };
  }
}

function logOdds(p, level) {
  const limit = MAX_LOG_ODDS * SCALE, inside = Math.min(Math.max(p, 1e-12), 1 - 1e-12);
  const odds = (inside * (1 - level)) / ((1 - inside) * level);
  return roundHalfEven(Math.min(Math.max(SCALE * Math.log(odds), -limit), limit));
}

// Decisions to segments: stream/stages/smooth.py.
export class Smooth {
  constructor(settings, rate) {
    Object.assign(this, settings); // samples, except change_cost and the levels
    const change = Math.round((settings.change_cost * SCALE * rate) / settings.grid);
    const shortest = Math.max(Math.round(settings.min_length / settings.grid), 1);
    const lag = Math.max(Math.round(settings.max_delay / settings.grid), shortest + 1);
    this.costs = { change, margin: Math.round(MARGIN * change), shortest, lag };
    this.search = null;
    this.start = 0;
    this.published = null;
    this.last = null;
    this.sums = []; // [middle, decisions so far, probability of each label so far]
    this.base = [0, 0, 0, 0, 0];
  }

  push(decision) {
    if (!decision.final) return [];
    if (this.search === null) {
      this.start = decision.start;
      this.search = new Search(Math.floor(decision.start / this.grid));
    }
    const middle = Math.floor((decision.start + decision.end) / 2);
    const { p_speech, p_music } = decision;
    const before = this.sums.length ? this.sums.at(-1)[1] : this.base;
    const each = STATES.map(([s, m]) => (s ? p_speech : 1 - p_speech) * (m ? p_music : 1 - p_music));
    this.sums.push([middle, [1, ...each].map((value, i) => before[i] + value)]);
    const out = [];
    const frames = decision.frames.length ? decision.frames : [[middle, p_speech, p_music]];
    for (const frame of frames) out.push(...this._frame(...frame));
    return [...out, ...this._update()];
  }

  finish(end) {
    if (this.search === null) return [];
    const out = [], { search, grid, costs } = this;
    if (this.last !== null) {
      const [, speech, music] = this.last;
      const last = Math.min(Math.floor((end - Math.floor(grid / 2) - 1) / grid), search.cell + costs.shortest - 1);
      while (search.cell <= last) {
        const label = search.label;
        out.push(...this._changed(label, search.push(speech, music, costs)));
      }
    }
    const label = search.begin(), rest = search.finish();
    out.push(...this._changed(label, rest));
    return [...out, this._final(rest.length ? rest.at(-1)[1] : label, end)];
  }

  _frame(at, pSpeech, pMusic) {
    const speech = logOdds(pSpeech, this.speech_level), music = logOdds(pMusic, this.music_level);
    const [since, speechThen, musicThen] = this.last ?? [at, speech, music];
    const { search, grid } = this, half = Math.floor(grid / 2), out = [];
    search.cell = Math.max(Math.floor(since / grid), search.cell);
    for (let middle; (middle = search.cell * grid + half) <= at; ) {
      let evidence = [speech, music];
      if (middle !== at && at !== since) {
        const share = (middle - since) / (at - since);
        evidence = [
          roundHalfEven(speechThen + share * (speech - speechThen)),
          roundHalfEven(musicThen + share * (music - musicThen)),
        ];
      }
      const label = search.label;
      out.push(...this._changed(label, search.push(...evidence, this.costs)));
    }
    this.last = [at, speech, music];
    return out;
  }

  _changed(label, changes) {
    return changes.map(([cell, following]) => {
      const segment = this._final(label, cell * this.grid);
      label = following;
      return segment;
    });
  }

  _update() {
    const { search } = this, end = search.openEnd() * this.grid;
    const before = search.cell * this.grid - this.max_delay;
    while (this.sums.length > 1 && this.sums[1][0] < before) this.sums.shift();
    const wait = this.published === null ? this.min_length : this.update;
    if (search.label === null || end - (this.published ?? this.start) < wait) return [];
    this.published = end;
    return [this._segment(search.label, end, false)];
  }

  _final(label, end) {
    const segment = this._segment(label, end, true);
    this.base = this._before(end);
    this.start = end;
    this.published = null;
    return segment;
  }

  _segment(label, end, final) {
    const sums = this._before(end).map((value, i) => value - this.base[i]);
    const mean = sums[1 + label] / Math.max(sums[0], 1);
    const score = Math.round(Math.min(Math.max(mean, 0), 1) * 1000) / 1000;
    return { kind: "segment", start: this.start, end, label: LABELS[label], score, final };
  }

  _before(at) {
    const earlier = this.sums.filter(([when]) => when < at);
    return earlier.length ? earlier.at(-1)[1] : this.base;
  }
}

// The likeliest sequence of labels with bounded delay: stream/stages/viterbi.py.
class Search {
  constructor(start) {
    this.start = this.cell = start;
    this.first = this.label = null;
    this.scores = [0, 0, 0, 0];
    this.paths = [[], [], [], []];
    this.waiting = [];
    this.sums = [0, 0];
  }

  push(speech, music, costs) {
    this.first ??= this.cell;
    this.waiting.push({ scores: this.scores, paths: [...this.paths], sums: this.sums });
    const [neither, onlySpeech, onlyMusic, both] = this.scores;
    this.scores = [neither, onlySpeech + speech, onlyMusic + music, both + speech + music];
    this.sums = [this.sums[0] + speech, this.sums[1] + music];
    this.cell += 1;
    if (this.waiting.length >= costs.shortest) {
      const changed = this.waiting.shift(), at = this.cell - costs.shortest;
      if (at >= this.start + costs.shortest) this._enter(changed, at, costs);
    }
    if (this.label === null && this.cell - this.first >= costs.shortest) this.begin();
    if (this.cell % REBASE_CELLS === 0) this._rebase();
    if (this.label === null || !this.paths.some((path) => path.length)) return [];
    return this._commit(costs);
  }

  finish() {
    return [...this.paths[this._best()]];
  }

  openEnd() {
    const path = this.paths[this._best()];
    return path.length ? path[0][0] : this.cell;
  }

  _enter(changed, at, costs) {
    const { scores } = changed, oldest = this.cell - costs.lag;
    changed.paths.forEach((path, label) => {
      if (path.length && path[0][0] < oldest) scores[label] = DROPPED;
    });
    const best = Math.max(...scores), own = this.scores, first = scores.indexOf(best);
    this._gained(changed).forEach((gained, label) => {
      if (best - costs.change + gained <= own[label]) return;
      let before = first;
      if (label === first) {
        before = [0, 1, 2, 3].filter((other) => other !== label)
          .reduce((a, b) => (scores[b] > scores[a] ? b : a));
      }
      const score = scores[before] - costs.change + gained;
      if (score > own[label] && scores[before] > DROPPED / 2) {
        own[label] = score;
        this.paths[label] = [...changed.paths[before], [at, label]];
      }
    });
  }

  _gained(waiting) {
    const speech = this.sums[0] - waiting.sums[0], music = this.sums[1] - waiting.sums[1];
    return [0, speech, music, speech + music];
  }

  _rebase() {
    const best = Math.max(...this.scores), [speech, music] = this.sums;
    for (const each of [this, ...this.waiting]) {
      each.scores = each.scores.map((score) => (score > DROPPED / 2 ? score - best : DROPPED));
      each.sums = [each.sums[0] - speech, each.sums[1] - music];
    }
  }

  _best() {
    return this.scores.indexOf(Math.max(...this.scores));
  }

  begin() {
    if (this.label !== null) return this.label;
    this.label = this._best();
    for (const scores of [this.scores, ...this.waiting.map((each) => each.scores)]) {
      for (let label = 0; label < 4; label++) if (label !== this.label) scores[label] = DROPPED;
    }
    return this.label;
  }

  _commit(costs) {
    const final = [];
    for (;;) {
      const best = this._best(), path = this.paths[best], oldest = this.cell - costs.lag;
      if (!path.length || path[0][0] > oldest) {
        this.paths.forEach((other, label) => {
          if (other.length && other[0][0] <= oldest) {
            this.scores[label] = DROPPED;
            this.paths[label] = [];
          }
        });
        if (!path.length || !this._isSure(best, costs)) return final;
      }
      const change = path[0];
      this._keep(change);
      this.label = change[1];
      final.push(change);
    }
  }

  _keep(change) {
    for (const each of [this, ...this.waiting]) {
      each.paths.forEach((path, label) => {
        const keeps = same(path[0], change);
        if (!keeps) each.scores[label] = DROPPED;
        each.paths[label] = keeps ? path.slice(1) : [];
      });
    }
  }

  _isSure(best, costs) {
    const first = this.paths[best][0], limit = this.scores[best] - costs.margin;
    const others = this.scores.filter((_, label) => !same(this.paths[label][0], first));
    if (Math.max(DROPPED, ...others) > limit) return false;
    for (const each of this.waiting) {
      const gains = this._gained(each);
      for (let before = 0; before < 4; before++) {
        if (same(each.paths[before][0], first)) continue;
        const gained = Math.max(...gains.filter((_, label) => label !== before));
        if (each.scores[before] - costs.change + gained > limit) return false;
      }
    }
    return true;
  }
}

function same(a, b) {
  return a !== undefined && b !== undefined && a[0] === b[0] && a[1] === b[1];
}
