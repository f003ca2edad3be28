/* The controls, the brush on the canvas, the drop areas and the camera: what one does becomes a change of the state. */

let camera = null;

const CONTROLS = [
  ["source", "photographs", SOURCES],
  ["levels", "levels j of the network", [1, 2, 3, 4]],
  ["p", "p, cells across a patch", offered.p],
  ["s", "s, stride", offered.s],
  ["border", "past the border", offered.border],
  ["ratio", "kept of the bank", [0.01, 0.1, 1]],
  ["selection", "chosen", ["greedy", "random"]],
  ["b", "b, neighbours in s", [1, 2, 5, 9, 20]],
  ["sigma", "σ, pixels", offered.sigma],
];
const WORDS = { files: "your files", 0.01: "1 %", 0.1: "10 %" };

function connect() {
  for (const [name, title, values] of CONTROLS) {
    const group = document.createElement("fieldset");
    group.innerHTML = `<legend>${title}</legend><div class="choices"></div>`;
    for (const value of values) {
      const label = document.createElement("label");
      const input = Object.assign(document.createElement("input"), {
        type: name === "levels" ? "checkbox" : "radio",
        name,
        value,
      });
      const text = document.createElement("span");
      text.textContent = (name === "ratio" && value === 1 ? "all" : WORDS[value]) ?? value;
      label.append(input, text);
      group.lastChild.append(label);
      input.addEventListener("change", () => chosen(name, value));
    }
    get("controls").append(group);
  }
  get("controls").addEventListener("submit", (event) => event.preventDefault());
  const strip = Array.from({ length: 9 }, (_, i) => INFERNO[Math.min(255, 32 * i)]);
  const css = (colour) => `rgb(${colour & 255}, ${(colour >> 8) & 255}, ${colour >> 16})`;
  get("bar").querySelector("i").style.background = `linear-gradient(90deg, ${strip.map(css).join()})`;
  get("photograph").style.backgroundImage = `url(${KNOWN.first.photograph})`;
  get("map").style.backgroundImage = `url(${KNOWN.first.map})`;
  get("map-high").textContent = "";
  get("course").hidden = !KNOWN.course;
  get("verdict").innerHTML = `s = <b>${number(KNOWN.first.score)}</b>, highest of good photographs <b>${number(KNOWN.first.threshold)}</b>`;
  connectBrush();
  connectFiles();
  connectLessons();
  addEventListener("resize", draw);
}

async function chosen(name, value) {
  await attempt(async () => {
    await ready;
    if (name === "levels") {
      const levels = [...get("controls").querySelectorAll("[name=levels]:checked")].map((input) => Number(input.value));
      if (!levels.length) {
        drawControls();
        throw new Error("At least one level is needed.");
      }
      value = levels;
    }
    await change({ [name]: value });
  });
}

/** Run it; what goes wrong is said on the page, and the controls show what holds. */
async function attempt(action) {
  try {
    tell(null);
    return await action();
  } catch (error) {
    tell(error.message);
    drawControls();
  }
}

function drawControls() {
  for (const input of get("controls").querySelectorAll("input")) {
    const value = state.settings[input.name];
    input.checked = input.name === "levels" ? value.includes(Number(input.value)) : String(value) === input.value;
  }
  get("code-text").textContent = inPython(state.settings);
  get("code-about").textContent = aboutPython(state.settings);
}

function tell(text) {
  get("message").hidden = !text;
  get("message").textContent = text ?? "";
}

function showProgress(part, text) {
  if (part !== null) get("progress").value = part;
  get("loading-text").textContent = text;
}

function select(i) {
  Object.assign(state, { selected: i, strokes: [], painted: null, cell: null });
  drawTools();
  return need("judge");
}

function drawTools() {
  for (const id of ["undo", "clear"]) get(id).disabled = !state.strokes.length;
  remember();
}

/** What is painted outlives a tab that is loaded again; the settings stand in the address. */
function remember() {
  const { settings: { source }, selected, strokes } = state;
  try {
    sessionStorage.setItem("painted", JSON.stringify({ source, selected, strokes }));
  } catch {
    // A private window may have no storage. Then painting starts afresh.
  }
}

/** The photograph and the strokes of this tab before it was loaded again, or null. */
function remembered() {
  try {
    const before = JSON.parse(sessionStorage.getItem("painted"));
    return before?.source === state.settings.source && before.strokes.length ? before : null;
  } catch {
    return null;
  }
}

/** The place [x, y] of an event in a canvas, of `units` across. */
function placeIn(canvas, event, units) {
  const box = canvas.getBoundingClientRect();
  const at = (k) => Math.min(units - 1, Math.max(0, Math.floor(k * units)));
  return [at((event.clientX - box.left) / box.width), at((event.clientY - box.top) / box.height)];
}

