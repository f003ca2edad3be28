/* All test photographs on one axis of scores, and what they say in words. */

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
        const button = document.createElement("button");
        const canvas = Object.assign(document.createElement("canvas"), { width: 76, height: 76 });
        canvas.getContext("2d").drawImage(photographRaster(one.pixels), 0, 0, 76, 76);
        button.append(canvas);
        button.addEventListener("click", () => select(i));
        return button;
      }),
    );
  }
  // Photographs whose scores are close stand one above the other.
  const lanes = [];
  const wide = 100 * (46 / (axis.clientWidth || 1000));
  const order = test.map((one, i) => [state.scores.get(one)?.score ?? 0, i]).sort(([a], [b]) => a - b);
  for (const [value, i] of order) {
    const one = test[i];
    const button = get("dots").children[i];
    const at = (100 * value) / high;
    let lane = lanes.findIndex((end) => at - end >= wide);
    if (lane < 0) lane = lanes.length;
    lanes[lane] = at;
    const alarm = state.threshold !== null && value > state.threshold;
    button.style.left = place(value);
    button.style.bottom = `${lane * 46 + 8}px`;
    button.className = `${kind(one)}${alarm ? " alarm" : ""}${i === state.selected ? " selected" : ""}`;
    button.hidden = !state.scores.has(one);
    button.title = `${one.name}: s = ${number(value)}`;
    button.setAttribute("aria-label", `${one.name}: score ${number(value)}${alarm ? ", alarm" : ""}`);
    button.setAttribute("aria-pressed", i === state.selected);
  }
  get("dots").style.height = `${Math.max(1, lanes.length) * 46 + 10}px`;
  get("held").replaceChildren(
    ...held.filter((one) => state.scores.has(one)).map((one) => {
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
  const now = get("now");
  now.hidden = !(state.painted && state.verdict);
  if (!now.hidden) {
    now.style.left = place(state.verdict.score);
    now.firstChild.textContent = `${camera ? "now" : "painted"} ${number(state.verdict.score)}`;
  }
  get("axis-high").textContent = number(high, 0);
  get("scores-text").innerHTML =
    `${counted()} ` +
    (held.length
      ? `The threshold is the highest score of ${held.length} good photographs that are not in the bank.`
      : "Without held-out good photographs there is no threshold.");
}

/** In words: which photographs raise an alarm, and what the last change did. Nothing before all are judged. */
function counted() {
  const { test } = state.groups;
  const now = alarms();
  if (!now) return "";
  const count = (which, alarm) => test.filter((one) => kind(one) === which && now.get(one) === alarm).length;
  const of = (which) => test.filter((one) => kind(one) === which).length;
  const parts = [];
  if (of("defect")) parts.push(`<b>${count("defect", true)} of ${of("defect")}</b> defects are found`);
  if (of("good")) parts.push(`<b>${count("good", true)} of ${of("good")}</b> good photographs raise a false alarm`);
  if (of("unknown")) parts.push(`<b>${count("unknown", true)} of ${of("unknown")}</b> photographs raise an alarm`);
  let text = `${parts.join("; ")}.`;
  if (state.before) {
    const changed = test.filter((one) => state.before.has(one) && state.before.get(one) !== now.get(one));
    text += changed.length ? ` Changed sides: ${changed.map((one) => one.name).join("; ")}.` : " None changed sides.";
  }
  return text;
}
