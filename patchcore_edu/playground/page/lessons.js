/* The tour and the ways to break it. Each step moves the controls itself. */

const DEFAULTS = { levels: [2, 3], p: 3, s: 1, border: "zero", ratio: 0.01, selection: "greedy", b: 9, sigma: 4 };

/* [a sentence, the part of the page it is about, settings, which photograph, what to add when all are scored] */
const TOUR = [
  ["This photograph of a wall has a scratch, and PatchCore has never been shown a scratch.", "photograph", {}, 4],
  ["It has only been shown eight good photographs. Watch it choose: each blue square is a patch that it remembers.", "thumbs", {}, 4],
  ["A network trained on other pictures turns each place into a list of numbers, one for each channel.", "tiles", {}, 4],
  ["A patch embedding is the mean over p × p neighbouring cells: with p = 5 instead of 3, it covers more of its surroundings, and a thin scratch weighs less.", "vectors", { p: 5 }, 4, () => `Here ${wentBoth()}. The next step returns to p = ${DEFAULTS.p}.`],
  ["Its distance to the nearest remembered patch says how unusual it is: no remembered patch resembles the scratch.", "pair", {}, 4],
  ["Put back in their places, the distances form the anomaly map, not yet smoothed (σ = 0); the largest of them, times a weight w near 1, is the score s of the photograph.", "map", { sigma: 0 }, 4],
  ["The threshold is the highest score of good photographs that were held out: anything above it is an alarm.", "axis", {}, 4],
  ["A rare good patch that is forgotten looks as unusual as a defect. Here the 62 patches are drawn at random: one good patch is farther from them than any was before, the threshold rises, and a blob is missed.", "axis", { selection: "random" }, 4, forgotten],
];

/* [button, settings, what to look at]. The trials are on other crops of the wall; tests/playground/test_lessons.py repeats them. */
const BREAKS = [
  ["p = 9", { p: 9 }, "Each patch is now the mean over 81 cells. All distances shrink to less than half, those of good photographs too, and little stands out. In eight trials on other crops of the brick wall, 2 to 16 of 24 defects are found; with p = 3 it is 20 to 24."],
  ["clip at the border", { border: "clip" }, "Cells past the border are left out of the mean, so at the rim it is over 4 or 6 cells instead of 9. Now the farthest patch of good photographs lies at the rim, and the threshold rises above most defects. In eight trials on other crops of the brick wall, 4 to 15 of 24 defects are found; with zeros it is 20 to 24."],
  ["random 1 %", { selection: "random" }, "The same number of patches, chosen at random: the worst covered patch is now farther from the bank. In eight trials on other crops of the brick wall, with four draws each, 9 to 24 of 24 defects are found; the greedy choice finds 20 to 24."],
  ["b = 2", { b: 2 }, "Only m* itself and one neighbour count in eq. (7), so w can fall to ½, while with b = 9 it stays near 1. It lowers the scores of some good photographs and of some defects. In eight trials on other crops of the brick wall, 15 to 24 of 24 defects are found, never more than with b = 9, where it is 20 to 24."],
  ["level 4", { levels: [4] }, "The deepest level has only 7 × 7 cells, each of which sees the whole photograph. In eight trials on other crops of the brick wall, 10 to 20 of 24 defects are found; with levels 2 and 3 it is 20 to 24."],
];

let stop = null;

function connectLessons() {
  // One is open at a time, so that the photograph stays in view.
  const parts = [["break-button", "breaks"], ["code-button", "code"]];
  const open = (which) => {
    for (const [button, section] of parts) {
      get(section).hidden = section !== which;
      get(button).setAttribute("aria-expanded", section === which);
    }
  };
  for (const [button, section] of parts) get(button).addEventListener("click", () => open(get(section).hidden ? section : null));
  const shut = (button) => () => {
    open(null);
    get(button).focus();
  };
  get("code-close").addEventListener("click", shut("code-button"));
  const what = document.createElement("p");
  what.id = "break-text";
  what.setAttribute("role", "status");
  what.textContent = "One setting changes, the others keep their defaults. Which photographs cross the threshold?";
  for (const [name, settings, text] of BREAKS) {
    const button = Object.assign(document.createElement("button"), { textContent: name, type: "button" });
    button.addEventListener("click", () => attempt(() => broken(settings, text)));
    get("breaks").append(button, " ");
  }
  const mend = Object.assign(document.createElement("button"), { textContent: "defaults", type: "button" });
  mend.addEventListener("click", () => attempt(() => ready.then(() => change(DEFAULTS))));
  const closing = Object.assign(document.createElement("button"), { textContent: "Close", type: "button", id: "break-close" });
  closing.addEventListener("click", shut("break-button"));
  get("breaks").append(mend, " ", closing, what);
  get("tour-button").addEventListener("click", () => attempt(() => show(0)));
  get("story-next").addEventListener("click", () => attempt(() => show(stop + 1)));
  get("story-back").addEventListener("click", () => attempt(() => show(stop - 1)));
  get("story-close").addEventListener("click", close);
  addEventListener("keydown", (event) => event.key === "Escape" && close());
  get("copy").addEventListener("click", async () => {
    getSelection().selectAllChildren(get("code-text"));
    try {
      await navigator.clipboard.writeText(get("code-text").textContent);
      get("copied").textContent = "copied";
    } catch {
      get("copied").textContent = "This browser does not let pages copy. The code is selected: copy it with the keyboard."; // without https
    }
  });
}

