/* Loading, and the engine in its worker. */

window.patchcorePayloads = {};

/** Decode a text whose characters hold 15 bits each. */
function fifteenBits(text, length) {
  const bytes = new Uint8Array(length);
  let bits = 0;
  let held = 0; // how many of the bits are not in a byte yet
  for (let i = 0, at = 0; at < length; i++) {
    bits = (bits << 15) | (text.charCodeAt(i) - KNOWN.firstCharacter);
    for (held += 15; held >= 8 && at < length; ) bytes[at++] = bits >> (held -= 8);
    bits &= (1 << held) - 1;
  }
  return bytes;
}

/** Put bytes back in order: all first bytes were stored together, then all second ones … */
function together(apart, planes) {
  if (planes === 1) return apart;
  const bytes = new Uint8Array(apart.length);
  for (let plane = 0, from = 0; plane < planes; plane++) {
    for (let to = plane; to < bytes.length; to += planes) bytes[to] = apart[from++];
  }
  return bytes;
}

/** The parts of playground/NAME.js, {name: bytes}. */
async function payload(name) {
  await new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.src = `playground/${name}.js`;
    script.onload = resolve;
    script.onerror = () =>
      reject(new Error(`playground/${name}.js is missing. Keep the folder “playground” beside this page, and reload it.`));
    document.head.append(script);
  });
  const { planes, bytes: length, text } = window.patchcorePayloads[name];
  delete window.patchcorePayloads[name];
  const stream = new Blob([fifteenBits(text, length)]).stream().pipeThrough(new DecompressionStream("gzip"));
  const bytes = together(new Uint8Array(await new Response(stream).arrayBuffer()), planes);
  const header = new DataView(bytes.buffer).getUint32(0, true);
  const lengths = JSON.parse(new TextDecoder().decode(bytes.subarray(4, 4 + header)));
  let at = 4 + header;
  return Object.fromEntries(
    Object.entries(lengths).map(([part, length]) => [part, bytes.slice(at, (at += length))]),
  );
}

/** The engine, which answers requests from its worker: `await engine.ask("judge", …)`. */
class Engine {
  #worker;
  #waiting = new Map();
  #last = 0;
  #deep = false;

  async start(progress) {
    const missing = ["WebAssembly", "DecompressionStream", "OffscreenCanvas"].find((name) => !(name in globalThis));
    if (missing) throw new Error(`${missing} is missing or switched off in this browser. Every browser since 2023 has it.`);
    progress(0.05, "loading the runtime");
    const loading = payload("network"); // it is unpacked while the worker compiles the runtime
    loading.catch(() => {});
    const { worker, module, wasm, ...parts } = await payload("runtime");
    progress(0.4, "starting the runtime");
    this.#worker = new Worker(URL.createObjectURL(new Blob([worker], { type: "text/javascript" })));
    this.#worker.onmessage = ({ data: { id, result, error } }) => {
      const { resolve, reject } = this.#waiting.get(id);
      this.#waiting.delete(id);
      if (error === undefined) resolve(result);
      else reject(new Error(error));
    };
    this.#worker.onerror = (event) => {
      for (const { reject } of this.#waiting.values()) reject(new Error(event.message ?? "the engine stopped; reload the page"));
      this.#waiting.clear();
    };
    const constants = { seed: KNOWN.seed, psiDim: KNOWN.psiDim };
    const starting = this.ask("start", { wasm, module, parts, constants });
    const [network] = await Promise.all([loading, starting]);
    progress(0.6, "starting the network");
    await this.ask("add", network);
  }

  ask(method, argument) {
    return new Promise((resolve, reject) => {
      this.#waiting.set(++this.#last, { resolve, reject });
      this.#worker.postMessage({ id: this.#last, method, argument });
    });
  }

  /** Level 4 holds most of the network's weights; it is loaded when first needed. */
  async deepen(levels) {
    if (!levels.includes(4) || this.#deep) return;
    await this.ask("add", await payload("level4"));
    this.#deep = true;
  }
}
