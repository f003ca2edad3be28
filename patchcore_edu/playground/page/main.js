/* The page's state, and the one loop that brings everything up to date. */

const engine = new Engine();
const state = {
  settings: { ...KNOWN.start },
  groups: { bank: [], held: [], test: [] },
  shownSource: KNOWN.start.source, // where these are from; the source in the settings may have none yet
  selected: KNOWN.selected,
  strokes: [], // on the selected photograph
  painted: null, // its pixels with the strokes on them
  bank: null, // what `fit` returned
  verdict: null, // what `judge` returned for the photograph shown
  scores: new Map(), // photograph → {score, top}
  threshold: null,
  cover: null, // the distance of each patch of the good photographs to the memory bank
  radius: null, // the largest of these
  cell: null, // [h, w], the cell pointed at; null for the farthest patch
  held: false, // whether that cell stays selected when the pointer moves
  entry: null, // the row of the bank pointed at
  before: null, // {scores, threshold, alarms, cover} before the last change, if all had scores then
};

const todo = { fit: false, judge: false, scores: false, radius: false };
let working = null;

/** Ask for work. Only the newest request is done; what it makes needless is skipped. */
function need(...what) {
  for (const name of what) todo[name] = true;
  working ??= work().finally(() => {
    working = null;
  });
  return working;
}

async function work() {
  try {
    for (;;) {
      if (todo.fit) await fit();
      else if (todo.judge) await judgeSelected();
      else if (todo.scores) await judgeNext();
      else if (todo.radius) await findRadius();
      else break;
    }
  } catch (error) {
    Object.assign(todo, { fit: false, judge: false, scores: false, radius: false });
    tell(error.message);
    throw error;
  }
}

/* The engine keeps the feature maps of photographs with a key: it needs their pixels only once, until it forgets. */
let seen = new Set();
const asked = ({ key, pixels }) => (seen.has(key) ? { key } : { key, pixels });

async function fit() {
  todo.fit = false;
  get("outcome").textContent = "scoring …";
  await engine.deepen(state.settings.levels);
  const { settings, groups } = state;
  const known = seen;
  const bank = await engine.ask("fit", { photographs: groups.bank.map(asked), settings });
  for (const { key } of groups.bank) known.add(key);
  Object.assign(state, { bank: { ...bank, settings, photographs: groups.bank }, cover: null, radius: null, verdict: null, entry: null });
  forgetScores();
  Object.assign(todo, { judge: true, scores: true, radius: true });
}

const judgement = async (one, details) => {
  const { b, sigma } = state.settings;
  const known = seen;
  const verdict = await engine.ask("judge", { photograph: asked(one), details, b, sigma });
  if (one.key !== null) known.add(one.key);
  return verdict;
};

const shown = () => state.groups.test[state.selected];

/* Resolves when the first photograph has its score and is drawn. */
let drawn;
const firstDrawn = new Promise((resolve) => {
  drawn = resolve;
});

async function judgeSelected() {
  todo.judge = false;
  const one = shown();
  const { bank } = state;
  if (!one || !bank) return;
  const pixels = state.painted ?? one.pixels;
  const judging = judgement({ key: state.painted ? null : one.key, pixels }, true);
  if (!bank.drawn) drawBank(); // while the engine works
  const verdict = await judging;
  if (state.bank !== bank) return; // other photographs were chosen meanwhile
  verdict.pixels = pixels;
  state.verdict = verdict;
  drawPhotograph();
  drawMap();
  setTimeout(drawRest); // the map comes first
  drawn();
}

function forgetScores() {
  state.scores.clear();
  state.threshold = null;
}

const score = (verdict) => ({ score: verdict.score, top: verdict.map.reduce(larger) });

async function judgeNext() {
  const { held, test } = state.groups;
  const next = [...held, ...test].find((one) => !state.scores.has(one));
  if (next) {
    const verdict = score(await judgement(next, false));
    if (!todo.fit) state.scores.set(next, verdict);
    get("scores-text").textContent = `scoring ${state.scores.size} of ${held.length + test.length}`;
    drawOutcome();
    return;
  }
  todo.scores = false;
  state.threshold = held.length ? Math.max(...held.map((one) => state.scores.get(one).score)) : null;
  drawScores();
  drawMap();
}

async function findRadius() {
  todo.radius = false;
  state.cover = await engine.ask("cover");
  state.radius = state.cover.reduce(larger);
  drawBank();
}

