// Tables sort by a click on a column's head: numbers as numbers, again for the other way round.
document.querySelectorAll("table.sortable").forEach((table) => {
  table.querySelectorAll("thead th").forEach((head, column) => {
    const sort = () => {
      const ascending = head.getAttribute("aria-sort") !== "ascending";
      table.querySelectorAll("thead th").forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", ascending ? "ascending" : "descending");
      const value = (row) => row.cells[column].dataset.value ?? row.cells[column].textContent;
      const rows = [...table.tBodies[0].rows].sort((a, b) => {
        const [x, y] = [value(a), value(b)];
        const [p, q] = [x, y].map((text) => (text.trim() === "" ? NaN : Number(text)));
        return Number.isNaN(p) || Number.isNaN(q) ? x.localeCompare(y) : p - q;
      });
      table.tBodies[0].append(...(ascending ? rows : rows.reverse()));
    };
    head.tabIndex = 0;
    head.addEventListener("click", sort);
    head.addEventListener("keydown", (event) => event.key === "Enter" && sort());
  });
});

// ---- Steer: an excerpt beside itself, steered. The numbers are in the page: opened from disk it may fetch none.

const SVG = "http://www.w3.org/2000/svg";
const CHART = { height: 168, left: 44, right: 10, top: 10, bottom: 22 }; // --left and --right of the stylesheet

function svg(tag, attributes, ...children) {
  const made = document.createElementNS(SVG, tag);
  Object.entries(attributes).forEach(([name, value]) => made.setAttribute(name, value));
  made.append(...children);
  return made;
}

function html(tag, attributes, ...children) {
  const made = Object.assign(document.createElement(tag), attributes);
  made.append(...children);
  return made;
}

// Round numbers between two, about `n` of them.
function ticks(low, high, n) {
  const rough = (high - low) / n;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * [1, 2, 5, 10].find((factor) => factor * power >= rough);
  const count = Math.floor(high / step) - Math.ceil(low / step) + 1;
  const at = (i) => Number(((Math.ceil(low / step) + i) * step).toPrecision(12));
  return Array.from({ length: Math.max(count, 0) }, (_, i) => at(i));
}

function plain(value) {
  return String(value).replace("-", "−");
}

// A difference with its sign, in steps that fit the range of the chart.
function signed(value, attribute) {
  const digits = Math.max(0, 2 - Math.floor(Math.log10(attribute.high - attribute.low)));
  const text = Math.abs(value).toFixed(digits);
  return Number(text) === 0 ? "±0" : (value < 0 ? "−" : "+") + text;
}

// The unit of a difference: decibels, not dBFS; semitones, not MIDI's.
function unitOfShift(unit) {
  return unit.replace(/ \(.*\)/, "").replace(/^semitone$/, "semitones").replace(/^dBFS$/, "dB");
}

function percent(part, whole) {
  const value = (100 * part) / whole;
  return `${value > 0 && value < 1 ? value.toFixed(1) : Math.round(value)}\u00a0%`;
}

// One radio button per option [value, text]; they are made again only if others are offered, so that the focus stays.
function offer(field, options, chosen, onChoice) {
  const offered = JSON.stringify(options);
  const segments = field.querySelector(".segments");
  if (field.dataset.offered !== offered) {
    field.dataset.offered = offered;
    segments.replaceChildren(...options.map(([value, text]) => {
      const input = html("input", { type: "radio", name: `steer-${field.dataset.choice}`, value });
      input.addEventListener("change", () => onChoice(value));
      return html("label", {}, input, html("span", { textContent: text }));
    }));
  }
  segments.querySelectorAll("input").forEach((input) => { input.checked = input.value === String(chosen); });
}

// Another sound in the same player, at the same time, playing on if it played.
function swap(audio, source) {
  if (audio.getAttribute("src") === source) return;
  // a sound that is still loading is at no time yet, and what is wanted of it holds for its successor
  audio.wanted ??= { time: audio.ended ? 0 : audio.currentTime, isPlaying: !audio.paused };
  audio.setAttribute("src", source);
}

function goOn(audio) {
  const wanted = audio.wanted;
  if (!wanted) return;
  audio.wanted = null;
  if (wanted.time) audio.currentTime = wanted.time;
  // refused where nobody has touched the page, and given up when the next sound is chosen at once
  if (wanted.isPlaying) audio.play().catch(() => {});
}

