/* Drawing: arrays in, pixels out. */

/** The 256 colours of a colour map, as 0xBBGGRR. */
const palette = (name) => {
  const bytes = KNOWN.palettes[name];
  return Uint32Array.from({ length: 256 }, (_, i) => (bytes[3 * i + 2] << 16) | (bytes[3 * i + 1] << 8) | bytes[3 * i]);
};
const MAP_COLOURS = palette("map");
const FEATURE_COLOURS = palette("feature");

const get = (id) => document.getElementById(id);
const formats = [0, 1, 2, 3].map(
  (digits) => new Intl.NumberFormat("en-GB", { minimumFractionDigits: digits, maximumFractionDigits: digits }),
);
const number = (x, digits = 1) => formats[digits].format(x);

/** Text made safe for HTML: a file's name may contain anything. */
const escaped = (text) => text.replace(/[&<>"]/g, (letter) => `&#${letter.charCodeAt(0)};`);

/** A term with a tooltip that explains it as the list of words does. */
const term = (id, html) => `<abbr title="${escaped(get(`word-${id}`).textContent)}">${html}</abbr>`;

/** A canvas of width × height pixels; `colour(i)` gives 0xBBGGRR. */
function raster(width, height, colour) {
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext("2d");
  const image = context.createImageData(width, height);
  const words = new Uint32Array(image.data.buffer);
  for (let i = 0; i < words.length; i++) words[i] = 0xff000000 | colour(i);
  context.putImageData(image, 0, 0);
  return canvas;
}

const rasters = new WeakMap(); // of photographs and maps that were drawn before

function kept(values, make) {
  if (!rasters.has(values)) rasters.set(values, make());
  return rasters.get(values);
}

const smaller = (a, b) => Math.min(a, b);
const larger = (a, b) => Math.max(a, b);
const byte = (x) => (255 * x + 0.5) | 0;

const photographRaster = (pixels) =>
  kept(pixels, () =>
    raster(SIDE, SIDE, (i) => (byte(pixels[2 * PLANE + i]) << 16) | (byte(pixels[PLANE + i]) << 8) | byte(pixels[i])),
  );

function coloured(values, width, height, low, high, map) {
  const scale = 255 / Math.max(high - low, 1e-9);
  return raster(width, height, (i) => map[Math.min(255, Math.max(0, Math.round((values[i] - low) * scale)))]);
}

/** Give a canvas element as many pixels as it fills on the screen; returns its context, scaled to `units` across. */
function stage(canvas, units, unitsDown = units) {
  const across = canvas.clientWidth || units;
  const width = Math.round(across * Math.min(window.devicePixelRatio || 1, 2));
  const height = Math.round((width * unitsDown) / units);
  if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
  const context = canvas.getContext("2d");
  context.setTransform(width / units, 0, 0, width / units, 0, 0);
  context.imageSmoothingEnabled = false;
  context.clearRect(0, 0, units, unitsDown);
  return context;
}

/** The first `count` figures in an element, [canvas, caption] each; more are made as needed. */
function figuresIn(parent, count) {
  while (parent.children.length < count) {
    const figure = document.createElement("figure");
    figure.append(document.createElement("canvas"), document.createElement("figcaption"));
    figure.firstChild.setAttribute("role", "img");
    parent.append(figure);
  }
  const figures = [...parent.children];
  for (const [i, figure] of figures.entries()) figure.hidden = i >= count;
  return figures.slice(0, count).map(({ children }) => children);
}

function frame(context, [left, top, width, height], colour, thick = 2, dash = []) {
  context.setLineDash([]);
  context.strokeStyle = "rgba(255, 255, 255, .85)";
  context.lineWidth = thick + 1.5;
  if (!dash.length) context.strokeRect(left, top, width, height);
  context.setLineDash(dash);
  context.strokeStyle = colour;
  context.lineWidth = thick;
  context.strokeRect(left, top, width, height);
  context.setLineDash([]);
}
