/* The controls, the drop areas and the camera: what the user does there changes the state. */

let camera = null;

/* [setting, legend, values, what it does] */
const CONTROLS = [
  ["source", "photographs", SOURCES, "Photographs: good ones fill the bank, other good ones set the threshold, and the rest are test images. Your own stay on this page."],
  ["levels", "levels j of the network", [1, 2, 3, 4], "Levels j: the feature maps whose numbers make up a patch embedding. A deeper level sees more of the photograph, on a coarser grid."],
  ["p", "p, cells across a patch", offered.p, "Patch size p: a patch embedding is the mean over p × p neighbouring cells; with p = 1 it is the cell alone."],
  ["s", "stride s, in cells", offered.s, "Stride s: a patch is taken only at every s-th cell, down and across; with s = 4, about a sixteenth of them."],
  ["border", "past the border", offered.border, "Cells past the border: with zero they count as zeros; with clip the mean is over the cells inside; with valid, patches that reach past it are left out."],
  ["ratio", "good patches kept", [0.01, 0.1, 1], "Good patches kept: the share that is remembered in the memory bank. With fewer, the search is faster, but rare ones may be forgotten."],
  ["selection", "selection", ["greedy", "random"], "Selection: greedy always takes the patch farthest from those it already has, so rare ones are kept; random draws them by chance."],
  ["b", "b, neighbours in the score’s weight", [1, 2, 5, 9, 20], "Neighbours b: m* and the b − 1 entries nearest to it count in the weight w of the score s; with b = 1, w is 1."],
  ["sigma", "σ of the smoothing, pixels", offered.sigma, "Smoothing σ: the width, in pixels, of the Gaussian that smooths the anomaly map. The score s is computed before the smoothing, so it does not change."],
];
const WORDS = { files: "your files", 0.01: "1 %", 0.1: "10 %" };

function connect() {
  for (const [name, title, values, help] of CONTROLS) {
    const group = Object.assign(document.createElement("fieldset"), { id: `group-${name}` });
    group.innerHTML = `<legend>${title}</legend><div class="choices"></div>`;
    group.setAttribute("aria-describedby", `help-${name}`);
    get("help").append(Object.assign(document.createElement("span"), { id: `help-${name}`, textContent: help, hidden: true }));
    for (const type of ["pointerover", "focusin"]) group.addEventListener(type, () => explain(name));
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
  const colours = Array.from({ length: 9 }, (_, i) => MAP_COLOURS[Math.min(255, 32 * i)]);
  const css = (colour) => `rgb(${colour & 255}, ${(colour >> 8) & 255}, ${colour >> 16})`;
  get("bar").querySelector("i").style.background = `linear-gradient(90deg, ${colours.map(css).join()})`;
  get("photograph").style.backgroundImage = `url(${KNOWN.first.photograph})`;
  get("map").style.backgroundImage = `url(${KNOWN.first.map})`;
  get("map-high").textContent = "";
  get("course").hidden = !KNOWN.course;
  for (const id of ["verdict", "outcome"]) get(id).innerHTML = inWords(KNOWN.first.score, KNOWN.first.threshold);
  connectBrush();
  connectFiles();
  connectLessons();
  addEventListener("resize", draw);
  // On a phone the controls are a strip; it fades where more of them follow.
  const strip = get("controls");
  const fade = () => strip.classList.toggle("more", strip.scrollLeft + strip.clientWidth < strip.scrollWidth - 4);
  strip.addEventListener("scroll", fade);
  new ResizeObserver(fade).observe(strip);
}

/** Show this control's help in the line under the controls. */
function explain(name) {
  for (const line of get("help").children) line.hidden = line.id !== `help-${name}`;
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

/** Run an action; if it fails, the page says why, and the controls show the settings that still hold. */
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
  const { shownSource, settings: { source } } = state;
  const borrowed = source !== shownSource;
  document.body.classList.toggle("borrowed", borrowed);
  get("borrowed").hidden = !borrowed;
  get("borrowed").textContent = `${WORDS[shownSource] ?? shownSource} is still shown until you ${source === "camera" ? "take" : "choose"} pictures`;
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
  Object.assign(state, { selected: i, strokes: [], painted: null, cell: null, held: false });
  drawTools();
  return need("judge");
}

/** A good photograph to paint on: one that raises no alarm, if there is one. */
async function selectGood() {
  const { test } = state.groups;
  const good = test.filter((one) => kind(one) === "good");
  const quiet = good.find((one) => alarms()?.get(one) === false) ?? good[0];
  if (!quiet) throw new Error("None of the test images is known to be good.");
  get("photograph").scrollIntoView({ block: "nearest" });
  await select(test.indexOf(quiet));
}

function drawTools() {
  for (const id of ["undo", "clear"]) get(id).disabled = !state.strokes.length;
  remember();
}

/** Strokes survive a reload of the tab; the settings are in the address. */
function remember() {
  const { settings: { source }, selected, strokes } = state;
  try {
    sessionStorage.setItem("painted", JSON.stringify({ source, selected, strokes }));
  } catch {
    // A private window may have no storage. Then painting starts afresh.
  }
}

/** The photograph and the strokes of this tab before it was reloaded, or null. */
function remembered() {
  try {
    const before = JSON.parse(sessionStorage.getItem("painted"));
    return before?.source === state.settings.source && before.strokes.length ? before : null;
  } catch {
    return null;
  }
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
  // A file dropped elsewhere would open in place of this page.
  addEventListener("dragover", (event) => event.preventDefault());
  addEventListener("drop", (event) => {
    if (event.defaultPrevented) return;
    event.preventDefault();
    tell("Choose “your files”, and drop photographs on one of the two areas that appear.");
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
  if (!files.length) return; // nothing was chosen, or what was dropped is not a file
  await ready;
  const progress = (done, of) => {
    get("own-text").textContent = `reading ${done} of ${of}`;
  };
  const { good, wrong } = await fromFiles(engine, files, defect, progress);
  if (good.length) own[which] = good; // otherwise the earlier ones stay
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

/** Ten good pictures fill the bank and set the threshold; then the camera's pictures are scored as they come. */
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
  get("live-text").textContent = "The map follows the camera. Show it a defect.";
  let last = performance.now();
  while (camera === mine && shown() === live) {
    state.painted = await mine.frame();
    await need("judge");
    const now = performance.now();
    get("live-text").textContent = `The map follows the camera, ${number(1000 / (now - last))} pictures per second. Show it a defect.`;
    last = now;
    await new Promise(requestAnimationFrame);
  }
}