// Two players with one time: whichever plays leads, the other follows as soon as it rests.
function shareTime(audios, onTime) {
  let leader = audios[0], frame = 0;
  const follow = () => {
    cancelAnimationFrame(frame);
    onTime(leader.wanted ? leader.wanted.time : leader.currentTime);
    if (!leader.paused) frame = requestAnimationFrame(follow);
  };
  const settle = (audio) => {
    if (audio.wanted || audios.some((other) => other !== audio && !other.paused)) return;
    leader = audio;
    audios.filter((other) => other !== audio && !other.wanted && Math.abs(other.currentTime - audio.currentTime) > 0.02)
      .forEach((other) => { other.currentTime = audio.currentTime; });
    follow();
  };
  audios.forEach((audio) => {
    audio.addEventListener("loadedmetadata", () => goOn(audio));
    ["seeked", "pause"].forEach((name) => audio.addEventListener(name, () => audio.paused && settle(audio)));
    ["play", "seeking"].forEach((name) => audio.addEventListener(name, () => audio === leader && follow()));
  });
  // before the other is paused, below: it still plays where this one is to begin
  window.addEventListener("play", (event) => {
    if (!audios.includes(event.target)) return;
    const playing = audios.find((audio) => audio !== event.target && !audio.paused);
    if (playing) event.target.currentTime = playing.currentTime;
    leader = event.target;
  }, true);
  return () => leader;
}

function pathOf(track, player, x, y) {
  let isBroken = true;
  return track.map((value, i) => {
    if (value === null) { isBroken = true; return ""; }
    const at = `${x(player.first_time_s + i * player.time_step_s).toFixed(1)},${y(value).toFixed(1)}`;
    // h0: a frame that stands alone is a dot
    const command = isBroken ? `M${at}h0` : `L${at}`;
    isBroken = false;
    return command;
  }).join("");
}

// Tracks of one attribute over time; lines: [class, track] in the order in which they are drawn.
function chart(player, attribute, lines, target, width) {
  const [inner, tall] = [width - CHART.left - CHART.right, CHART.height - CHART.top - CHART.bottom];
  const x = (time) => (inner * time) / player.clip.duration_s;
  const y = (value) => tall * (1 - (value - attribute.low) / (attribute.high - attribute.low));
  const text = (content, at) => svg("text", at, content);
  const drawn = svg("svg", { viewBox: `0 0 ${width} ${CHART.height}`, width, height: CHART.height, role: "img" });
  drawn.setAttribute("aria-label", `${attribute.name} over time`);
  const field = svg("g", { transform: `translate(${CHART.left} ${CHART.top})` });
  ticks(attribute.low, attribute.high, 4).forEach((value) => field.append(
    svg("line", { class: "grid", x2: inner, y1: y(value), y2: y(value) }),
    text(plain(value), { x: -7, y: y(value) + 3.5, "text-anchor": "end" })));
  ticks(0, player.clip.duration_s, 4).forEach((value, i) => field.append(
    text(i ? plain(value) : "0 s", { x: x(value), y: tall + 16, "text-anchor": "middle" })));
  // an svg within an svg cuts off what lies beyond
  const clip = svg("svg", { width: inner, height: tall });
  if (target && target.low !== null) {
    const height = Math.max(y(target.low) - y(target.high), 6);
    const top = (y(target.low) + y(target.high) - height) / 2;
    clip.append(svg("rect", { class: "target", width: inner, y: top, height }));
    field.append(text(target.name, {
      class: "target", x: inner - 3, y: top > 14 ? top - 4 : top + height + 12, "text-anchor": "end",
    }));
  }
  const paths = lines.map(([name, track]) => [name, track ? pathOf(track, player, x, y) : ""]);
  clip.append(...paths.map(([name, d]) => svg("path", { class: `line ${name}`, d })));
  const isMeasured = lines.some(([, track]) => track && track.length);
  const why = isMeasured ? "undefined throughout" : `not measured on ${player.clip.kind}`;
  const isEmpty = paths.every(([, d]) => d === "");
  if (isEmpty) field.append(text(why, { x: inner / 2, y: tall / 2, "text-anchor": "middle" }));
  field.prepend(clip);
  drawn.append(field);
  return drawn;
}

function figure(number, label) {
  return html("div", {}, html("b", { textContent: number }), label);
}

function shiftFigure(shift, attribute, kind) {
  const { name, unit } = attribute;
  const n = shift.n_defined + shift.n_lost;
  if (!shift.n_frames) return figure("–", `${name}: not measured on ${kind}`);
  if (shift.change === null) return figure("–", n ? `${name}, lost in all ${n} frames` : `${name}, undefined before`);
  const lost = shift.n_lost ? `, lost in ${percent(shift.n_lost, n)} of its frames` : "";
  return figure(`${signed(shift.change, attribute)} ${unitOfShift(unit)}`, `mean shift of ${name}${lost}`);
}

