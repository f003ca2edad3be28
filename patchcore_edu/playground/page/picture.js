/* The linked pictures: one patch on its way from the photograph to the score. Each part draws what is in the state. */

const COLOURS = KNOWN.colours;
const UNITS = 336; // across the square pictures, 1.5 for each pixel of the photograph
const scaleOf = (pixels) => (pixels * UNITS) / SIDE;

/** The selected cell: [h, w] on the grid of patches. */
function cell() {
  const { verdict, cell: at } = state;
  if (at && at[0] < verdict.height && at[1] < verdict.width) return at;
  return [Math.floor(verdict.patch / verdict.width), verdict.patch % verdict.width];
}

/** Where the k-th row or column of the grid begins in the photograph, in pixels. "valid" has no cells at the rim. */
const corner = (k) => (k * state.bank.settings.s + rim()) * stride();
const stride = () => KNOWN.levels[state.bank.settings.levels[0]].stride;
const rim = () => (state.bank.settings.border === "valid" ? Math.floor(state.bank.settings.p / 2) : 0);

/** The row or column of the grid at a place in the photograph. */
const rowAt = (pixel, rows) =>
  Math.min(rows - 1, Math.max(0, Math.floor((pixel / stride() - rim()) / state.bank.settings.s)));

/** The square of a cell and of its N_p, in units of the square pictures. */
function squares([h, w]) {
  const { settings } = state.bank;
  const reach = Math.floor(settings.p / 2);
  const [top, left] = [corner(h), corner(w)];
  const square = (y, x, side) => [scaleOf(x), scaleOf(y), scaleOf(side), scaleOf(side)];
  return {
    cell: square(top, left, stride()),
    neighbourhood: square(top - reach * stride(), left - reach * stride(), (2 * reach + 1) * stride()),
    /** The pixels that can change the mean over N_p at a level. */
    field: (level) => {
      const { cells, first, side, stride: step } = KNOWN.levels[level];
      const scale = (KNOWN.levels[settings.levels[0]].cells - 2 * rim()) / (cells - 2 * rim());
      const below = [h, w].map((k) => Math.floor((k * settings.s) / scale) + rim());
      const [y, x] = below.map((k, axis) => (k - reach) * step + first[axis]);
      return square(y, x, side + 2 * reach * step);
    },
  };
}

function draw() {
  if (!state.verdict) return;
  drawPhotograph();
  drawMap();
  drawRest();
}

/** Draw what explains the map. */
function drawRest() {
  if (!state.verdict) return;
  drawFeatures();
  drawNearest();
  drawSupport();
  drawScores();
}

/** The selected cell has changed: draw everything but the scores. */
function drawCell() {
  if (!state.verdict) return;
  drawPhotograph();
  drawFeatures();
  drawNearest();
  drawMap();
}

function drawPhotograph(pixels = state.verdict.pixels) {
  const context = stage(get("photograph"), UNITS);
  context.imageSmoothingEnabled = true;
  context.drawImage(photographRaster(pixels), 0, 0, UNITS, UNITS);
  if (!state.verdict) return;
  const [h, w] = cell();
  const { p, levels } = state.bank.settings;
  const { cell: square, neighbourhood, field } = squares([h, w]);
  const seen = levels.findLast((level) => field(level)[2] < UNITS);
  if (seen) frame(context, field(seen), "#222", 1.2, [5, 4]);
  frame(context, neighbourhood, COLOURS.neighbourhood, 2);
  frame(context, square, COLOURS.query, 2);
  frameEntry(context);
  get("farthest").disabled = !state.held;
  const who = shown();
  get("photograph").setAttribute("aria-label", `${who.name}. Cell row ${h}, column ${w}. Arrow keys move it, space paints.`);
  get("photograph-text").innerHTML =
    `<b>${escaped(who.name)}</b>. The ${state.held ? "held " : ""}patch at <i>(h, w)</i> = (${h}, ${w}) is <span class="query">one cell</span> of the grid; ` +
    `its embedding is the mean over <span class="neighbourhood">${term("neighbourhood", `N<sub>${p}</sub>`)}</span>, ${p === 1 ? "only itself" : `${p} × ${p} cells`}. ` +
    (seen ? `Dashed: the pixels that can change it at level ${seen}. ` : "") +
    (seen === levels.at(-1) ? "" : `The ${term("field", "receptive field")} of level ${levels.at(-1)} is larger than the photograph.`);
}

/** The cells whose nearest entry in the bank is the one pointed at. */
const cellsOf = (entry) => [...state.verdict.index.keys()].filter((k) => state.verdict.index[k] === entry);

function frameEntry(context) {
  const { width } = state.verdict;
  for (const k of cellsOf(state.entry)) {
    frame(context, squares([Math.floor(k / width), k % width]).cell, COLOURS.nearest, 1.5);
  }
}

/** How much each number of the patch embedding adds to the squared distance to m*, largest first. */
function shares([h, w]) {
  const { patches, index, width } = state.verdict;
  const { kept: entries, dim } = state.bank;
  const at = h * width + w;
  const row = index[at];
  const parts = Array.from({ length: dim }, (_, k) => {
    const test = patches[at * dim + k];
    const near = entries[row * dim + k];
    return { k, test, near, share: (test - near) ** 2 };
  });
  const total = parts.reduce((sum, { share }) => sum + share, 0) || 1;
  for (const part of parts) part.share /= total;
  return parts.sort((a, b) => b.share - a.share);
}

/** The level and channel that number k of a patch embedding comes from. */
function channel(k) {
  for (const level of state.bank.settings.levels) {
    const { channels } = KNOWN.levels[level];
    if (k < channels) return { level, c: k };
    k -= channels;
  }
}

