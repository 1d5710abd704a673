// Panels and controls: choosing a cell by mouse, touch and keyboard.

const LISTED = 12; // sources that are listed before the rest is asked for
const ROLES = [
  [TOKEN, "a token stands here"],
  [SAME, "went into a token of its own frame"],
  [EARLIER, "went into an earlier frame"],
  [LATER, "went into a later frame"],
  [DROPPED, "dropped: no token has a part of it"],
  [UNKNOWN, "no token stands here"],
];
let steps;
const panels = [];

function choose(panel, cell, pinned) {
  if (pinned) panel.pinned = cell;
  if (panel.found?.cell === cell || (cell === null && panel.found === null)) return;
  panel.found = cell === null ? null : traced(panel.view, cell);
  const { found } = panel;
  panel.said.textContent = found
    ? told(panel.view, found)
    : "Choose a cell to see where it went, or a token to see what it is made of.";
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
  const rows = (found.stands ? [...found.parts] : found.went).sort(
    (one, other) => other[1] - one[1] || one[0] - other[0],
  );
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
  const to = (f, r, c) =>
    Math.max(0, Math.min(data.frames - 1, f)) * cells + Math.max(0, Math.min(rows - 1, r)) * columns + c;
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
  panel.found = undefined; // the choice stays and is looked up in the new fold
  choose(panel, panel.pinned);
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

function table(root, rows, texts) {
  const line = (cell, row) =>
    make(
      "tr",
      {},
      ...row.map((text, at) => make(cell, { textContent: text, className: texts.includes(at) ? "text" : "" })),
    );
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

async function start() {
  const packed = new Blob([bytes(by("data").textContent)]).stream().pipeThrough(new DecompressionStream("gzip"));
  data = await new Response(packed).json();
  cells = data.grid[0] * data.grid[1];
  if (data.skipped) data.skipped.bits = bytes(data.skipped.units);
  readColors();
  by("title").textContent = data.title;
  by("question").textContent = data.question ?? "";
  by("question").hidden = !data.question;
  by("facts").append(
    ...data.facts.map(([name, text]) =>
      make("div", {}, make("dt", { textContent: name }), make("dd", { textContent: text })),
    ),
  );
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

start().catch((error) => {
  by("title").textContent = `This browser cannot show the page: ${error.message}`;
  throw error;
});