// What came of it, in numbers: how many frames reached the class, and how far each attribute moved on average.
function outcome(player, sound, classPosition) {
  const hits = sound.hits[classPosition];
  const share = (part) => (hits.n ? percent(part, hits.n) : "–");
  return [
    figure(`${share(hits.before)} → ${share(hits.after)}`,
      `of ${hits.n} frames in the class ${player.classes[classPosition].name}`),
    ...player.attributes.map((attribute) => shiftFigure(sound.shifts[attribute.name], attribute, player.clip.kind)),
  ];
}

// The class and α that win most frames, of those α that may be chosen.
function strongest(player, alphas) {
  const gain = ([i, alpha]) => {
    const { before, after } = player.sounds[`class~${i}/alpha~${alpha}`].hits[i];
    return after - before;
  };
  const options = alphas.flatMap((alpha) => player.classes.map((_, i) => [i, alpha]));
  return options.reduce((best, option) => (gain(option) > gain(best) ? option : best));
}

// Labels of a spectrogram's rows, which are equally wide in log f.
function hertzMarks(low, high) {
  return [100, 300, 1000, 3000, 10000].filter((hertz) => hertz > low && hertz < 0.9 * high).map((hertz) => {
    const mark = html("span", { textContent: hertz < 1000 ? hertz : `${hertz / 1000}k` });
    mark.style.bottom = `${(100 * Math.log(hertz / low)) / Math.log(high / low)}%`;
    return mark;
  });
}

class SteeringPlayer {
  constructor(root, players) {
    Object.assign(this, { root, players, player: players[0], classNames: {} });
    [this.position, this.alpha] = strongest(this.player, this.player.alphas);
    this.sides = { original: this.find("[data-side=original]"), steered: this.find("[data-side=steered]") };
    root.hidden = false;
    const audios = Object.values(this.sides).map((side) => side.querySelector("audio"));
    this.leader = shareTime(audios, (time) => {
      root.style.setProperty("--at", Math.min(time / this.player.clip.duration_s, 1));
    });
    root.addEventListener("click", (event) => this.seek(event));
    this.show();
    new ResizeObserver(() => this.showCharts()).observe(this.find(".charts"));
  }

  find(selector) { return this.root.querySelector(selector); }

  cellOf(player) { return `${player.encoder}/${player.cell.name}`; }

  ofCell(cell) { return this.players.filter((player) => this.cellOf(player) === cell); }

  // The sound of what is chosen.
  get sound() { return this.player.sounds[this.alpha ? `class~${this.position}/alpha~${this.alpha}` : "sae"]; }

  get target() { return this.player.classes[this.position]; }

  // Another cell or attribute; the class last chosen for the attribute stays if it is steered to here too.
  choosePlayer(player) {
    this.classNames[this.player.attribute] = this.target.name;
    this.player = player;
    const found = player.classes.findIndex((one) => one.name === this.classNames[player.attribute]);
    this.position = found >= 0 ? found : strongest(player, this.alpha ? [this.alpha] : player.alphas)[0];
    this.show();
  }

  chooseCell(cell) {
    const found = this.ofCell(cell);
    this.choosePlayer(found.find((player) => player.attribute === this.player.attribute) ?? found[0]);
  }

  showChoices() {
    const cells = [...new Set(this.players.map((player) => this.cellOf(player)))];
    const encoders = cells.map((cell) => cell.split("/")[0]);
    const labels = new Set(encoders).size === cells.length ? encoders : cells.map((cell) => cell.replace("/", ", "));
    const own = this.ofCell(this.cellOf(this.player));
    const field = (choice) => this.find(`[data-choice=${choice}]`);
    const chosen = (change) => (value) => { Object.assign(this, change(value)); this.show(); };
    offer(field("cell"), cells.map((cell, i) => [cell, labels[i]]), this.cellOf(this.player),
      (cell) => this.chooseCell(cell));
    offer(field("attribute"), own.map(({ attribute }) => [attribute, attribute]), this.player.attribute,
      (name) => this.choosePlayer(this.ofCell(this.cellOf(this.player)).find(({ attribute }) => attribute === name)));
    offer(field("class"), this.player.classes.map((one, i) => [i, one.name]), this.position,
      chosen((position) => ({ position })));
    offer(field("alpha"), [0, ...this.player.alphas].map((alpha) => [alpha, String(alpha)]), this.alpha,
      chosen((alpha) => ({ alpha })));
  }

