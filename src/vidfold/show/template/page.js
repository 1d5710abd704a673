"use strict";
// The data is made by vidfold.show.page; a cell is counted through the video: frame * N + its row-major place.

const [DROPPED, TOKEN, SAME, EARLIER, LATER, UNKNOWN] = [0, 1, 2, 3, 4, 5];
const ROLES = [
  [TOKEN, "a token stands here"],
  [SAME, "went into a token of its own frame"],
  [EARLIER, "went into an earlier frame"],
  [LATER, "went into a later frame"],
  [DROPPED, "dropped: no token has a part of it"],
  [UNKNOWN, "no token stands here"],
];
const LISTED = 12; // sources that are listed before the rest is asked for
const DIM = { [DROPPED]: 0.86, [TOKEN]: 0, [SAME]: 0.66, [EARLIER]: 0.66, [LATER]: 0.66, [UNKNOWN]: 0.72 };

const by = (id) => document.getElementById(id);
const make = (name, set = {}, ...children) => {
  const made = Object.assign(document.createElement(name), set);
  made.append(...children);
  return made;
};
const percent = (share) => `${Number((100 * share).toPrecision(3))} %`;
const whole = (value) => (value < 1000 ? `${Math.round(value)} ms` : `${(value / 1000).toFixed(1)} s`);
const total = (times) => Object.values(times).reduce((sum, each) => sum + each, 0);
const bytes = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));

let data, cells, colors, steps, panels = [];
const images = [];

// ---- Folds ----

/** The arrays of a fold, read when it is first shown. */
function read(view) {
  if (view.read) return view.read;
  const places = new Uint32Array(bytes(view.places).buffer);
  const source = new Uint32Array(bytes(view.steps).buffer);
  const token = new Uint32Array(bytes(view.token).buffer);
  const share = Float32Array.from(new Uint16Array(bytes(view.share).buffer), (fine) => Math.exp(-fine / data.fine));
  for (let edge = 1; edge < source.length; edge++) source[edge] += source[edge - 1];
  const edgesOf = Array.from(places, () => []); // of a token: numbers of its edges
  const edgesFrom = new Map(); // of a cell
  for (let edge = 0; edge < source.length; edge++) {
    edgesOf[token[edge]].push(edge);
    if (edgesFrom.has(source[edge])) edgesFrom.get(source[edge]).push(edge);
    else edgesFrom.set(source[edge], [edge]);
  }
  const counts = new Uint32Array(data.frames);
  const at = new Map(); // cell -> tokens that stand there
  places.forEach((cell, number) => {
    counts[Math.floor(cell / cells)]++;
    at.set(cell, [...(at.get(cell) ?? []), number]);
  });
  return (view.read = { places, source, token, share, edgesOf, edgesFrom, counts, at, roles: bytes(view.roles) });
}

/** What a cell is made of, if a token stands there, or else where it went: tokens, and shares of the cells in them. */
function traced(view, cell) {
  const fold = read(view);
  const stands = fold.at.get(cell);
  const gone = fold.edgesFrom.get(cell) ?? [];
  const tokens = stands ?? [...new Set(gone.map((edge) => fold.token[edge]))];
  const parts = new Map();
  for (const number of tokens) {
    for (const edge of fold.edgesOf[number]) {
      const from = fold.source[edge];
      parts.set(from, Math.max(fold.share[edge], parts.get(from) ?? 0));
    }
  }
  const went = stands ? [] : gone.map((edge) => [fold.places[fold.token[edge]], fold.share[edge]]);
  return { cell, stands: Boolean(stands), places: tokens.map((number) => fold.places[number]), parts, went };
}

// ---- Words ----

const frameOf = (cell) => Math.floor(cell / cells);
const seconds = (frame) => (data.times.length ? ` (${data.times[frame].toFixed(2)} s)` : "");