/** From the defaults to one changed setting; all photographs are scored before and after. */
async function fromDefaults(settings, source = state.settings.source) {
  const start = { ...DEFAULTS, source };
  const there = Object.entries(start).every(([name, value]) => String(state.settings[name]) === String(value));
  if (!there || !alarms() || !state.cover) {
    const step = stop;
    await change(start);
    await need("scores");
    if (stop !== step) return;
  }
  await changeAndReveal(settings);
}

/** Change settings, and bring the first one's control and its help into view. */
function changeAndReveal(settings, rest = {}) {
  const [name] = Object.keys(settings);
  if (name) {
    explain(name);
    const group = get(`group-${name}`);
    get("controls").scrollTo({ left: group.offsetLeft - (get("controls").clientWidth - group.offsetWidth) / 2 });
  }
  return change({ ...rest, ...settings });
}

/** Change settings, then say what that did to the scores. */
async function broken(settings, text) {
  await ready;
  await fromDefaults(settings);
  get("break-text").innerHTML = `On the photographs below: ${counted()}<br>${text}`;
}

async function show(step) {
  await ready;
  if (step >= TOUR.length) return close();
  stop = step;
  const [text, part, settings, photographNumber, added] = TOUR[step];
  get("story").hidden = false;
  get("story-text").textContent = text;
  get("story-added").textContent = "";
  get("forgotten").hidden = true;
  get("story-count").textContent = `${step + 1} of ${TOUR.length}`;
  get("story-back").disabled = step === 0;
  get("story-next").textContent = step === TOUR.length - 1 ? "Finish" : "Next";
  light(part);
  await (added ? fromDefaults(settings, "brick") : changeAndReveal(settings, { ...DEFAULTS, source: "brick" }));
  if (state.held) letGo();
  if (state.selected !== photographNumber) await select(photographNumber);
  if (part === "thumbs") replay();
  // Say nothing to a reader who has moved on, or changed something meanwhile.
  if (!added || stop !== step || !state.before?.cover || !alarms() || !state.cover) return;
  get("story-added").innerHTML = added();
  light(part);
}

/** The score of this photograph, and the threshold, before and after. */
function wentBoth() {
  const { scores, threshold } = state.before;
  const score = went(scores.get(shown()).score, state.scores.get(shown()).score, "the score s");
  return `${score}, and ${went(threshold, state.threshold, "the threshold")}`;
}

/** The good patch that is now farthest from what is remembered, as a picture; and what the change did. */
function forgotten() {
  const patch = state.cover.indexOf(state.radius);
  const { image, at } = whereIs(patch);
  get("forgotten").hidden = false;
  closeUp(get("forgotten").firstElementChild, state.bank.photographs[image].pixels, at, COLOURS.query);
  get("forgotten").lastElementChild.innerHTML =
    `This patch of good photograph ${image + 1} is <b>${number(state.before.cover[patch])}</b> from the nearest remembered ` +
    `with the greedy choice, <b>${number(state.radius)}</b> with the random one.`;
  return counted();
}

function light(part) {
  for (const lit of document.querySelectorAll(".lit")) lit.classList.remove("lit");
  if (!part) return;
  get(part).classList.add("lit");
  // Below the tour's sentence, which stays at the top.
  document.documentElement.style.scrollPaddingTop = `${get("story").offsetHeight + 10}px`;
  get(part).scrollIntoView({ block: "nearest" });
}

function close() {
  if (stop === null) return;
  stop = null;
  get("story").hidden = true;
  light(null);
  get("tour-button").focus();
}
