/* Pointing at a patch, holding it, and the brush, on the pictures of the page. */

/** The place [x, y] of an event in a canvas, of `units` across. */
function placeIn(canvas, event, units) {
  const box = canvas.getBoundingClientRect();
  const at = (k) => Math.min(units - 1, Math.max(0, Math.floor(k * units)));
  return [at((event.clientX - box.left) / box.width), at((event.clientY - box.top) / box.height)];
}

/** Select the cell at a place in the photograph. A cell that is held stays until it is let go, or another is held. */
function pointAt([x, y], hold = false) {
  if (!state.verdict || (state.held && !hold)) return;
  state.held = hold;
  state.cell = [rowAt(y, state.verdict.height), rowAt(x, state.verdict.width)];
  drawCell();
}

/** Back to the farthest patch. */
function letGo() {
  Object.assign(state, { cell: null, held: false });
  drawCell();
}

/** Call `over(canvas, event)` when a canvas in a part of the page is pointed at, and `over(null)` when none is any more. */
function connectPointing(id, over) {
  for (const type of ["pointerdown", "pointermove"]) {
    get(id).addEventListener(type, (event) => event.target.matches("canvas") && over(event.target, event));
  }
  // Lifting a finger counts as leaving, too; what it touched stays selected.
  get(id).addEventListener("pointerleave", (event) => event.pointerType !== "touch" && over(null));
}

/** The photograph's pixels with the strokes on them, or null if there are none. */
const painted = () =>
  state.strokes.length ? state.strokes.reduce((pixels, stroke) => paint(pixels, SIDE, stroke), shown().pixels) : null;

function repaint() {
  state.painted = painted();
  drawTools();
  return need("judge");
}

const TREMBLE = 3; // pixels of the photograph

function connectBrush() {
  const canvas = get("photograph");
  const at = (event) => placeIn(canvas, event, SIDE);
  const brush = (path) => ({
    path,
    brush: Number(get("brush-size").value),
    grey: Number(get("brush-grey").value),
    smear: get("brush-kind").value === "smear",
  });
  let below = null; // the photograph under the stroke that is being drawn
  let stroke = null;
  let dragged = false;
  // The map and the feature maps show the whole photograph, too.
  for (const id of ["photograph", "map", "tiles"]) {
    connectPointing(id, (canvas, event) => {
      if (canvas) return pointAt(placeIn(canvas, event, SIDE));
      if (!stroke && !state.held && state.cell) letGo();
    });
    get(id).addEventListener("click", (event) => {
      if (event.target.matches("canvas") && !dragged) pointAt(placeIn(event.target, event, SIDE), true);
    });
  }
  get("farthest").addEventListener("click", letGo);
  addEventListener("keydown", (event) => event.key === "Escape" && letGo());
  addEventListener("pointerdown", () => (dragged = false), true);
  connectPointing("thumbs", (canvas, event) =>
    pointAtEntry(canvas && entryAt([...get("thumbs").children].indexOf(canvas), placeIn(canvas, event, 100))),
  );
  const follow = () => {
    state.painted = paint(below, SIDE, stroke);
    drawPhotograph(state.painted);
    need("judge").catch(() => {});
  };
  canvas.addEventListener("pointerdown", (event) => {
    if (!state.verdict || camera) return;
    canvas.setPointerCapture(event.pointerId);
    below = state.painted ?? shown().pixels;
    stroke = brush([at(event)]);
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!stroke) return;
    const place = at(event);
    const last = stroke.path.at(-1);
    if (last[0] === place[0] && last[1] === place[1]) return;
    stroke.path.push(place);
    // A hand that trembles while it clicks paints nothing.
    dragged ||= Math.hypot(place[0] - stroke.path[0][0], place[1] - stroke.path[0][1]) >= TREMBLE;
    if (dragged) follow();
  });
  const end = () => {
    if (stroke && dragged) state.strokes.push(stroke);
    stroke = null;
    drawTools();
  };
  canvas.addEventListener("pointerup", end);
  canvas.addEventListener("pointercancel", end);
  const MOVES = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
  canvas.addEventListener("keydown", (event) => {
    if (!state.verdict) return;
    const [h, w] = cell();
    const middle = (k) => Math.round(corner(k) + stride() / 2);
    if (event.key in MOVES) {
      const [down, right] = MOVES[event.key];
      pointAt([middle(w + right), middle(h + down)], true);
    } else if (event.key === " ") {
      const [y, x] = [middle(h), middle(w)];
      state.strokes.push(brush([[x, y]]));
      repaint();
    } else return;
    event.preventDefault();
  });
  get("brush-kind").addEventListener("change", () => {
    get("grey-label").hidden = get("brush-kind").value === "smear";
  });
  get("undo").addEventListener("click", () => {
    state.strokes.pop();
    repaint();
  });
  get("good").addEventListener("click", () => attempt(() => ready.then(selectGood)));
  get("clear").addEventListener("click", () => {
    state.strokes = [];
    repaint();
  });
}