function placed(cell) {
  const [row, column] = [Math.floor((cell % cells) / data.grid[1]), (cell % cells) % data.grid[1]];
  return `frame ${frameOf(cell) + 1}, row ${row + 1}, column ${column + 1}`;
}

function told(view, found) {
  const where = placed(found.cell) + seconds(frameOf(found.cell));
  if (found.stands) {
    if (!view.known) return `Token at ${where}. What it is made of is not known: this fold has no weights.`;
    const frames = new Set([...found.parts.keys()].map(frameOf)).size;
    const many = (count, word) => `${count} ${word}${count === 1 ? "" : "s"}`;
    return `Token at ${where}, made of ${many(found.parts.size, "cell")} in ${many(frames, "frame")}.`;
  }
  if (!view.known) return `Cell at ${where}. Where it went is not known: this fold has no weights.`;
  if (!found.went.length) return `Cell at ${where}. No token has a part of it: it was dropped.`;
  const parts = found.went.map(([place, share]) => `${percent(share)} of the token at ${placed(place)}`);
  return `Cell at ${where}. It is ${parts.slice(0, 3).join(", ")}${parts.length > 3 ? " and others" : ""}.`;
}

// ---- Drawing ----

function symbol(pen, role, x, y, size) {
  pen.beginPath();
  if (role === TOKEN) {
    pen.rect(x - size, y - size, 2 * size, 2 * size);
  } else if (role === SAME) {
    pen.arc(x, y, 0.8 * size, 0, 7);
  } else if (role === EARLIER || role === LATER) {
    const to = role === EARLIER ? -size : size;
    pen.moveTo(x + to, y);
    pen.lineTo(x - to, y - size);
    pen.lineTo(x - to, y + size);
    pen.closePath();
  } else if (role === DROPPED) {
    for (const to of [-1, 1]) {
      pen.moveTo(x - size, y - to * size);
      pen.lineTo(x + size, y + to * size);
    }
  }
  if (role === TOKEN || role === DROPPED) pen.stroke();
  else pen.fill();
}

const shade = (role) => colors[["lost", "token", "same", "away", "away", "lost"][role]];

function draw(panel, frame) {
  const { canvas } = panel.cards[frame];
  const ratio = window.devicePixelRatio || 1;
  const [width, height] = [canvas.clientWidth, canvas.clientWidth / data.aspect];
  if (!width) return;
  [canvas.width, canvas.height] = [Math.round(width * ratio), Math.round(height * ratio)];
  const pen = canvas.getContext("2d");
  pen.scale(ratio, ratio);
  const image = picture(frame);
  if (image?.complete) pen.drawImage(image, 0, 0, width, height);
  else {
    pen.fillStyle = colors.soft;
    pen.fillRect(0, 0, width, height);
  }
  const [rows, columns] = data.grid;
  const [tall, wide] = [height / rows, width / columns];
  const fold = read(panel.view);
  const size = Math.min(tall, wide);
  const sharp = (length) => Math.round(length * ratio) / ratio; // cells meet on whole pixels
  const { found } = panel;
  const most = found ? Math.max(...found.parts.values()) : 1;
  for (let place = 0; place < cells; place++) {
    const cell = frame * cells + place;
    const [row, column] = [Math.floor(place / columns), place % columns];
    const [x, y] = [sharp(column * wide), sharp(row * tall)];
    const [across, down] = [sharp((column + 1) * wide) - x, sharp((row + 1) * tall) - y];
    const role = fold.roles[cell];
    pen.globalAlpha = DIM[role];
    pen.fillStyle = colors.back;
    pen.fillRect(x, y, across, down);
    pen.globalAlpha = found && !found.parts.has(cell) ? 0.35 : 1;
    pen.strokeStyle = pen.fillStyle = shade(role);
    pen.lineWidth = size > 12 ? 2 : 1;
    if (role === TOKEN) {
      pen.strokeRect(x + 1, y + 1, across - 2, down - 2);
      if (size > 12) { // a light line inside, for dark pictures
        [pen.lineWidth, pen.strokeStyle] = [1, "#fff"];
        pen.strokeRect(x + 2.5, y + 2.5, across - 5, down - 5);
      }
    } else if (size > 7) {
      symbol(pen, role, x + across / 2, y + down / 2, Math.min(5, 0.17 * size));
    }
    const share = found?.parts.get(cell);
    if (share !== undefined) {
      pen.globalAlpha = 0.1 + (0.4 * share) / most;
      pen.fillStyle = colors.mark;
      pen.fillRect(x, y, across, down);
    }
    pen.globalAlpha = 1;
    if (found && (found.cell === cell || found.places.includes(cell))) {
      pen.lineWidth = found.cell === cell ? 4 : 3;
      pen.strokeStyle = found.cell === cell ? colors.ink : colors.mark;
      pen.strokeRect(x + 2, y + 2, across - 4, down - 4);
    }
  }
  if (by("skipped").checked) hatch(pen, frame, width, height);
}

