/* The memory bank: the good photographs, the patches kept from them, and the nearest one. */

/** Where a kept row comes from: the number of its photograph, and its cell. */
const origin = (row) => whereIs(state.bank.picks[row]);

function whereIs(patch) {
  const { height, width } = state.bank;
  const place = patch % (height * width);
  return { image: Math.floor(patch / (height * width)), at: [Math.floor(place / width), place % width] };
}

/** Where a kept row is in the thumbnail of its photograph, which has 100 × 100 units. */
const middle = (row) => origin(row).at.toReversed().map((k) => ((corner(k) + stride() / 2) * 100) / SIDE);

const MOST_SHOWN = 8;

/** Draw the good photographs, and on them the first `count` of the patches that are kept. */
function drawPicks(count) {
  const { photographs, picks, height, width, distance } = state.bank;
  const thumbs = get("thumbs");
  const most = Math.min(photographs.length, MOST_SHOWN);
  if (thumbs.photographs !== photographs) {
    thumbs.photographs = photographs;
    thumbs.replaceChildren(...photographs.slice(0, most).map(() => document.createElement("canvas")));
  }
  thumbs.count = count;
  const seen = photographs.map(() => []);
  for (const [row, patch] of picks.subarray(0, count).entries()) seen[Math.floor(patch / (height * width))].push(row);
  photographs.slice(0, most).forEach((one, i) => {
    const canvas = thumbs.children[i];
    const context = stage(canvas, 100);
    context.imageSmoothingEnabled = true;
    context.drawImage(photographRaster(one.pixels), 0, 0, 100, 100);
    context.fillStyle = "rgba(255, 255, 255, .35)";
    context.fillRect(0, 0, 100, 100);
    const size = picks.length > 300 ? 2.5 : 5;
    for (const row of seen[i]) {
      const [x, y] = middle(row);
      const wide = row === state.entry ? 10 : size;
      context.fillStyle = row === state.entry ? COLOURS.nearest : COLOURS.coreset;
      context.fillRect(x - wide / 2, y - wide / 2, wide, wide);
    }
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", `Good photograph ${i + 1}: ${seen[i].length} of its patches are kept`);
  });
  get("count").max = picks.length;
  get("count").value = count;
  const far = distance && count > 1 ? `: ${number(distance[count - 1])} from the nearest earlier pick, after the projection ${term("projection", "ψ")}` : "";
  get("count-text").innerHTML = `pick ${count.toLocaleString("en-GB")} of ${picks.length.toLocaleString("en-GB")}${far}`;
}

/** The reverse: show the patches of the photograph that have this row of the bank as their nearest; null shows none. */
function pointAtEntry(row) {
  if (state.entry === row || !state.verdict) return;
  state.entry = row;
  drawPicks(get("thumbs").count);
  drawPhotograph();
  drawMap();
  if (row === null) return drawNearest();
  const { image, at } = origin(row);
  const found = cellsOf(row).length;
  get("nearest-text").innerHTML =
    `You are pointing at the patch at (${at.join(", ")}) of good photograph ${image + 1}. It is the <span class="nearest">nearest entry</span> ` +
    `for ${found} of the ${state.verdict.index.length} patches of the test image${found ? ": see the frames" : ""}.`;
}

/** The kept row nearest to a place [x, y] in the thumbnail of good photograph i, or null. */
function entryAt(i, [x, y]) {
  let best = null;
  let least = Infinity;
  for (let row = 0; row < get("thumbs").count; row++) {
    if (origin(row).image !== i) continue;
    const [a, b] = middle(row);
    const far = (a - x) ** 2 + (b - y) ** 2;
    if (far < least) [best, least] = [row, far];
  }
  return best;
}

/** Show the picks one by one, in the order chosen. */
async function replay() {
  const { bank } = state;
  if (!bank) return;
  const start = performance.now();
  const lasting = Math.min(8000, 150 * bank.picks.length);
  for (let count = 0; count < bank.picks.length && state.bank === bank; ) {
    count = Math.min(bank.picks.length, 1 + Math.floor((bank.picks.length * (performance.now() - start)) / lasting));
    drawPicks(count);
    await new Promise(requestAnimationFrame);
  }
}