  showSide(side, sound, title) {
    const { encoder, cell, attribute, frequency_range_hz: range } = this.player;
    const folder = `steering/${encoder}/${cell.name}/${attribute}/`;
    const [heading, audio, image] = ["h3 span", "audio", "img"].map((selector) => side.querySelector(selector));
    heading.textContent = title + (sound.n_clipped ? ` (${sound.n_clipped} samples clipped)` : "");
    image.setAttribute("src", folder + sound.png);
    image.alt = `Spectrogram: ${title}`;
    audio.setAttribute("aria-label", title);
    swap(audio, folder + sound.wav);
    side.querySelector(".hertz").replaceChildren(html("span", { textContent: "Hz", className: "unit" }),
      ...hertzMarks(...range));
  }

  showCharts() {
    const boxes = [...this.find(".charts").children];
    const { original, sae } = this.player.sounds;
    const sounds = [["original", original], ["sae", sae], ...(this.alpha ? [["steered", this.sound]] : [])];
    boxes.forEach((box, i) => {
      const attribute = this.player.attributes[i];
      const target = attribute.name === this.player.attribute ? this.target : null;
      const lines = sounds.map(([name, sound]) => [name, sound.tracks[attribute.name]]);
      box.querySelector("svg")?.remove();
      box.prepend(chart(this.player, attribute, lines, target, Math.max(box.clientWidth, 200)));
    });
  }

  showText() {
    const { encoder, cell, clip, attributes, level_range_dbfs: levels } = this.player;
    const key = (name, text) => html("span", {}, html("i", { className: `swatch ${name}` }), text);
    this.find(".outcome").replaceChildren(...outcome(this.player, this.sound, this.position));
    this.find(".keys").replaceChildren(key("original", "original"), key("sae", "autoencoder alone"),
      ...(this.alpha ? [key("steered", "steered")] : []), key("target", "the class steered to"));
    this.find(".charts").replaceChildren(...attributes.map((attribute) => html("div",
      { className: "chart plot", title: "Click to go there" },
      html("div", { className: "playhead" }),
      html("p", {}, html("b", { textContent: attribute.name }), ` ${attribute.unit}`))));
    const compared = this.alpha ? "the steered sound with the autoencoder" : "the autoencoder with the original";
    this.find(".excerpt").textContent = `${clip.clip_id} (${[clip.kind, clip.instrument].filter(Boolean).join(", ")}), `
      + `${clip.duration_s.toFixed(1)} s from ${clip.start_s.toFixed(1)} s; ${encoder}, cell “${cell.name}”: `
      + `n_features ${cell.dim}, λ ${cell.lam}. Numbers compare ${compared}: means over the 10 ms frames in which both `
      + `are defined. Spectrograms: ${levels.map(plain).join(" to ")} dBFS, dark to bright, for all alike.`;
  }

  show() {
    const alpha = `α\u00a0=\u00a0${this.alpha}`;
    this.root.dataset.steered = this.alpha ? "yes" : "no";
    this.showChoices();
    this.showSide(this.sides.original, this.player.sounds.original, "Original");
    this.showSide(this.sides.steered, this.sound,
      this.alpha ? `${this.player.attribute} → ${this.target.name}, ${alpha}` : `Autoencoder alone, ${alpha}`);
    this.showText();
    this.showCharts();
  }

  // A click on a spectrogram or chart goes to that time.
  seek(event) {
    const plot = event.target.closest(".plot");
    if (!plot) return;
    const audio = plot.closest(".side")?.querySelector("audio") ?? this.leader();
    const box = plot.getBoundingClientRect();
    const share = (event.clientX - box.left - CHART.left) / (box.width - CHART.left - CHART.right);
    audio.currentTime = Math.min(Math.max(share, 0), 1) * this.player.clip.duration_s;
  }
}

const steeringData = document.getElementById("steering-data");
if (steeringData) new SteeringPlayer(document.getElementById("player"), JSON.parse(steeringData.textContent));

// ---- Generation: the strip of another prompt. All of them are in the page, in templates, so that none is loaded before.

function chooseAmongPrompts(strip) {
  const select = strip.querySelector("select"), templates = strip.querySelectorAll("template");
  const show = () => {
    const chosen = templates[select.selectedIndex];
    strip.querySelector(".prompt").textContent = chosen.dataset.text;
    // a sound whose player leaves the page falls silent
    strip.querySelector(".cells").replaceChildren(chosen.content.cloneNode(true));
  };
  strip.querySelector("label").hidden = templates.length < 2;
  select.addEventListener("change", show);
  if (select.selectedIndex > 0) show(); // what was chosen before the page was loaded anew
}

document.querySelectorAll(".strip").forEach(chooseAmongPrompts);

// One clip at a time.
document.addEventListener("play", (event) => {
  document.querySelectorAll("audio").forEach((audio) => audio !== event.target && audio.pause());
}, true);