function pointAt([x, y]) {
  if (!state.verdict) return;
  state.cell = [rowAt(y, state.verdict.height), rowAt(x, state.verdict.width)];
  drawCell();
}

/** Tells `over(canvas, event)` what is pointed at in a part of the page; null when nothing is any more. */
function connectPointing(id, over) {
  for (const type of ["pointerdown", "pointermove"]) {
    get(id).addEventListener(type, (event) => event.target.matches("canvas") && over(event.target, event));
  }
  // A finger that is lifted leaves, too; what it touched stays.
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
  // The map and the feature maps show the whole photograph, too.
  for (const id of ["photograph", "map", "tiles"]) {
    connectPointing(id, (canvas, event) => {
      if (canvas) return pointAt(placeIn(canvas, event, SIDE));
      if (stroke || !state.cell) return;
      state.cell = null;
      drawCell();
    });
  }
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
    follow();
  });
  const end = () => {
    if (stroke && stroke.path.length > 1) state.strokes.push(stroke);
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
      pointAt([middle(w + right), middle(h + down)]);
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
  get("clear").addEventListener("click", () => {
    state.strokes = [];
    repaint();
  });
}

const own = { good: [], test: [] };

function connectFiles() {
  for (const [which, defect] of [["good", "good"], ["test", "unknown"]]) {
    const area = get(`drop-${which}`);
    const add = (files) => attempt(() => addFiles(which, defect, files));
    get(`${which}-files`).addEventListener("change", (event) => add(event.target.files));
    area.addEventListener("dragover", (event) => {
      event.preventDefault();
      area.classList.add("over");
    });
    area.addEventListener("dragleave", () => area.classList.remove("over"));
    area.addEventListener("drop", (event) => {
      event.preventDefault();
      area.classList.remove("over");
      add(event.dataTransfer.files);
    });
  }
  // A file that is dropped elsewhere would be opened in the place of this page.
  addEventListener("dragover", (event) => event.preventDefault());
  addEventListener("drop", (event) => {
    if (event.defaultPrevented) return;
    event.preventDefault();
    tell("Choose “your files”, and drop photographs on one of the two fields that appear.");
  });
  addEventListener("beforeunload", (event) => {
    if (own.good.length || own.test.length || camera) event.preventDefault(); // the browser asks first
  });
  get("shoot").addEventListener("click", () => attempt(shoot));
  get("replay").addEventListener("click", replay);
  get("count").addEventListener("input", () => {
    if (!state.bank) return;
    drawPicks(Number(get("count").value));
    pointAtEntry(Number(get("count").value) - 1);
  });
  get("count").addEventListener("blur", () => pointAtEntry(null));
}

async function addFiles(which, defect, files) {
  if (!files.length) return; // nothing was chosen, or what was dropped is no file
  await ready;
  const progress = (done, of) => {
    get("own-text").textContent = `reading ${done} of ${of}`;
  };
  const { good, wrong } = await fromFiles(engine, files, defect, progress);
  if (good.length) own[which] = good; // else those from before stay
  await drawOwn();
  if (wrong) tell(wrong);
}

async function drawOwn() {
  const { held, bank } = parted(own.good);
  const counts = `${own.good.length} good (${bank.length} for the bank, ${held.length} held out for the threshold), ${own.test.length} to test.`;
  if (own.good.length < 2 || !own.test.length) {
    get("own-text").textContent = `${counts} Choose at least two good ones, and one to test. They stay on this page.`;
    return;
  }
  get("own-text").textContent = counts;
  await take({ bank, held, test: own.test });
}

async function openCamera() {
  const opened = new Camera(engine, get("video"), (text) => {
    camera = null;
    get("live-text").textContent = "The camera sends no picture.";
    tell(text);
  });
  await opened.open();
  camera = opened;
}

/** Ten good pictures fill the bank and set the threshold; then the camera's pictures are judged as they come. */
async function shoot() {
  if (!camera) await openCamera();
  const mine = camera;
  const good = [];
  for (let i = 0; i < 10 && camera === mine; i++) {
    get("live-text").textContent = `picture ${i + 1} of 10: move it a little`;
    good.push(photograph(await mine.frame(), `picture ${i + 1}`, "good"));
    await new Promise((resolve) => setTimeout(resolve, 300));
  }
  if (camera !== mine) return;
  const { held, bank } = parted(good);
  const live = photograph(await mine.frame(), "the camera", "unknown");
  await take({ bank, held, test: [live] });
  get("live-text").textContent = "The map follows the camera. Put something wrong in view.";
  let last = performance.now();
  while (camera === mine && shown() === live) {
    state.painted = await mine.frame();
    await need("judge");
    const now = performance.now();
    get("live-text").textContent = `The map follows the camera, ${number(1000 / (now - last))} pictures per second. Put something wrong in view.`;
    last = now;
    await new Promise(requestAnimationFrame);
  }
}