function drawBank() {
  if (!state.bank) return;
  state.bank.drawn = true;
  const { photographs, picks, rows, distance } = state.bank;
  drawPicks(picks.length);
  const greedy = distance ? "picked one by one, always the one farthest from those picked before" : "picked at random";
  const chosen = picks.length === rows ? "all kept" : greedy;
  const more = photographs.length > MOST_SHOWN ? ` The first ${MOST_SHOWN} of ${photographs.length} photographs are shown.` : "";
  get("bank-text").innerHTML =
    `<b>${rows.toLocaleString("en-GB")} patches</b> of ${photographs.length} good photographs; ` +
    `<span class="coreset">${picks.length.toLocaleString("en-GB")} are remembered</span>, ${chosen}. ` +
    (state.radius === null ? "" : `The worst covered patch is <b>${number(state.radius)}</b> away from them.`) +
    more;
  drawNearest();
}

/** Draw the part of a photograph around a cell, with the cell framed, in a square canvas. */
function closeUp(canvas, pixels, at, colour) {
  const context = stage(canvas, 100);
  const around = 80; // pixels of the photograph
  const { cell: square, neighbourhood } = squares(at);
  const middle = [square[0] + square[2] / 2, square[1] + square[3] / 2].map((units) => (units * SIDE) / UNITS);
  const [left, top] = middle.map((k) => Math.min(Math.max(k - around / 2, 0), SIDE - around));
  const zoom = 100 / around;
  context.imageSmoothingEnabled = true;
  context.drawImage(photographRaster(pixels), left, top, around, around, 0, 0, 100, 100);
  const place = ([x, y, w, h]) => [
    ((x * SIDE) / UNITS - left) * zoom, ((y * SIDE) / UNITS - top) * zoom, (w * zoom * SIDE) / UNITS, (h * zoom * SIDE) / UNITS,
  ];
  frame(context, place(neighbourhood), COLOURS.neighbourhood, 1.2);
  frame(context, place(square), colour, 2);
}

const MOST_NEIGHBOURS = 10;

/** Eq. (7): N_b(m*) of the farthest patch, as photographs, and how far each is from that patch. */
function drawSupport() {
  const { support, reach, score: s, sStar } = state.verdict;
  figuresIn(get("support"), Math.min(support.length, MOST_NEIGHBOURS)).forEach(([canvas, caption], i) => {
    const { image, at } = origin(support[i]);
    closeUp(canvas, state.bank.photographs[image].pixels, at, i ? COLOURS.coreset : COLOURS.nearest);
    canvas.setAttribute("aria-label", `Good photograph ${image + 1}, cell ${at.join(", ")}`);
    caption.textContent = number(reach[i]);
  });
  const more = support.length > MOST_NEIGHBOURS ? ` The first ${MOST_NEIGHBOURS} are shown.` : "";
  get("support-text").innerHTML =
    support.length === 1
      ? "b = 1: no neighbours of m* count, <i>w</i> = 1."
      : `${term("support", "N<sub>b</sub>(m*)")}: m* and its neighbours in the bank, each with its distance <i>d</i> from the farthest patch. By eq. (7), ` +
        "<i>w</i> = 1 − e<sup><i>d</i>(m*)</sup> / Σ e<sup><i>d</i>(m)</sup>, the sum over all of them: the farther the others are " +
        `than m*, the nearer <i>w</i> is to 1. Here it is <b>${number(s / (sStar || 1), 3)}</b>.${more}`;
}

function drawNearest() {
  if (!state.verdict || !state.bank) return;
  const at = cell();
  const { index, distance, width, pixels, sStar, patch, score: s } = state.verdict;
  const k = at[0] * width + at[1];
  const { image, at: place } = origin(index[k]);
  closeUp(get("query-patch"), pixels, at, COLOURS.query);
  closeUp(get("nearest-patch"), state.bank.photographs[image].pixels, place, COLOURS.nearest);
  get("distance").textContent = number(distance[k]);
  [...get("thumbs").children].forEach((canvas, i) => canvas.classList.toggle("holds", i === image));
  get("nearest-text").innerHTML =
    `Its nearest entry <span class="nearest">${term("nearest", "m*")}</span> is from good photograph ${image + 1}, cell (${place.join(", ")}). ` +
    (k === patch
      ? `This is the patch farthest from the bank: its distance is s* = ${number(sStar)}, and the score s = ${term("weight", "<i>w</i>")} · s* = ${number(s)}.`
      : `The patch farthest from the bank is at (${Math.floor(patch / width)}, ${patch % width}).`);
}
