/* The tour and the ways to break it. Each step moves the controls itself. */

const DEFAULTS = { levels: [2, 3], p: 3, s: 1, border: "zero", ratio: 0.01, selection: "greedy", b: 9, sigma: 4 };

/* [a sentence, the part of the page it is about, settings, which photograph] */
const TOUR = [
  ["This photograph of a wall has a scratch, and nobody ever showed PatchCore a scratch.", "photograph", {}, 4],
  ["All it was shown is eight good photographs; each blue square is a patch of them that it remembers.", "thumbs", {}, 4],
  ["A network trained on other pictures turns every place into a list of numbers, one for each channel.", "tiles", {}, 4],
  ["A patch is the mean over p × p neighbouring cells, so it knows a little of what is around it.", "vectors", { p: 5 }, 4],
  ["Its distance to the nearest patch remembered says how new it is: the scratch has no like.", "pair", {}, 4],
  ["Put back in their places, the distances are the anomaly map, and the largest of them makes the score.", "map", {}, 4],
  ["The threshold is the highest score of good photographs that were kept apart: what crosses it is an alarm.", "axis", {}, 4],
  ["Choose the 1 % at random instead, and rare good patches may be forgotten: watch the covering distance, and what changes sides.", "thumbs", { selection: "random" }, 4],
];

/* [button, settings, what to look at] */
const BREAKS = [
  ["p = 9", { p: 9 }, "Each patch is now the mean over 81 cells, so what a small defect changes is spread thin."],
  ["clip at the border", { border: "clip" }, "Cells past the border are left out of the mean instead of counting as zeros: look at the scores of good photographs, and where their maps are brightest."],
  ["random 1 %", { selection: "random" }, "The same number of patches, chosen by chance: look at how far the worst covered patch now is."],
  ["b = 2", { b: 2 }, "Only two neighbours of m* remain in eq. (7), so w lies between ½ and 1: look at how much of s* is taken away."],
  ["level 4", { levels: [4] }, "The deepest level has 7 × 7 cells and channels made for naming things: look at how coarse the map is."],
];

let stop = null;

function connectLessons() {
  const toggle = (button, section) => {
    get(button).addEventListener("click", () => {
      get(section).hidden = !get(section).hidden;
      get(button).setAttribute("aria-expanded", !get(section).hidden);
    });
  };
  toggle("break-button", "breaks");
  toggle("code-button", "code");
  const what = document.createElement("p");
  what.id = "break-text";
  what.setAttribute("role", "status");
  what.textContent = "One setting is changed, the others are as in the beginning. Which photographs change sides?";
  for (const [name, settings, text] of BREAKS) {
    const button = Object.assign(document.createElement("button"), { textContent: name, type: "button" });
    button.addEventListener("click", () => attempt(() => broken(settings, text)));
    get("breaks").append(button, " ");
  }
  const mend = Object.assign(document.createElement("button"), { textContent: "as before", type: "button" });
  mend.addEventListener("click", () => attempt(() => ready.then(() => change(DEFAULTS))));
  get("breaks").append(mend, what);
  get("tour-button").addEventListener("click", () => attempt(() => show(0)));
  get("story-next").addEventListener("click", () => attempt(() => show(stop + 1)));
  get("story-back").addEventListener("click", () => attempt(() => show(stop - 1)));
  get("story-close").addEventListener("click", close);
  addEventListener("keydown", (event) => event.key === "Escape" && close());
  get("copy").addEventListener("click", async () => {
    await navigator.clipboard.writeText(get("code-text").textContent);
    get("copied").textContent = "copied";
  });
}

/** From the defaults to one changed setting; then in words what it did to the scores. */
async function broken(settings, text) {
  await ready;
  await change(DEFAULTS);
  await need("scores");
  await change(settings);
  get("break-text").textContent = text;
}

async function show(step) {
  await ready;
  if (step >= TOUR.length) return close();
  stop = step;
  const [text, part, settings, photographNumber] = TOUR[step];
  get("story").hidden = false;
  get("story-text").textContent = text;
  get("story-count").textContent = `${step + 1} of ${TOUR.length}`;
  get("story-back").disabled = step === 0;
  get("story-next").textContent = step === TOUR.length - 1 ? "Finish" : "Next";
  light(part);
  await change({ ...DEFAULTS, source: "brick", ...settings });
  if (state.selected !== photographNumber) await select(photographNumber);
}

function light(part) {
  for (const lit of document.querySelectorAll(".lit")) lit.classList.remove("lit");
  if (!part) return;
  get(part).classList.add("lit");
  get(part).scrollIntoView({ block: "nearest" });
}

function close() {
  if (stop === null) return;
  stop = null;
  get("story").hidden = true;
  light(null);
  get("tour-button").focus();
}