/** Lines over the units that the tower did not compute in a frame. */
function hatch(pen, frame, width, height) {
  const { grid, bits } = data.skipped;
  const [tall, wide] = [height / grid[0], width / grid[1]];
  pen.strokeStyle = colors.ink;
  pen.globalAlpha = 0.8;
  pen.lineWidth = 1;
  pen.beginPath();
  for (let place = 0; place < grid[0] * grid[1]; place++) {
    const unit = frame * grid[0] * grid[1] + place;
    if (!((bits[unit >> 3] >> (unit & 7)) & 1)) continue;
    const [x, y] = [(place % grid[1]) * wide, Math.floor(place / grid[1]) * tall];
    pen.moveTo(x, y + tall);
    pen.lineTo(x + wide, y);
  }
  pen.stroke();
  pen.globalAlpha = 1;
}

function picture(frame) {
  if (!data.pictures) return null;
  if (!images[frame]) {
    images[frame] = new Image();
    images[frame].onload = () => panels.forEach((panel) => panel.visible.has(frame) && draw(panel, frame));
    images[frame].src = `data:image/jpeg;base64,${data.pictures[frame]}`;
  }
  return images[frame];
}

function drawBars(panel) {
  const { counts } = read(panel.view);
  const most = Math.max(...counts, 1);
  const touched = new Set(panel.found ? [...panel.found.parts.keys()].map(frameOf) : []);
  const bar = (set) => {
    const made = document.createElementNS("http://www.w3.org/2000/svg", "rect");
    Object.entries(set).forEach(([name, value]) => made.setAttribute(name, value));
    return made;
  };
  const bars = Array.from(counts, (count, frame) => {
    const height = Math.max(count ? 2 : 0, (94 * count) / most);
    const fill = touched.has(frame) ? colors.mark : colors.token;
    return bar({ x: frame + 0.08, y: 100 - height, width: 0.84, height, fill });
  });
  const thin = data.frames / 400;
  const cuts = panel.view.cuts.map((cut) => bar({ x: cut - thin / 2, y: 0, width: thin, height: 100, fill: colors.ink }));
  panel.bars.setAttribute("viewBox", `0 0 ${data.frames} 100`);
  panel.bars.replaceChildren(...bars, ...cuts);
  const clips = cuts.length ? `; clips begin at frames ${[0, ...panel.view.cuts].map((cut) => cut + 1).join(", ")}` : "";
  panel.bars.setAttribute("aria-label", `Tokens a frame, ${Math.min(...counts)} to ${most}${clips}`);
}

const redraw = (panel) => panel.visible.forEach((frame) => draw(panel, frame));

// ---- Choosing a cell ----

