"use strict";
// Folds, and words on them. The data is made by vidfold.show.page.
// A cell is counted through the video: frame * N + its row-major place.

const [DROPPED, TOKEN, SAME, EARLIER, LATER, UNKNOWN] = [0, 1, 2, 3, 4, 5];

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

let data, cells;

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
