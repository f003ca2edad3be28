/* The engine: PatchCore in a worker. It runs the package's own functions as graphs and passes arrays between them.

It receives messages {id, method, argument} and replies with {id, result} or {id, error}, one request after another. */

const SIDE = 224;
const PIXELS = SIDE * SIDE;
const AT_ONCE = 8; // photographs whose patch sets are computed together

const graphs = {}; // name → the bytes of an exported function, or its running session
const maps = new Map(); // the key of a photograph → its feature maps {level: {data, dims}}
let seed; // of ψ and of the first pick
let projection; // ψ, (most channels, d*)
let fitted = null;

const tensor = (data, dims) => new ort.Tensor(data instanceof BigInt64Array ? "int64" : "float32", data, dims);

async function session(name) {
  if (!(name in graphs)) throw new Error(`there is no graph ${name}`);
  if (graphs[name] instanceof Uint8Array) {
    graphs[name] = await ort.InferenceSession.create(graphs[name], { executionProviders: ["wasm"], logSeverityLevel: 3 });
  }
  return graphs[name];
}

const run = async (name, inputs) => (await session(name)).run(inputs);

/** φ_j of one photograph, at every level up to the deepest that is asked for. If its maps are kept, it needs no pixels. */
async function featureMaps({ key, pixels }, levels) {
  const known = maps.get(key) ?? {};
  if (!known[1]) {
    const out = await run("phi", { image: tensor(pixels, [1, 3, SIDE, SIDE]) });
    for (const level of [1, 2, 3]) known[level] = out[`phi${level}`];
  }
  if (levels.includes(4) && !known[4]) known[4] = (await run("phi4", { phi3: known[3] })).phi4;
  if (key !== null) maps.set(key, known);
  return known;
}

/** Feature maps of several photographs as one, level by level. */
async function together(photographs, levels) {
  const all = [];
  for (const one of photographs) all.push(await featureMaps(one, levels));
  const joined = levels.map((level) => {
    const [, ...dims] = all[0][level].dims;
    const size = all[0][level].data.length;
    const data = new Float32Array(all.length * size);
    all.forEach((phi, i) => data.set(phi[level].data, i * size));
    return [level, tensor(data, [all.length, ...dims])];
  });
  return Object.fromEntries(joined);
}

/** P_{s,p}, (n, h', w', d): each level aggregated, then merged and strided, as in `patch_set`. */
async function patchSet(phi, { levels, p, s, border }) {
  const inputs = {};
  for (const [i, level] of levels.entries()) {
    inputs[`level${i}`] = (await run(`aggregate_p${p}_${border}`, { phi_j: phi[level] })).aggregated;
  }
  const { patches } = await run(`merge_${levels.length}`, inputs);
  return s === 1 ? patches : (await run(`stride_${s}`, { merged: patches })).patches;
}

/** M, ψ(M), the rows that are kept, M_C. */
async function fit(photographs, settings) {
  const parts = [];
  for (let i = 0; i < photographs.length; i += AT_ONCE) {
    parts.push(await patchSet(await together(photographs.slice(i, i + AT_ONCE), settings.levels), settings));
  }
  const [, height, width, dim] = parts[0].dims;
  const rows = height * width * photographs.length;
  let bank = parts[0].data;
  if (parts.length > 1) {
    bank = new Float32Array(rows * dim);
    parts.forEach((part, i) => bank.set(part.data, i * AT_ONCE * height * width * dim));
  }
  const choice = await choose(bank, rows, dim, settings);
  const kept = new Float32Array(choice.picks.length * dim);
  choice.picks.forEach((row, i) => kept.set(bank.subarray(row * dim, (row + 1) * dim), i * dim));
  fitted = { settings, bank, vectors: tensor(kept, [choice.picks.length, dim]), dim };
  return { rows, height, width, dim, kept, ...choice };
}

async function choose(bank, rows, dim, { ratio, selection }) {
  const size = Math.max(1, Math.floor(ratio * rows));
  if (selection === "random") return { picks: randomRows(rows, size, seed), distance: null };
  if (ratio === 1) return { picks: Uint32Array.from({ length: rows }, (_, i) => i), distance: null };
  const weights = tensor(projection.data.subarray(0, dim * projection.dim), [dim, projection.dim]);
  const psi = (await run("psi", { vectors: tensor(bank, [rows, dim]), weights })).projected;
  return greedyCoreset(psi.data, projection.dim, size, randomRows(rows, 1, seed)[0]);
}

/** Eqs. (6), (7) and the map, for one photograph. With `details`, also what the page draws. */
async function judge({ photograph, details, b, sigma }) {
  const { settings, vectors } = fitted;
  const phi = await featureMaps(photograph, settings.levels);
  const patches = await patchSet(phi, settings);
  const [, height, width, dim] = patches.dims;
  const queries = tensor(patches.data, [height * width, dim]);
  const found = await run("search", { queries, vectors });
  const distance = tensor(found.distance.data, [1, height, width]);
  const index = tensor(found.index.data, [1, height, width]);
  const known = { patches, vectors, distance, index };
  const support = Math.min(b, vectors.dims[0]);
  if (support > 1) known.b = tensor(BigInt64Array.of(BigInt(support)), [1]);
  const scored = await run(support > 1 ? "score" : "score_b1", known);
  const smoothed = await run(`map_sigma${sigma}`, { distance });
  const answer = {
    score: scored.score.data[0],
    map: smoothed.map.data,
    distance: distance.data,
    index: Int32Array.from(index.data, Number),
  };
  if (!details) return answer;
  return {
    ...answer,
    height,
    width,
    patches: patches.data,
    sStar: scored.s_star.data[0],
    patch: Number(scored.patch.data[0]),
    support: Int32Array.from(scored.support.data, Number),
    reach: scored.reach.data,
    phi: Object.fromEntries(settings.levels.map((j) => [j, { data: phi[j].data.slice(), dims: phi[j].dims }])),
  };
}

/** The distance of each row of M to the nearest one of M_C. Their maximum is the covering radius. */
async function cover() {
  const { bank, vectors, dim } = fitted;
  const queries = tensor(bank, [bank.length / dim, dim]);
  return (await run("search", { queries, vectors })).distance.data;
}

const methods = {
  async start({ wasm, module, parts, constants }) {
    ort.env.wasm.numThreads = 1;
    ort.env.wasm.wasmBinary = wasm;
    ort.env.wasm.wasmPaths = { mjs: URL.createObjectURL(new Blob([module], { type: "text/javascript" })) };
    ({ seed } = constants);
    projection = { dim: constants.psiDim };
    Object.assign(graphs, parts);
    await session("search"); // the first one compiles the runtime
  },
  async add({ psi_weights: weights, ...parts }) {
    if (weights) projection.data = new Float32Array(weights.slice().buffer);
    Object.assign(graphs, parts);
  },
  async forget() {
    maps.clear();
  },
  fit: ({ photographs, settings }) => fit(photographs, settings),
  judge,
  cover,
  resize: async ({ planes, height, width, target }) =>
    (
      await run("resize", {
        image: tensor(planes, [1, 3, height, width]),
        size: tensor(new Float32Array(target[0] * target[1]), target),
      })
    ).resized.data,
};

let queue = Promise.resolve();
onmessage = ({ data: { id, method, argument } }) => {
  queue = queue.then(async () => {
    try {
      postMessage({ id, result: await methods[method](argument) });
    } catch (error) {
      postMessage({ id, error: error?.message ?? String(error) });
    }
  });
};
