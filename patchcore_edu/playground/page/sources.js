/* Where photographs come from: the bundled textures, your own files, the camera. Nothing leaves the browser.

A photograph is {key, pixels, name, defect}: three planes of 224 × 224 numbers in [0, 1]; `defect` is "good", the
defect's name, or "unknown". */

const SIDE = 224;
const PLANE = SIDE * SIDE;
const SHORT = 256; // what the shorter side becomes before the centre is cut out, as for `ImageFolder`
const EACH = 5; // one of so many good photographs is held out
const MOST_FILES = 60;
const MOST_NAMED = 5; // of files that cannot be used
const MOST_PIXELS = 4e6; // larger pictures are first shrunk by the browser
const LONGEST = 8; // how many times as long as wide a picture may be

let photographs = 0;
const photograph = (pixels, name, defect) => ({ key: ++photographs, pixels, name, defect });

/** {bank, held, test}: photographs of a bundled texture, crops of one large photograph. */
async function bundled(name) {
  const groups = { bank: [], held: [], test: [] };
  const { photograph: whole, crops, ...drawn } = await payload(name);
  const places = new Uint32Array(drawn.places.buffer);
  const values = new Float32Array(drawn.values.buffer);
  const wide = Math.sqrt(whole.length);
  let next = 0;
  for (const { group, defect, top, left, changed } of JSON.parse(new TextDecoder().decode(crops))) {
    const pixels = new Float32Array(3 * PLANE);
    for (let y = 0, i = 0; y < SIDE; y++) {
      for (let x = 0; x < SIDE; x++) pixels[i++] = whole[(top + y) * wide + left + x] / 255;
    }
    for (const last = next + changed; next < last; next++) pixels[places[next]] = values[next];
    pixels.copyWithin(PLANE, 0, PLANE).copyWithin(2 * PLANE, 0, PLANE);
    const like = groups[group].filter((one) => one.defect === defect).length;
    groups[group].push(photograph(pixels, `${name}, ${defect} ${like + 1}`, defect));
  }
  return groups;
}

/** Three planes of 224 × 224 from anything that a canvas can draw, resized by the package's own function. */
async function planesOf(engine, drawable, width, height) {
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.fillStyle = "white"; // under transparent parts
  context.fillRect(0, 0, width, height);
  context.drawImage(drawable, 0, 0, width, height);
  const { data } = context.getImageData(0, 0, width, height);
  const planes = new Float32Array(3 * width * height);
  for (let i = 0, n = width * height; i < n; i++) {
    for (let c = 0; c < 3; c++) planes[c * n + i] = data[4 * i + c] / 255;
  }
  const target = [height, width].map((side) => roundHalfEven((SHORT * side) / Math.min(height, width)));
  const resized = await engine.ask("resize", { planes, height, width, target });
  const [top, left] = target.map((side) => roundHalfEven((side - SIDE) / 2));
  const pixels = new Float32Array(3 * PLANE);
  for (let c = 0; c < 3; c++) {
    for (let y = 0; y < SIDE; y++) {
      const from = (c * target[0] + top + y) * target[1] + left;
      pixels.set(resized.subarray(from, from + SIDE), c * PLANE + y * SIDE);
    }
  }
  return pixels;
}

/** One file as a photograph, or an error that says what to do. */
async function fromFile(engine, file, defect) {
  let bitmap;
  try {
    bitmap = await createImageBitmap(file, { imageOrientation: "from-image" });
  } catch {
    throw new Error(`This browser cannot read ${file.name} as a picture; save it as JPEG or PNG.`);
  }
  const { width, height } = bitmap;
  if (Math.max(width, height) > LONGEST * Math.min(width, height)) {
    bitmap.close();
    throw new Error(`${file.name} has ${width} × ${height} pixels; crop it to a part at most ${LONGEST} times as long as wide.`);
  }
  const shrink = Math.min(1, Math.sqrt(MOST_PIXELS / (width * height)));
  const size = [width, height].map((side) => Math.max(1, Math.round(side * shrink)));
  try {
    return photograph(await planesOf(engine, bitmap, ...size), file.name, defect);
  } finally {
    bitmap.close();
  }
}

/** Photographs of files, sorted by name as `ImageFolder` does, and what was wrong with the others, in words.
 *
 * `progress(done, of)` is called after each. */
async function fromFiles(engine, files, defect, progress) {
  const taken = [...files].sort((a, b) => (a.name < b.name ? -1 : 1)).slice(0, MOST_FILES);
  const wrong = [];
  const good = [];
  for (const [i, file] of taken.entries()) {
    try {
      good.push(await fromFile(engine, file, defect));
    } catch (error) {
      wrong.push(error.message);
    }
    progress(i + 1, taken.length);
  }
  const more = wrong.splice(MOST_NAMED).length;
  if (more) wrong.push(`${more} more cannot be used either.`);
  if (files.length > MOST_FILES) wrong.unshift(`The first ${MOST_FILES} of ${files.length} files were taken.`);
  return { good, wrong: wrong.join(" ") };
}

/** Good photographs split: of every five, the second sets the threshold, the others fill the bank. */
function parted(good) {
  const held = good.filter((_, i) => i % EACH === 1);
  return { held, bank: good.filter((one) => !held.includes(one)) };
}

/** The camera: `frame()` returns its current picture, three planes of 224 × 224. */
class Camera {
  #engine;
  #stream;
  constructor(engine, video, lost) {
    this.#engine = engine;
    this.video = video;
    this.lost = lost;
  }

  async open() {
    if (!navigator.mediaDevices?.getUserMedia) {
      throw new Error("This browser does not let a page opened this way use a camera. Open it from a file or over https, or use files.");
    }
    try {
      this.#stream = await navigator.mediaDevices.getUserMedia({ video: { width: 640, height: 480 }, audio: false });
    } catch (error) {
      const refused = error.name === "NotAllowedError";
      throw new Error(
        refused
          ? "Access to the camera was refused. Allow it in the address bar and press “Take ten good pictures”, or use files."
          : `No camera is available (${error.name}). Plug one in and press “Take ten good pictures”, or use files.`,
      );
    }
    this.#stream.getVideoTracks()[0].onended = () => this.lost("The camera was unplugged. Plug it in and press “Take ten good pictures”.");
    this.video.srcObject = this.#stream;
    await this.video.play();
  }

  frame() {
    return planesOf(this.#engine, this.video, this.video.videoWidth, this.video.videoHeight);
  }

  close() {
    for (const track of this.#stream?.getTracks() ?? []) track.stop();
    this.video.srcObject = null;
  }
}