/** Change settings; resolves when the bank is filled and the photograph shown has its score. */
async function change(settings) {
  const next = checked({ ...state.settings, ...settings });
  const moved = Object.keys(next).filter((name) => String(next[name]) !== String(state.settings[name]));
  const source = moved.includes("source");
  state.settings = next;
  if (moved.length) state.before = source ? null : judged();
  drawControls();
  history.replaceState(null, "", toFragment(next));
  if (source) await openSource(next.source);
  else if (moved.every((name) => name === "b" || name === "sigma")) {
    forgetScores();
    await need("judge", "scores");
  } else await need("fit");
}

async function openSource(source, before) {
  camera?.close();
  camera = null;
  get("own").hidden = source !== "files";
  get("live").hidden = source !== "camera";
  const bundle = source === "files" || source === "camera" ? KNOWN.start.source : source;
  // Until the user's own photographs are there, the earlier ones stay.
  const first = { selected: KNOWN.selected, source: bundle };
  if (bundle === source) await take(await bundled(bundle), before ?? first);
  else if (!state.bank) await take(await bundled(bundle), first);
  if (source === "files") await drawOwn();
  if (source === "camera") await openCamera();
}

/** Switch to these photographs. */
async function take(groups, { selected = 0, strokes = [], source = state.settings.source } = {}) {
  seen = new Set();
  await engine.ask("forget");
  Object.assign(state, { groups, shownSource: source, selected, strokes, cell: null, held: false, entry: null, verdict: null, bank: null });
  state.painted = painted();
  forgetScores();
  drawTools();
  drawControls();
  await need("fit");
}

/** Which photographs raise an alarm; null before all have scores. */
function alarms() {
  const { scores, threshold, groups } = state;
  if (threshold === null || !groups.test.every((one) => scores.has(one))) return null;
  return new Map(groups.test.map((one) => [one, scores.get(one).score > threshold]));
}

/** The current scores, threshold, alarms and cover; null before all have scores. */
function judged() {
  const { scores, threshold, cover } = state;
  return alarms() && { scores: new Map(scores), threshold, alarms: alarms(), cover };
}

/** The theme chosen in the course's pages, if one was. */
function theme() {
  try {
    return localStorage.getItem("theme");
  } catch {
    return null; // from file:// or in a private window there may be no storage
  }
}

/** Once loaded: the settings of the address, and the first bank. */
async function start() {
  const { settings, nonsense } = fromFragment(location.hash);
  state.settings = settings;
  drawControls();
  await engine.start(showProgress);
  showProgress(0.8, "reading the photographs");
  // The scores of the other photographs follow one by one. The page is ready even without a camera.
  const opened = openSource(settings.source, remembered());
  await Promise.race([firstDrawn, opened]);
  showProgress(1, "");
  document.body.classList.add("ready");
  attempt(() => opened);
  if (nonsense.length) tellNonsense(nonsense);
}

const tellNonsense = (nonsense) =>
  tell(`The address held ${nonsense.join(" and ")}, which is not a setting; it was ignored.`);

// In a frame of the course's pages, there is only room for what responds to the brush.
document.body.classList.toggle("embedded", window !== window.parent);
document.documentElement.style.colorScheme = theme() ?? "";

connect();
const ready = start().catch((error) => {
  showProgress(null, error.message);
  throw error;
});
ready.catch(() => {});

addEventListener("hashchange", () =>
  attempt(async () => {
    const { settings, nonsense } = fromFragment(location.hash);
    await ready;
    await change(settings);
    if (nonsense.length) tellNonsense(nonsense);
  }),
);

window.patchcore = {
  ready,
  set: async (settings) => {
    await ready;
    await change(settings);
  },
  get bank() {
    return state.bank && { rows: state.bank.rows, picks: Array.from(state.bank.picks) };
  },
  judge: async (pixels) => {
    await ready;
    if (!(pixels instanceof Float32Array) || pixels.length !== 3 * PLANE) {
      throw new Error(`pixels must be a Float32Array of ${3 * PLANE} numbers in [0, 1], plane by plane`);
    }
    if (pixels.some((x) => !(x >= 0 && x <= 1))) throw new Error("pixels held values outside [0, 1]");
    return judgement({ key: null, pixels }, false);
  },
  state,
};
