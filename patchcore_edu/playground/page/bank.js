/* The memory bank: the good photographs, the patches that are remembered of them, and the nearest one. */

/** Where a kept row was seen: the number of its photograph, and its cell. */
function origin(row) {
  const { picks, height, width } = state.bank;
  const patch = picks[row];
  const place = patch % (height * width);
  return { image: Math.floor(patch / (height * width)), at: [Math.floor(place / width), place % width] };
}

const MOST_SHOWN = 8;

/** The good photographs, and on them the first `count` of the patches that are remembered. */
function drawPicks(count) {
  const { photographs, picks, height, width, distance } = state.bank;
  const thumbs = get("thumbs");
  const most = Math.min(photographs.length, MOST_SHOWN);
  if (thumbs.photographs !== photographs) {
    thumbs.photographs = photographs;
    thumbs.replaceChildren(...photographs.slice(0, most).map(() => document.createElement("canvas")));
  }
  const seen = photographs.map(() => []);
  for (const [row, patch] of picks.subarray(0, count).entries()) seen[Math.floor(patch / (height * width))].push(row);
  photographs.slice(0, most).forEach((one, i) => {
    const canvas = thumbs.children[i];
    const context = stage(canvas, 100);
    context.imageSmoothingEnabled = true;
    context.drawImage(photographRaster(one.pixels), 0, 0, 100, 100);
    context.fillStyle = "rgba(255, 255, 255, .35)";
    context.fillRect(0, 0, 100, 100);
    context.fillStyle = COLOURS.coreset;
    for (const row of seen[i]) {
      const [h, w] = origin(row).at;
      const size = picks.length > 300 ? 2.5 : 5;
      const middle = (k) => ((corner(k) + stride() / 2) * 100) / SIDE;
      context.fillRect(middle(w) - size / 2, middle(h) - size / 2, size, size);
    }
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", `Good photograph ${i + 1}: ${seen[i].length} of its patches are kept`);
  });
  get("count").max = picks.length;
  get("count").value = count;
  const far = distance && count > 1 ? `: ${number(distance[count - 1])} from the nearest pick before it, after the projection ψ` : "";
  get("count-text").textContent = `pick ${count.toLocaleString("en-GB")} of ${picks.length.toLocaleString("en-GB")}${far}`;
}

/** Let the picks appear one by one, in the order chosen. */
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
    (state.radius === null ? "" : `The worst covered patch is <b>${number(state.radius)}</b> from them.`) +
    more;
  drawNearest();
}

/** A photograph around a cell, framed, in a square canvas. */
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

function drawNearest() {
  if (!state.verdict || !state.bank) return;
  const at = cell();
  const { index, distance, width, pixels, sStar, patch, score: s, support } = state.verdict;
  const k = at[0] * width + at[1];
  const { image, at: place } = origin(index[k]);
  closeUp(get("query-patch"), pixels, at, COLOURS.query);
  closeUp(get("nearest-patch"), state.bank.photographs[image].pixels, place, COLOURS.nearest);
  get("distance").textContent = number(distance[k]);
  [...get("thumbs").children].forEach((canvas, i) => canvas.classList.toggle("holds", i === image));
  get("nearest-text").innerHTML =
    `Its nearest entry <span class="nearest">m*</span> is from good photograph ${image + 1}, cell (${place.join(", ")}). ` +
    (k === patch
      ? `This is the patch farthest from the bank: s* = ${number(sStar)}. ` +
        `<i>w</i> = ${number(s / (sStar || 1), 3)}, from the ${support.length} entries nearest to m*, gives s = ${number(s)}.`
      : `The patch farthest from the bank is at (${Math.floor(patch / width)}, ${patch % width}).`);
}
