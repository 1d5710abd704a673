// Drawing: the frames of a panel, its bars, and the signs of the legend.

const DIM = { [DROPPED]: 0.86, [TOKEN]: 0, [SAME]: 0.66, [EARLIER]: 0.66, [LATER]: 0.66, [UNKNOWN]: 0.72 };
let colors;
const images = [];

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
      if (size > 12) {
        // a light line inside, for dark pictures
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
  const cuts = panel.view.cuts.map((cut) =>
    bar({ x: cut - thin / 2, y: 0, width: thin, height: 100, fill: colors.ink }),
  );
  panel.bars.setAttribute("viewBox", `0 0 ${data.frames} 100`);
  panel.bars.replaceChildren(...bars, ...cuts);
  const clips = cuts.length
    ? `; clips begin at frames ${[0, ...panel.view.cuts].map((cut) => cut + 1).join(", ")}`
    : "";
  panel.bars.setAttribute("aria-label", `Tokens a frame, ${Math.min(...counts)} to ${most}${clips}`);
}

const redraw = (panel) => panel.visible.forEach((frame) => draw(panel, frame));

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

function readColors() {
  const style = getComputedStyle(document.documentElement);
  const names = ["back", "ink", "soft", "token", "same", "away", "lost", "mark"];
  colors = Object.fromEntries(names.map((name) => [name, style.getPropertyValue(`--${name}`).trim()]));
}