function choose(panel, cell, pinned) {
  if (pinned) panel.pinned = cell;
  if (panel.found?.cell === cell || (cell === null && panel.found === null)) return;
  panel.found = cell === null ? null : traced(panel.view, cell);
  const { found } = panel;
  panel.said.textContent = found ? told(panel.view, found) : "Choose a cell to see where it went, or a token to see what it is made of.";
  panel.list.replaceChildren();
  panel.more.hidden = true;
  if (found) list(panel, LISTED);
  const touched = new Set(found ? [...found.parts.keys()].map(frameOf) : []);
  panel.cards.forEach(({ figure }, frame) => figure.classList.toggle("part", touched.has(frame)));
  drawBars(panel);
  redraw(panel);
}

function list(panel, most) {
  const { found } = panel;
  const rows = (found.stands ? [...found.parts] : found.went).sort((one, other) => other[1] - one[1] || one[0] - other[0]);
  panel.list.replaceChildren(
    ...rows.slice(0, most).map(([cell, share]) => {
      const button = make("button", { type: "button", textContent: placed(cell) });
      button.onclick = () => go(panel, cell);
      const row = make("li", {}, button, make("span", { className: "share", textContent: percent(share) }));
      Object.assign(row.dataset, { cell, share });
      return row;
    }),
  );
  panel.more.hidden = rows.length <= most;
  panel.more.textContent = `show all ${rows.length}`;
}

function go(panel, cell) {
  choose(panel, cell, true);
  panel.cards[frameOf(cell)].figure.scrollIntoView({ block: "nearest" });
}

function pointed(event) {
  const frame = Number(event.target.dataset.frame);
  const box = event.target.getBoundingClientRect();
  const [rows, columns] = data.grid;
  const at = (share, count) => Math.max(0, Math.min(count - 1, Math.floor(share * count)));
  const row = at((event.clientY - box.top) / box.height, rows);
  return frame * cells + row * columns + at((event.clientX - box.left) / box.width, columns);
}

function keyed(panel, event) {
  const [rows, columns] = data.grid;
  const cell = panel.pinned ?? 0;
  const [frame, row, column] = [frameOf(cell), Math.floor((cell % cells) / columns), (cell % cells) % columns];
  const to = (f, r, c) => Math.max(0, Math.min(data.frames - 1, f)) * cells + Math.max(0, Math.min(rows - 1, r)) * columns + c;
  const next = {
    ArrowLeft: () => (column ? cell - 1 : frame ? to(frame - 1, row, columns - 1) : cell),
    ArrowRight: () => (column < columns - 1 ? cell + 1 : frame < data.frames - 1 ? to(frame + 1, row, 0) : cell),
    ArrowUp: () => to(frame, row - 1, column),
    ArrowDown: () => to(frame, row + 1, column),
    PageUp: () => to(frame - 1, row, column),
    PageDown: () => to(frame + 1, row, column),
    Home: () => to(0, row, column),
    End: () => to(data.frames - 1, row, column),
    Enter: () => panel.found?.places[0] ?? cell,
    Escape: () => null,
  }[event.key];
  if (!next || event.ctrlKey || event.metaKey || event.altKey) return;
  event.preventDefault();
  const chosen = panel.pinned === null && event.key.startsWith("Arrow") ? cell : next();
  if (chosen === null) choose(panel, null, true);
  else go(panel, chosen);
}

// ---- Panels and controls ----