const TILES = 6;

function drawFeatures() {
  const at = cell();
  const top = shares(at).slice(0, TILES);
  const tiles = figuresIn(get("tiles"), top.length);
  top.forEach((part, i) => {
    const { level, c } = channel(part.k);
    const { data, dims } = state.verdict.phi[level];
    const [, , height, width] = dims;
    const values = data.subarray(c * height * width, (c + 1) * height * width);
    const [canvas, caption] = tiles[i];
    const context = stage(canvas, 100);
    context.drawImage(coloured(values, width, height, Math.min(...values), Math.max(...values), FEATURE_COLOURS), 0, 0, 100, 100);
    const [x, y, w, h] = squares(at).neighbourhood.map((units) => (units * 100) / UNITS);
    frame(context, [x, y, w, h], COLOURS.neighbourhood, 1.5);
    canvas.setAttribute("aria-label", `Level ${level}, channel ${c}`);
    caption.innerHTML =
      `level ${level}, no. ${c}<br><span class="query">${number(part.test)}</span> here<br>` +
      `<span class="nearest">${number(part.near)}</span> in m*`;
  });
  drawVectors(at);
  const share = top.reduce((sum, part) => sum + part.share, 0);
  const { dim } = state.bank;
  get("features-text").innerHTML =
    `A ${term("embedding", "patch embedding")} is <b>${dim} numbers</b>. These ${TILES} ${term("channel", "channels")} make up ${number(100 * share, 0)} % of the squared ` +
    "distance between this patch and its nearest entry. Bright: large values.";
}

/** The lowest level's part of the embedding: a line of numbers for each cell of N_p, then their mean. */
function drawVectors([h, w]) {
  const { settings, dim, kept: entries } = state.bank;
  const { data, dims } = state.verdict.phi[settings.levels[0]];
  const [, channels, height, width] = dims;
  const reach = Math.floor(settings.p / 2);
  const rows = [];
  const [row, column] = [h, w].map((k) => k * settings.s + rim());
  for (let a = row - reach; a <= row + reach; a++) {
    for (let b = column - reach; b <= column + reach; b++) {
      const inside = a >= 0 && b >= 0 && a < height && b < width;
      rows.push(inside ? (c) => data[(c * height + a) * width + b] : () => 0);
    }
  }
  const at = h * state.verdict.width + w;
  const mean = (c) => state.verdict.patches[at * dim + c];
  const near = (c) => entries[state.verdict.index[at] * dim + c];
  const all = Float32Array.from([...rows, mean, near].flatMap((value) => Array.from({ length: channels }, (_, c) => value(c))));
  const picture = coloured(all, channels, rows.length + 2, all.reduce(smaller), all.reduce(larger), FEATURE_COLOURS);
  const [thick, gap] = [14, 5];
  const context = stage(get("vectors"), UNITS, 72 + 2 * (thick + gap) + 2);
  const part = (from, many, y, high) => context.drawImage(picture, 0, from, channels, many, 0, y, UNITS - 84, high);
  part(0, rows.length, 0, 72);
  part(rows.length, 1, 72 + gap, thick);
  part(rows.length + 1, 1, 72 + 2 * gap + thick, thick);
  context.font = "12px system-ui, sans-serif";
  context.textBaseline = "middle";
  const words = [[COLOURS.neighbourhood, rows.length === 1 ? "1 cell" : `${rows.length} cells`, 36]];
  words.push([COLOURS.query, "their mean", 72 + gap + 7], [COLOURS.nearest, "m*", 72 + 2 * gap + 21]);
  for (const [colour, text, down] of words) {
    context.fillStyle = colour;
    context.fillRect(UNITS - 80, down - 5, 4, 10);
    context.fillStyle = getComputedStyle(document.body).color;
    context.fillText(text, UNITS - 72, down);
  }
  get("vectors-text").textContent =
    `Level ${settings.levels[0]}: ${channels} numbers of each cell in N\u209a, side by side; below them their mean, and m*.`;
}

const brightest = () => Math.max(...[...state.scores.values()].map(({ top }) => top), 1e-6);

function drawMap() {
  if (!state.verdict) return;
  const high = state.scores.size ? brightest() : Math.max(...state.verdict.map);
  const context = stage(get("map"), UNITS);
  context.imageSmoothingEnabled = true;
  if (state.verdict.high !== high) {
    state.verdict.high = high;
    state.verdict.raster = coloured(state.verdict.map, SIDE, SIDE, 0, high, MAP_COLOURS);
  }
  context.drawImage(state.verdict.raster, 0, 0, UNITS, UNITS);
  frame(context, squares(cell()).cell, COLOURS.query, 2);
  frameEntry(context);
  get("map-high").textContent = number(high);
  get("map-text").innerHTML =
    `The distance of every patch, put back in its place, upsampled and smoothed with <i>σ</i> = ${state.settings.sigma} pixels. ` +
    "One scale for all photographs: bright is far from everything remembered." +
    offGrid();
  const { score: s } = state.verdict;
  get("verdict").innerHTML = inWords(s, state.threshold) + beforePainting();
  get("verdict").classList.toggle("alarm", state.threshold !== null && s > state.threshold);
  drawOutcome();
}

/** Why the glow may not be on the frame: upsampling ignores the stride, and the cells left out at the rim. */
function offGrid() {
  const { width, height } = state.verdict;
  if (width * stride() === SIDE) return "";
  return (
    ` It is upsampled, as in the paper, as if its grid of ${height} × ${width} patches covered the photograph evenly; ` +
    "so the glow of a patch may lie beside its frame."
  );
}
