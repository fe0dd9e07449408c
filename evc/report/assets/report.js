// What moves and sounds in a report. No library, no request: all sounds are in the page, as text.
"use strict";
(() => {
const data = JSON.parse(document.getElementById("data").textContent);
const all = (selector, root = document) => [...root.querySelectorAll(selector)];
const one = (selector, root = document) => root.querySelector(selector);
const clamp = (value, low, high) => Math.min(Math.max(value, low), high);
const FADE = 0.008; // s: gains move without a click
const MOST_TOGETHER = 60; // s of a selection of events
let context = null, sounding = null;

function wake() {
  context ??= new AudioContext();
  if (context.state === "suspended") context.resume();
  return context;
}

// --- Sounds that are in the page ---------------------------------------------------------------
function bytes(text) {
  const raw = atob(text), found = new Uint8Array(raw.length);
  for (let i = 0; i < raw.length; i++) found[i] = raw.charCodeAt(i);
  return found;
}
const decoded = new Map();
function buffer(id) {
  if (!decoded.has(id)) {
    const parts = data.sums[id], element = document.getElementById("sound-" + id);
    decoded.set(id, parts ? added(parts) : wake().decodeAudioData(bytes(element.textContent).buffer));
    decoded.get(id).catch(() => tell("This browser cannot play a sound of this page: " + id + "."));
  }
  return decoded.get(id);
}
async function added(parts) { // a sound that is the sum of others, each times a factor
  const sounds = await Promise.all(parts.map(([id]) => buffer(id)));
  const sum = context.createBuffer(sounds[0].numberOfChannels, sounds[0].length, sounds[0].sampleRate);
  for (let channel = 0; channel < sum.numberOfChannels; channel++) {
    const out = sum.getChannelData(channel);
    sounds.forEach((sound, number) => {
      const some = sound.getChannelData(channel), factor = parts[number][1];
      for (let i = 0; i < out.length; i++) out[i] += factor * some[i];
    });
  }
  return sum;
}
async function numbers(id) { // an array that is in the page, compressed
  const stream = new Blob([bytes(document.getElementById(id).textContent)]).stream();
  return new Response(stream.pipeThrough(new DecompressionStream("deflate"))).arrayBuffer();
}
const tell = text => { one("#message").textContent = text; };

// Only one thing sounds at a time: who begins stops the other.
function begin(player) {
  if (sounding && sounding !== player) sounding.stop();
  sounding = player;
}

// --- Decks: tracks of one length, in step, of which one is heard -------------------------------
class Deck {
  constructor(name, tracks, start, duration) {
    Object.assign(this, {name, tracks, start, duration, at: 0, heard: tracks[0].id, playing: false, gates: null});
    this.voices = new Map();
    this.wish = 0;
  }
  get position() { // s, from the deck's start
    return this.playing ? clamp(this.at + context.currentTime - this.since, 0, this.until) : this.at;
  }
  async play(from = this.at >= this.duration ? 0 : this.at, until = this.duration, gated = true) {
    begin(this);
    this.stop();
    begin(this);
    const wish = ++this.wish;
    wake();
    const buffers = await Promise.all(this.tracks.map(track => buffer(track.id)));
    if (wish !== this.wish) return; // something else was asked for meanwhile
    this.at = clamp(from, 0, this.duration);
    this.until = Math.min(until, this.duration);
    this.since = context.currentTime + 0.02;
    this.gate = context.createGain();
    this.gate.connect(context.destination);
    this.tracks.forEach((track, i) => {
      const source = context.createBufferSource(), gain = context.createGain();
      source.buffer = buffers[i];
      gain.gain.value = track.id === this.heard ? track.gain : 0;
      source.connect(gain).connect(this.gate);
      source.start(this.since, this.at, this.until - this.at);
      this.voices.set(track.id, {source, gain, track});
    });
    this.voices.get(this.tracks[0].id).source.onended = () => { if (wish === this.wish) this.ended(); };
    this.gated = gated;
    this.playing = true;
    this.schedule();
    show();
  }
  ended() {
    const whole = this.until >= this.duration;
    this.stop();
    if (whole) this.at = 0;
    show();
  }
  stop() {
    this.wish++;
    if (!this.playing) return;
    this.at = this.position;
    this.playing = false;
    const gate = this.gate;
    gate.gain.cancelScheduledValues(0);
    gate.gain.setTargetAtTime(0, context.currentTime, FADE / 3);
    for (const {source} of this.voices.values()) { source.onended = null; source.stop(context.currentTime + 4 * FADE); }
    this.voices.clear();
    show();
  }
  toggle() { this.playing ? this.stop() : this.play(); }
  seek(seconds) {
    const at = clamp(seconds, 0, this.duration);
    if (this.playing) this.play(at);
    else { this.at = at; show(); }
  }
  hear(id) { // switch tracks without a gap
    this.heard = id;
    for (const {gain, track} of this.voices.values())
      gain.gain.setTargetAtTime(track.id === id ? track.gain : 0, context.currentTime, FADE / 3);
    show();
  }
  schedule() { // open and close the gate where what is muted begins and ends
    if (!this.playing) return;
    const gain = this.gate.gain, when = t => this.since + t - this.at, now = this.position;
    gain.cancelScheduledValues(0);
    const spans = this.gated && this.gates ? this.gates : [[0, this.duration]];
    const open = spans.some(([low, high]) => low <= now && now < high);
    gain.setTargetAtTime(open ? 1 : 0, context.currentTime, FADE / 3);
    for (const [low, high] of spans) {
      if (low > now) gain.setTargetAtTime(1, when(low), FADE / 3);
      if (high > now && high < this.duration) gain.setTargetAtTime(0, when(high), FADE / 3);
    }
  }
}
const decks = {};
for (const [name, deck] of Object.entries(data.decks ?? {}))
  decks[name] = new Deck(name, deck.tracks, deck.start, deck.duration);

// --- Clips: short sounds with a button each ----------------------------------------------------
const clip = {
  stop() {
    if (this.source) { this.source.onended = null; this.source.stop(); this.source = null; }
    this.wish = {};
    mark(null);
    show();
  },
  async play(found, marks = [], button = null) { // found: an AudioBuffer, or the promise of one
    begin(this);
    this.stop();
    begin(this);
    const wish = this.wish = {};
    const sound = await found;
    if (wish !== this.wish) return;
    const source = this.source = wake().createBufferSource();
    source.buffer = sound;
    source.connect(context.destination);
    source.onended = () => this.stop();
    source.start();
    mark(marks);
    this.button = button;
    button?.setAttribute("aria-pressed", "true");
  },
};
function mark(elements) {
  all(".sounding").forEach(element => element.classList.remove("sounding"));
  all("button.clip[aria-pressed=true]").forEach(button => button.setAttribute("aria-pressed", "false"));
  elements?.forEach(element => element.classList.add("sounding"));
}
for (const button of all("button.clip")) {
  button.setAttribute("aria-pressed", "false");
  button.onclick = () => button.getAttribute("aria-pressed") === "true"
    ? clip.stop() : (wake(), clip.play(buffer(button.dataset.sound), [], button));
}

// --- What is shown of what sounds --------------------------------------------------------------
const timelines = all(".timeline").map(element => ({
  element, head: one(".playhead", element), start: +element.dataset.start, end: +element.dataset.end,
  deck: decks[element.dataset.deck],
}));
let drawn = 0;
function now() { // seconds of the file
  const deck = Object.values(decks).find(one => one.playing) ?? null;
  return deck && deck.start + deck.position;
}
function show() {
  const moving = now();
  for (const {element, head, start, end, deck} of timelines) {
    const time = moving ?? (deck && deck.start + deck.position);
    const share = (time - start) / (end - start);
    head.hidden = !(share >= 0 && share <= 1) || (moving === null && time === deck?.start);
    head.style.left = 100 * share + "%";
    if (element.tabIndex === 0 && deck) {
      const at = Math.round(10 * (deck.start + deck.position)) / 10;
      element.setAttribute("aria-valuenow", at);
      element.setAttribute("aria-valuetext", clock(at));
    }
  }
  for (const button of all("[data-toggle]")) {
    const deck = decks[button.dataset.toggle];
    button.classList.toggle("on", deck.playing);
    one(".word", button).textContent = deck.playing ? "Pause" : "Play";
  }
  for (const output of all("[data-clock]")) output.textContent = clock(decks[output.dataset.clock].start + decks[output.dataset.clock].position);
  for (const radio of all("input[name=track]")) radio.checked = radio.value === decks.listen?.heard;
  cancelAnimationFrame(drawn);
  if (moving !== null) drawn = requestAnimationFrame(show);
}
const clock = seconds => Math.floor(seconds / 60) + ":" + (seconds % 60).toFixed(1).padStart(4, "0");

all("[data-toggle]").forEach(button => button.onclick = () => decks[button.dataset.toggle].toggle());
all("input[name=track]").forEach(radio => radio.onchange = () => decks.listen.hear(radio.value));
for (const {element, start, end, deck} of timelines) {
  if (!deck || !element.classList.contains("seek")) continue;
  element.addEventListener("click", event => {
    if (event.target.closest("button")) return;
    const box = element.getBoundingClientRect();
    deck.play(start + (event.clientX - box.left) / box.width * (end - start) - deck.start);
  });
  element.addEventListener("keydown", event => {
    const steps = {ArrowLeft: -1, ArrowRight: 1, PageUp: -10, PageDown: 10, Home: -1e9, End: 1e9};
    if (event.target !== element || event.ctrlKey || event.altKey || event.metaKey) return;
    if (event.key in steps) deck.seek(deck.position + steps[event.key] * (event.shiftKey ? 0.1 : 1));
    else if (event.key === "Enter" || event.key === " ") deck.toggle();
    else return;
    event.preventDefault();
    event.stopPropagation();
  });
}
document.addEventListener("keydown", event => {
  if (event.ctrlKey || event.altKey || event.metaKey || !decks.listen) return;
  const key = event.key.toLowerCase(), track = {a: "file", b: "source", d: "difference"}[key];
  if (track && decks.listen.tracks.some(one => one.id === track)) decks.listen.hear(track);
  else if (key === " " && event.target === document.body) { decks.listen.toggle(); event.preventDefault(); }
  else if (key === "escape") sounding?.stop();
});

// --- Patterns ----------------------------------------------------------------------------------
const muted = new Set(), soloed = new Set();
function gates() { // the spans of the file that sound with what is muted and soloed: null for all
  if (!muted.size && !soloed.size) return null;
  const heard = new Set(), edges = [0, decks.whole.duration];
  const lives = data.patterns.blocks.map(([pattern, time, length]) => {
    edges.push(time, time + length);
    return [time, time + length, soloed.size ? soloed.has(pattern) : !muted.has(pattern)];
  });
  const cuts = [...new Set(edges)].sort((a, b) => a - b), spans = [];
  for (let i = 0; i + 1 < cuts.length; i++) {
    const middle = (cuts[i] + cuts[i + 1]) / 2, here = lives.filter(([low, high]) => low <= middle && middle < high);
    if (!(here.length ? here.some(life => life[2]) : !soloed.size)) continue;
    if (spans.length && spans.at(-1)[1] === cuts[i]) spans.at(-1)[1] = cuts[i + 1];
    else spans.push([cuts[i], cuts[i + 1]]);
  }
  return spans;
}
for (const button of all("[data-mute],[data-solo]")) {
  const chosen = "mute" in button.dataset ? muted : soloed, pattern = +(button.dataset.mute ?? button.dataset.solo);
  button.onclick = () => {
    chosen.has(pattern) ? chosen.delete(pattern) : chosen.add(pattern);
    button.setAttribute("aria-pressed", chosen.has(pattern));
    for (const row of all(".lane")) {
      const number = +row.dataset.pattern;
      row.classList.toggle("silent", soloed.size ? !soloed.has(number) : muted.has(number));
    }
    decks.whole.gates = gates();
    decks.whole.schedule();
  };
}
function playBlock(block, alone) {
  const [pattern, time, length] = data.patterns.blocks[+block.dataset.block];
  const [start, seconds, sound] = data.patterns.alone[pattern];
  if (alone && sound) { wake(); clip.play(buffer(sound), [block]); return; }
  const [from, span] = alone ? [start, seconds] : [time, length];
  decks.whole.play(from, from + span, false);
  mark([block]);
}
// One stop for the tab key in each group; arrows go on from there.
function roving(group, items, act) {
  items.forEach((item, i) => item.setAttribute("tabindex", i ? -1 : 0));
  group.addEventListener("keydown", event => {
    const at = items.indexOf(event.target), steps = {ArrowLeft: -1, ArrowRight: 1, Home: -1e9, End: 1e9};
    if (at < 0) return;
    if (event.key in steps) {
      const next = items[clamp(at + steps[event.key], 0, items.length - 1)];
      items[at].setAttribute("tabindex", -1);
      next.setAttribute("tabindex", 0);
      next.focus();
    } else if (event.key === "Enter" || event.key === " ") act(event.target, event);
    else return;
    event.preventDefault();
    event.stopPropagation();
  });
}
for (const lane of all(".lane .blocks")) {
  roving(lane, all("button", lane), (block, event) => playBlock(block, event.shiftKey));
  lane.addEventListener("click", event => {
    const block = event.target.closest("button");
    if (block) { event.stopPropagation(); playBlock(block, event.shiftKey); }
  });
}

// --- Events: their sounds, made here from their parameters -------------------------------------
const events = data.events && new (class {
  constructor() {
    Object.assign(this, data.events);
    this.rate = 65536; // a power of two: a period of the noise, a second, is one transform
  }
  async load() {
    this.values ??= new Float32Array(await numbers("event-values"));
    this.keys ??= new Uint32Array(await numbers("event-keys"));
  }
  parameters(i) {
    const row = Float32Array.from({length: this.fields}, (_, field) => this.values[field * this.keys.length + i]);
    const bands = this.filters.length;
    const [pan, amplitude, attack, length, fall, level, damping, change] = row;
    return {pan, amplitude, attack, length, fall, level, damping, change, colours: row.subarray(8, 8 + bands),
      partials: row.subarray(8 + bands), taps: this.echoes[this.rooms[i]], key: this.keys[i]};
  }
  noise({colours, key}) { // one second: the Fourier series of hashed numbers under the filter
    const size = this.rate, real = new Float64Array(size), imaginary = new Float64Array(size);
    this.shapes ??= this.filters.map(([centre, width]) => {
      const shape = new Float64Array(20001);
      let sum = 0;
      for (let k = 1; k <= 20000; k++) sum += (shape[k] = Math.exp(-0.5 * ((Math.log(k) - centre) / width) ** 2)) ** 2;
      return shape.map(value => value / Math.sqrt(sum));
    });
    const uniform = counter => {
      let x = counter >>> 0;
      x = Math.imul(x ^ x >>> 16, 0x7FEB352D);
      x = Math.imul(x ^ x >>> 15, 0x846CA68B);
      return (((x ^ x >>> 16) >>> 0) / 2 ** 31 - 1) * Math.sqrt(3);
    };
    for (let k = 1; k <= this.top; k++) {
      let height = 0;
      for (let f = 0; f < colours.length; f++) height += colours[f] * this.shapes[f][k];
      height *= this.audible(k);
      real[k] = uniform(key + 2 * k) * height;
      imaginary[k] = -uniform(key + 2 * k + 1) * height;
    }
    transform(real, imaginary);
    return real;
  }
  audible(hertz) { return Math.cos(clamp((hertz / (this.samplerate / 2) - 0.9) / 0.08, 0, 1) * Math.PI / 2) ** 2; }
  dry(p) { // partials and noise under attack and gate
    const rate = this.rate, frames = Math.ceil((p.length + p.fall) * rate), out = new Float64Array(frames);
    for (let at = 0; at < p.partials.length; at += 5) {
      const [frequency, decay, a, b, state] = p.partials.subarray(at, at + 5);
      if (!a && !b) continue;
      const turn = 2 * Math.PI * frequency / rate, shrink = Math.exp(-decay / rate), mix = Math.exp(-p.change / rate);
      const c = shrink * Math.cos(turn), s = shrink * Math.sin(turn);
      for (let i = 0, x = a, y = b, m = 1; i < frames; i++) {
        out[i] += x * (state + (1 - state) * m);
        [x, y] = [x * c - y * s, x * s + y * c];
        m *= mix;
        if (x * x + y * y < 1e-14) break;
      }
    }
    if (p.level > 1e-6) {
      const noise = this.noise(p), mask = this.rate - 1;
      for (let i = 0; i < frames; i++) out[i] += p.level * Math.exp(-p.damping * i / rate) * noise[i & mask];
    }
    for (let i = 0; i < Math.min(frames, p.attack * rate); i++) out[i] *= Math.sin(i / rate / p.attack * Math.PI / 2) ** 2;
    for (let i = Math.ceil(p.length * rate); i < frames; i++)
      out[i] *= Math.cos(Math.min((i / rate - p.length) / p.fall, 1) * Math.PI / 2) ** 2;
    return out;
  }
  add(out, i, onset) { // onto channels of samples
    const p = this.parameters(i), dry = this.dry(p), angle = (p.pan + 1) * Math.PI / 4;
    const gains = out.length === 1 ? [p.amplitude] : [p.amplitude * Math.cos(angle), p.amplitude * Math.sin(angle)];
    for (const [delay, gain] of p.taps) {
      const first = Math.round((onset + delay) * this.rate), most = Math.min(dry.length, out[0].length - first);
      for (let n = 0; n < most; n++) {
        const late = delay ? (n / this.rate + delay - this.fadeFrom) / (this.duration - this.fadeFrom) : 0;
        const value = gain * dry[n] * (late > 0 ? Math.cos(Math.min(late, 1) * Math.PI / 2) ** 2 : 1);
        for (let c = 0; c < gains.length; c++) out[c][first + n] += gains[c] * value;
      }
    }
  }
  length(i) {
    const p = this.parameters(i);
    return Math.min(this.duration, p.length + p.fall + Math.max(...p.taps.map(([delay]) => delay)));
  }
  async render(chosen) { // together, as far apart as they are in the file
    await this.load();
    const start = Math.min(...chosen.map(i => this.times[i]));
    const end = Math.max(...chosen.map(i => this.times[i] + this.length(i)));
    const frames = Math.max(1, Math.ceil(Math.min(end - start, MOST_TOGETHER) * this.rate));
    const found = wake().createBuffer(Math.min(this.channels, 2), frames, this.rate);
    const channels = [...Array(found.numberOfChannels)].map((_, c) => found.getChannelData(c));
    let rested = performance.now();
    for (const [number, i] of chosen.entries()) {
      if (this.times[i] - start < MOST_TOGETHER) this.add(channels, i, this.times[i] - start);
      if (performance.now() - rested < 40) continue;
      tell(`${number + 1} of ${chosen.length} events are ready.`); // and let the page breathe
      await new Promise(resolve => setTimeout(resolve));
      rested = performance.now();
    }
    tell(end - start > MOST_TOGETHER ? `The first ${MOST_TOGETHER} s of the selection play.` : "");
    return found;
  }
})();

function transform(real, imaginary) { // inverse Fourier transform in place, unscaled, of a power of two
  const size = real.length;
  for (let i = 1, j = 0; i < size; i++) {
    let bit = size >> 1;
    for (; j & bit; bit >>= 1) j ^= bit;
    j ^= bit;
    if (i < j) {
      [real[i], real[j]] = [real[j], real[i]];
      [imaginary[i], imaginary[j]] = [imaginary[j], imaginary[i]];
    }
  }
  for (let half = 1; half < size; half *= 2)
    for (let k = 0; k < half; k++) {
      const c = Math.cos(Math.PI * k / half), s = Math.sin(Math.PI * k / half);
      for (let i = k, j = k + half; i < size; i += 2 * half, j += 2 * half) {
        const x = real[j] * c - imaginary[j] * s, y = real[j] * s + imaginary[j] * c;
        real[j] = real[i] - x; imaginary[j] = imaginary[i] - y;
        real[i] += x; imaginary[i] += y;
      }
    }
}

const scatter = one("#scatter");
if (scatter) {
  const circles = all("circle", scatter), readout = one("#readout"), chosen = new Set();
  const about = i => `${clock(events.times[i])}, ${events.names[i]}, ${events.levels[i]} dB`;
  const tellOf = i => { readout.textContent = `Event ${i + 1} of ${circles.length}: ${about(i)}`; };
  const choose = some => {
    chosen.clear();
    some.forEach(i => chosen.add(i));
    circles.forEach((circle, i) => circle.classList.toggle("chosen", chosen.has(i)));
    one("#play-selection").disabled = !chosen.size;
    one("#selected").textContent = chosen.size ? `${chosen.size} selected` : "none selected";
  };
  const play = some => { wake(); clip.play(events.render(some), some.map(i => circles[i])); };
  const toggle = i => choose(chosen.has(i) ? [...chosen].filter(other => other !== i) : [...chosen, i]);
  one("#play-selection").onclick = () => play([...chosen]);
  one("#clear-selection").onclick = () => choose([]);
  roving(scatter, circles, (circle, event) => {
    const i = circles.indexOf(circle);
    event.shiftKey ? toggle(i) : play([i]);
  });
  scatter.addEventListener("focusin", event => {
    const i = circles.indexOf(event.target);
    if (i >= 0) { tellOf(i); event.target.setAttribute("aria-label", about(i)); }
  });
  scatter.addEventListener("pointerover", event => {
    const i = circles.indexOf(event.target);
    if (i >= 0) tellOf(i);
  });
  let from = null;
  const box = one("#marquee");
  scatter.addEventListener("pointerdown", event => {
    const frame = scatter.getBoundingClientRect();
    if (event.pointerType === "mouse") from = {x: event.clientX - frame.left, y: event.clientY - frame.top};
  });
  scatter.addEventListener("pointermove", event => {
    if (!from) return;
    const frame = scatter.getBoundingClientRect(), x = event.clientX - frame.left, y = event.clientY - frame.top;
    from.moved ||= Math.hypot(x - from.x, y - from.y) > 4;
    if (!from.moved) return;
    if (!scatter.hasPointerCapture(event.pointerId)) scatter.setPointerCapture(event.pointerId);
    const low = [Math.min(x, from.x), Math.min(y, from.y)], high = [Math.max(x, from.x), Math.max(y, from.y)];
    Object.assign(box.style, {left: low[0] + "px", top: low[1] + "px", width: high[0] - low[0] + "px", height: high[1] - low[1] + "px"});
    box.hidden = false;
    choose(circles.flatMap((circle, i) => {
      const cx = parseFloat(circle.getAttribute("cx")) * frame.width / 100, cy = parseFloat(circle.getAttribute("cy")) * frame.height / 100;
      return low[0] <= cx && cx <= high[0] && low[1] <= cy && cy <= high[1] ? [i] : [];
    }));
  });
  const lift = () => { box.hidden = true; setTimeout(() => { from = null; }); };
  scatter.addEventListener("pointerup", lift);
  scatter.addEventListener("pointercancel", lift);
  scatter.addEventListener("click", event => {
    if (from?.moved) return;
    const i = circles.indexOf(event.target);
    if (i < 0) choose([]);
    else if (event.shiftKey || event.ctrlKey || event.metaKey) toggle(i);
    else { tellOf(i); play([i]); }
  });
}

// --- Timbres -----------------------------------------------------------------------------------
for (const map of all(".path-map")) {
  const dots = all("circle", map), play = dot => {
    decks.whole?.play(+dot.dataset.time, +dot.dataset.end, false);
    mark([dot]);
  };
  roving(map, dots, play);
  dots.forEach(dot => dot.onclick = () => play(dot));
}

// --- The film ----------------------------------------------------------------------------------
for (const film of all(".film")) {
  const strip = one("img", film), slider = one("input", film), caption = one(".caption", film), button = one("button", film);
  let timer = 0;
  const turn = () => {
    strip.style.transform = `translateY(${-100 * slider.value / data.film.length}%)`;
    caption.textContent = data.film[slider.value];
    slider.setAttribute("aria-valuetext", caption.textContent);
  };
  const halt = () => { clearInterval(timer); timer = 0; button.textContent = "Run the film"; };
  slider.oninput = () => { halt(); turn(); };
  button.onclick = () => {
    if (timer) return halt();
    button.textContent = "Hold the film";
    timer = setInterval(() => { slider.value = (+slider.value + 1) % data.film.length; turn(); }, 700);
  };
  turn();
}

// --- Tables that can be sorted -----------------------------------------------------------------
for (const table of all("table.sortable")) {
  all("th button", table).forEach(button => button.onclick = () => {
    const head = button.closest("th"), column = head.cellIndex, down = head.getAttribute("aria-sort") === "ascending";
    all("th", table).forEach(other => other.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    const value = row => row.cells[column].dataset.value ?? row.cells[column].textContent.trim();
    const compare = (a, b) => isNaN(value(a)) || isNaN(value(b)) ? value(a).localeCompare(value(b)) : value(a) - value(b);
    const rows = all("tbody tr", table).sort(compare);
    if (down) rows.reverse();
    one("tbody", table).append(...rows);
  });
}

// --- Candidates of an album --------------------------------------------------------------------
const candidates = all(".candidate");
if (candidates.length) {
  const list = one("#kept-list"), keep = song => one(".keep", song), deck = song => decks["song-" + song.dataset.number];
  const tellKept = () => {
    const kept = candidates.filter(song => keep(song).checked);
    list.value = kept.map(song => song.dataset.number + " " + one(".title", song).value.trim() + "\n").join("");
    one("#kept-count").textContent = `${kept.length} of ${candidates.length} are kept`;
  };
  candidates.forEach(song => song.addEventListener("input", tellKept));
  one("#save-kept").onclick = () => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([list.value], {type: "text/plain"}));
    link.download = "keep.txt";
    link.click();
    URL.revokeObjectURL(link.href);
  };
  document.addEventListener("keydown", event => {
    if (event.ctrlKey || event.altKey || event.metaKey || event.target.closest?.("input.title, textarea")) return;
    const key = event.key.toLowerCase(), at = candidates.findIndex(song => deck(song) === sounding);
    if (key === "escape") sounding?.stop();
    else if (key === " " && event.target === document.body) { deck(candidates[Math.max(at, 0)]).toggle(); event.preventDefault(); }
    else if ((key === "k" || key === "d") && at >= 0) {
      keep(candidates[at]).checked = key === "k";
      tellKept();
      const next = candidates[at + 1];
      if (next) { next.scrollIntoView({block: "nearest"}); deck(next).play(0); } else sounding.stop();
    }
  });
  tellKept();
}

show();
window.evcReport = {decks, events, clip, data, gates, get context() { return context; }};
})();