function addPanel() {
  const root = by("panel").content.firstElementChild.cloneNode(true);
  const part = (name) => root.querySelector(name);
  const panel = { root, view: null, found: null, pinned: null, visible: new Set(), cards: [] };
  Object.assign(panel, { head: part("h2"), told: part(".told"), bars: part(".bars"), strip: part(".strip") });
  Object.assign(panel, { said: part(".said"), list: part("ol"), more: part(".more") });
  const seen = new IntersectionObserver(
    (entries) =>
      entries.forEach(({ target, isIntersecting }) => {
        const frame = Number(target.dataset.frame);
        if (isIntersecting) {
          panel.visible.add(frame);
          draw(panel, frame);
        } else panel.visible.delete(frame);
      }),
    { rootMargin: "200px" },
  );
  for (let frame = 0; frame < data.frames; frame++) {
    const canvas = make("canvas");
    canvas.style.aspectRatio = data.aspect;
    canvas.dataset.frame = frame;
    const caption = make("figcaption");
    const figure = make("figure", {}, canvas, caption);
    panel.cards.push({ canvas, caption, figure });
    panel.strip.append(figure);
    seen.observe(canvas);
  }
  const least = data.frames > 64 ? 104 : 128;
  const wide = Math.max(least, Math.min(240, 16 * data.grid[1], 16 * data.grid[0] * data.aspect));
  panel.strip.style.setProperty("--wide", `${wide}px`);
  const over = (event) => event.target.tagName === "CANVAS";
  panel.strip.onpointermove = (event) => event.pointerType === "mouse" && over(event) && choose(panel, pointed(event));
  panel.strip.onpointerleave = () => choose(panel, panel.pinned);
  panel.strip.onclick = (event) => over(event) && choose(panel, pointed(event), true);
  panel.strip.onkeydown = (event) => keyed(panel, event);
  panel.bars.onclick = (event) => {
    const box = panel.bars.getBoundingClientRect();
    const frame = Math.floor((data.frames * (event.clientX - box.left)) / box.width);
    panel.cards[Math.min(frame, data.frames - 1)].figure.scrollIntoView({ block: "nearest" });
  };
  panel.more.onclick = () => list(panel, Infinity);
  new ResizeObserver(() => redraw(panel)).observe(panel.strip);
  by("panels").append(root);
  panels.push(panel);
}

function show(panel, view) {
  panel.view = view;
  const { counts, places } = read(view);
  const full = data.frames * cells;
  panel.head.textContent = view.details;
  panel.strip.setAttribute("aria-label", `Film strip of ${data.frames} frames, folded by ${view.details}`);
  const parts = [` of ${full} tokens (${percent(places.length / full)})`];
  if (view.answer !== null) parts.push(` · answer: “${view.answer}”`);
  const times = Object.entries(view.milliseconds);
  if (times.length) parts.push(` · ${times.map(([stage, time]) => `${stage} ${whole(time)}`).join(", ")}`);
  parts.push(...view.notes.map((note) => ` · ${note}`));
  panel.told.replaceChildren(make("b", { textContent: places.length }), parts.join(""));
  const cuts = new Set(view.cuts);
  panel.cards.forEach(({ figure, caption }, frame) => {
    figure.classList.toggle("cut", cuts.has(frame));
    caption.replaceChildren(`${frame + 1}${seconds(frame)} · `, make("b", { textContent: counts[frame] }));
  });
  const { pinned } = panel;
  panel.found = undefined;
  choose(panel, pinned, true);
  redraw(panel);
}

/** The fold of a method that is nearest to what the slider asks for. */
function nearest(method) {
  const asked = steps[by("slider").value];
  const views = data.views.filter((view) => view.method === method);
  const far = (view) => Math.abs(Math.log(view.asked / asked));
  return views.reduce((best, view) => (far(view) < far(best) ? view : best));
}

function update() {
  by("asked").textContent = percent(steps[by("slider").value]);
  by("slider").setAttribute("aria-valuetext", by("asked").textContent);
  const methods = [by("method0").value, by("method1").value].filter(Boolean);
  while (panels.length < methods.length) addPanel();
  while (panels.length > methods.length) panels.pop().root.remove();
  by("panels").classList.toggle("two", methods.length > 1);
  panels.forEach((panel, place) => show(panel, nearest(methods[place])));
  const has = new Set(panels.flatMap((panel) => [...read(panel.view).roles]));
  by("legend").replaceChildren(...ROLES.filter(([role]) => has.has(role)).map(([role, text]) => legend(role, text)));
  if (by("numbers").open) numbers();
}

