/* The settings: what each may be, and how they are written in the page's address. */

const { offered } = KNOWN;
const SOURCES = ["brick", "grass", "gravel", "files", "camera"];

const complain = (name, value, wanted) => {
  throw new Error(`${name} was ${JSON.stringify(value)}; it must be ${wanted}`);
};
const oneOf = (name, value, allowed) =>
  allowed.includes(value) ? value : complain(name, value, `one of ${allowed.map((a) => JSON.stringify(a)).join(", ")}`);

/** All settings, or an error that names the setting, what it was, and what it may be. */
function checked(settings) {
  const known = Object.keys(KNOWN.start);
  for (const name of Object.keys(settings)) if (!known.includes(name)) complain(name, settings[name], "left out");
  const { source, levels, p, s, border, ratio, selection, b, sigma } = { ...KNOWN.start, ...settings };
  oneOf("source", source, SOURCES);
  const good = Array.isArray(levels) && levels.length > 0 && new Set(levels).size === levels.length;
  if (!good || levels.some((j) => ![1, 2, 3, 4].includes(j))) complain("levels", levels, "different levels from 1, 2, 3, 4");
  oneOf("p", p, offered.p);
  const cells = KNOWN.levels[Math.max(...levels)].cells;
  if (p > cells) complain("p", p, `at most ${cells}, the number of cells across level ${Math.max(...levels)}`);
  oneOf("s", s, offered.s);
  oneOf("border", border, offered.border);
  if (typeof ratio !== "number" || !(ratio > 0 && ratio <= 1)) complain("ratio", ratio, "a number in (0, 1]");
  oneOf("selection", selection, ["greedy", "random"]);
  if (!Number.isInteger(b) || b < 1) complain("b", b, "a whole number of at least 1");
  oneOf("sigma", sigma, offered.sigma);
  return { source, levels: [...levels].sort(), p, s, border, ratio, selection, b, sigma };
}

/** Settings from #p=3&levels=2,3. What makes no sense is left out and reported. */
function fromFragment(fragment) {
  let settings = { ...KNOWN.start };
  const nonsense = [];
  for (const [name, text] of new URLSearchParams(fragment.replace(/^#/, ""))) {
    let value = text;
    if (name === "levels") value = text.split(",").map(Number);
    else if (typeof KNOWN.start[name] === "number") value = text === "" ? text : Number(text);
    try {
      settings = checked({ ...settings, [name]: value });
    } catch {
      nonsense.push(`${name}=${text}`);
    }
  }
  return { settings, nonsense };
}

const toFragment = (settings) =>
  "#" + Object.entries(settings).map(([name, value]) => `${name}=${encodeURIComponent(value)}`.replace(/%2C/g, ",")).join("&");

/** What the Python code does. */
function aboutPython({ source }) {
  const { bank, judged } = KNOWN.taken;
  if (source === "camera") return "The same in Python, for pictures in two folders. The camera's pictures are not saved.";
  if (source === "files") {
    return "The same in Python, for your files in two folders. The scores differ in the last digits, or more for JPEG: browsers decode it differently.";
  }
  return `The same numbers in Python: a model fitted on the first ${bank} training photographs, and the scores of the ${judged.length} on the axis, good ones first.`;
}

/** The Python code that gives the same numbers. */
function inPython(settings) {
  const { source, levels, p, s, border, ratio, selection, b, sigma } = settings;
  const tuple = `(${levels.join(", ")}${levels.length === 1 ? "," : ""})`;
  const open = [];
  if (border !== "zero") open.push(`border="${border}"`);
  if (sigma !== 4) open.push(`sigma=${sigma}`);
  const random = selection === "random";
  const given = [`levels=${tuple}`, `p=${p}`, `s=${s}`, `coreset_ratio=${random ? 1 : ratio}`, `b=${b}`];
  if (open.length) given.push(`conventions=Conventions(${open.join(", ")})`);
  const files = source === "files" || source === "camera";
  const imports = ["PatchCore", ...(open.length ? ["Conventions"] : [])].join(", ");
  const data = files ? "ImageFolder" : "PhotoTextures";
  const [train, test] = files
    ? ['ImageFolder("good")', 'ImageFolder("good", "test", split="test")']
    : [`PhotoTextures("${source}", "train")`, `PhotoTextures("${source}", "test")`];
  // Which of the photographs the page uses.
  const { bank, judged } = KNOWN.taken;
  const fitted = files ? `[photograph for i, photograph in enumerate(good) if i % ${EACH} != 1]` : `[good[i] for i in range(${bank})]`;
  const scored = files ? "test" : `[test[i] for i in (${judged.join(", ")})]`;
  return [
    ...(random ? ["import torch"] : []),
    `from patchcore_edu import ${imports}`,
    `from patchcore_edu.datasets import ${data}`,
    "",
    `good, test = ${train}, ${test}`,
    `model = PatchCore(${given.join(", ")}).fit(${fitted})`,
    ...(random
      ? [
          `rows = torch.randperm(len(model.bank), generator=torch.Generator().manual_seed(0))`,
          `model.bank = model.bank.take(rows[:max(1, int(${ratio} * len(rows)))])`,
        ]
      : []),
    `model.predict(${scored}).score`,
  ].join("\n");
}
