/* The scores of all test images, on one axis and in words. */

const kind = (one) => (one.defect === "good" ? "good" : one.defect === "unknown" ? "unknown" : "defect");

function drawScores() {
  const { held, test } = state.groups;
  const axis = get("axis");
  const known = [...held, ...test].filter((one) => state.scores.has(one));
  const values = known.map((one) => state.scores.get(one).score);
  const high = 1.08 * Math.max(...values, state.verdict?.score ?? 0, 1e-6);
  const place = (value) => `${(100 * Math.min(value, high)) / high}%`;
  if (axis.photographs !== test) {
    axis.photographs = test;
    get("dots").replaceChildren(
      ...test.map((one, i) => {
        const button = Object.assign(document.createElement("button"), { hidden: true });
        const canvas = Object.assign(document.createElement("canvas"), { width: 76, height: 76 });
        canvas.getContext("2d").drawImage(photographRaster(one.pixels), 0, 0, 76, 76);
        button.append(canvas);
        button.addEventListener("click", () => select(i));
        return button;
      }),
    );
  }
  // Until all have new scores, they stay where they were.
  const complete = known.length === held.length + test.length;
  axis.classList.toggle("waiting", !complete);
  if (!complete) return;
  const now = alarms();
  // Photographs whose scores are close are stacked.
  const lanes = [];
  const wide = 100 * (46 / (axis.clientWidth || 1000));
  const order = test.map((one, i) => [state.scores.get(one).score, i]).sort(([a], [b]) => a - b);
  for (const [value, i] of order) {
    const one = test[i];
    const button = get("dots").children[i];
    const at = (100 * value) / high;
    let lane = lanes.findIndex((end) => at - end >= wide);
    if (lane < 0) lane = lanes.length;
    lanes[lane] = at;
    const alarm = state.threshold !== null && value > state.threshold;
    button.dataset.side = side(one, now);
    button.style.left = place(value);
    button.style.bottom = `${lane * 46 + 8}px`;
    button.className = `${kind(one)}${alarm ? " alarm" : ""}${i === state.selected ? " selected" : ""}`;
    button.hidden = false;
    button.title = `${one.name}: score s = ${number(value)}`;
    const told = { "↑": ", now an alarm", "↓": ", no longer an alarm" }[side(one, now)] ?? (alarm ? ", alarm" : "");
    button.setAttribute("aria-label", `${one.name}: score ${number(value)}${told}`);
    button.setAttribute("aria-pressed", i === state.selected);
  }
  get("dots").style.height = `${Math.max(1, lanes.length) * 46 + 10}px`;
  get("held").replaceChildren(
    ...held.map((one) => {
      const tick = document.createElement("i");
      tick.style.left = place(state.scores.get(one).score);
      return tick;
    }),
  );
  const line = get("threshold");
  line.hidden = state.threshold === null;
  if (state.threshold !== null) {
    line.style.left = place(state.threshold);
    line.firstChild.textContent = `threshold ${number(state.threshold)}`;
  }
  const mark = get("now");
  mark.hidden = !(state.painted && state.verdict);
  if (!mark.hidden) {
    mark.style.left = place(state.verdict.score);
    mark.firstChild.textContent = `${camera ? "now" : "painted"} ${number(state.verdict.score)}`;
  }
  get("sides").hidden = !test.some((one) => side(one, now));
  get("axis-high").textContent = number(high, 0);
  get("scores-text").innerHTML =
    `${counted()} ` +
    (held.length
      ? `The threshold is the highest score of ${held.length} good photographs that are not in the bank.`
      : "Without held-out good photographs there is no threshold.");
}

/** A score beside the threshold, in words. */
function inWords(s, threshold) {
  const score = `score s = <b>${number(s)}</b>`;
  return threshold === null ? score : `${score}, threshold <b>${number(threshold)}</b>: ${s > threshold ? "an alarm" : "no alarm"}`;
}

/** The score before painting, and whether painting made or ended an alarm. */
function beforePainting() {
  const { scores, threshold, verdict, painted } = state;
  const one = shown();
  if (!painted || camera || !scores.has(one)) return "";
  const { score: before } = scores.get(one);
  const said = `Before you painted, its score s was <b>${number(before)}</b>`;
  if (threshold === null || before > threshold === verdict.score > threshold) return `. ${said}.`;
  const made = verdict.score > threshold ? "you made it an alarm" : "you made it pass";
  return `. ${said}: ${kind(one) === "good" ? "this was good, and " : ""}${made}.`;
}

/** The outcome, on the first screen. */
function drawOutcome() {
  const { verdict, threshold, scores, groups } = state;
  const all = groups.held.length + groups.test.length;
  const parts = [];
  if (verdict) parts.push(inWords(verdict.score, threshold));
  if (!verdict || scores.size < all) parts.push(`scoring ${scores.size} of ${all} …`);
  else if (threshold !== null && !camera) parts.push(tally()); // of the camera's pictures only one is kept
  get("outcome").innerHTML = parts.join(" · ");
}

/** In words: how many photographs raise an alarm; null before all have scores. */
function tally() {
  const { test } = state.groups;
  const now = alarms();
  if (!now) return null;
  const count = (which, alarm) => test.filter((one) => kind(one) === which && now.get(one) === alarm).length;
  const of = (which) => test.filter((one) => kind(one) === which).length;
  const parts = [];
  if (of("defect")) parts.push(`<b>${count("defect", true)} of ${of("defect")}</b> defects are found`);
  if (of("good")) parts.push(`<b>${count("good", true)} of ${of("good")}</b> good photographs raise a false alarm`);
  if (of("unknown")) parts.push(`<b>${count("unknown", true)} of ${of("unknown")}</b> photographs raise an alarm`);
  return parts.join("; ");
}

/** In words: which photographs raise an alarm, and what the last change did. Empty before all have scores. */
function counted() {
  const { test } = state.groups;
  const now = alarms();
  if (!now) return "";
  let text = `${tally()}.`;
  if (state.before) {
    const { scores, threshold } = state.before;
    const changed = test.filter((one) => side(one, now));
    const told = changed.map((one) => `${escaped(one.name)} (${went(scores.get(one).score, state.scores.get(one).score)})`);
    text += ` ${went(threshold, state.threshold, "The threshold")}.`;
    text += changed.length ? ` Crossed the threshold: ${told.join("; ")}.` : " None crossed it.";
  }
  return text;
}

/** "↑" for a photograph that the last change made an alarm, "↓" for one that no longer is, "" for the others. */
function side(one, now) {
  const was = state.before?.alarms.get(one);
  if (!now || was === undefined || was === now.get(one)) return "";
  return was ? "↓" : "↑";
}

function went(from, to, what = "score s") {
  const [a, b] = [number(from), number(to)];
  if (a === b) return `${what} stays at ${a}`;
  return `${what} ${to > from ? "rises" : "falls"} from ${a} to ${b}`;
}