function legend(role, text) {
  const canvas = make("canvas", { width: 40, height: 40, ariaHidden: "true" });
  Object.assign(canvas.style, { width: "20px", height: "20px" });
  const pen = canvas.getContext("2d");
  pen.scale(2, 2);
  pen.lineWidth = 2;
  pen.fillStyle = pen.strokeStyle = shade(role);
  symbol(pen, role, 10, 10, role === TOKEN ? 7 : 5);
  return make("li", {}, canvas, text);
}

function table(root, rows, texts) {
  const line = (cell, row) =>
    make("tr", {}, ...row.map((text, at) => make(cell, { textContent: text, className: texts.includes(at) ? "text" : "" })));
  root.querySelector("thead").replaceChildren(line("th", rows[0]));
  root.querySelector("tbody").replaceChildren(...rows.slice(1).map((row) => line("td", row)));
}

function numbers() {
  const head = ["frame", ...(data.times.length ? ["seconds"] : []), ...panels.map((panel) => panel.view.details)];
  const rows = Array.from({ length: data.frames }, (_, frame) => [
    frame + 1,
    ...(data.times.length ? [data.times[frame].toFixed(2)] : []),
    ...panels.map((panel) => read(panel.view).counts[frame]),
  ]);
  table(by("numbers"), [head, ...rows], []);
}

function answers() {
  const row = (name, kept, answer, times) => [name, kept, answer, Object.keys(times).length ? whole(total(times)) : ""];
  const folded = data.views.filter((view) => view.answer !== null);
  if (!folded.length && !data.unfolded) return;
  const full = data.frames * cells;
  const rows = folded.map((view) => row(view.details, read(view).places.length, view.answer, view.milliseconds));
  if (data.unfolded) rows.unshift(row("unfolded", full, data.unfolded.answer, data.unfolded.milliseconds));
  table(by("answers"), [["method", "tokens", "answer", "together"], ...rows], [0, 2]);
  by("answers").hidden = false;
}

function readColors() {
  const style = getComputedStyle(document.documentElement);
  const names = ["back", "ink", "soft", "token", "same", "away", "lost", "mark"];
  colors = Object.fromEntries(names.map((name) => [name, style.getPropertyValue(`--${name}`).trim()]));
}

async function start() {
  const packed = new Blob([bytes(by("data").textContent)]).stream().pipeThrough(new DecompressionStream("gzip"));
  data = await new Response(packed).json();
  cells = data.grid[0] * data.grid[1];
  if (data.skipped) data.skipped.bits = bytes(data.skipped.units);
  readColors();
  by("title").textContent = data.title;
  by("question").textContent = data.question ?? "";
  by("question").hidden = !data.question;
  by("facts").append(...data.facts.map(([name, text]) => make("div", {}, make("dt", { textContent: name }), make("dd", { textContent: text }))));
  steps = [...new Set(data.views.map((view) => view.asked))].sort((one, other) => one - other);
  by("slider").max = steps.length - 1;
  by("slider").value = steps.indexOf(data.views[0].asked);
  by("budget").hidden = steps.length < 2;
  const methods = [...new Set(data.views.map((view) => view.method))];
  const options = methods.map((name) => make("option", { value: name, textContent: name }));
  by("method0").append(...options.map((each) => each.cloneNode(true)));
  by("method1").append(make("option", { value: "", textContent: "nothing" }), ...options);
  by("method1").value = methods[1] ?? "";
  by("beside").hidden = methods.length < 2;
  by("tower").hidden = !data.skipped;
  for (const id of ["slider", "method0", "method1"]) by(id).oninput = update;
  by("skipped").onchange = () => panels.forEach(redraw);
  by("numbers").ontoggle = () => by("numbers").open && numbers();
  by("controls").onsubmit = (event) => event.preventDefault();
  window.matchMedia("(prefers-color-scheme: dark)").onchange = () => {
    readColors();
    update();
  };
  answers();
  update();
  const chosen = Number(window.location.hash.slice(1)); // report.html#44 begins at cell 44
  if (chosen > 0 && chosen < data.frames * cells) go(panels[0], chosen);
}

start();
