/* The brush: `paint` of the notebooks' explorer, bit for bit. A test compares the two. */

/** Round half to even, as NumPy does. */
function roundHalfEven(x) {
  const floor = Math.floor(x);
  if (x - floor !== 0.5) return Math.round(x);
  return floor % 2 === 0 ? floor : floor + 1;
}

/** The pixels [x, y] along a path whose corners are whole numbers, each at most one step from the next. */
function everyPixel(path) {
  const length = [0];
  for (let i = 1; i < path.length; i++) {
    const step = Math.max(Math.abs(path[i][0] - path[i - 1][0]), Math.abs(path[i][1] - path[i - 1][1]));
    length.push(length[i - 1] + step);
  }
  const points = [];
  const last = path.length - 1;
  for (let at = 0, j = 0; at <= length[last]; at++) {
    while (j < last && length[j + 1] <= at) j++;
    const between = (axis) => {
      if (j === last) return path[last][axis];
      const slope = (path[j + 1][axis] - path[j][axis]) / (length[j + 1] - length[j]);
      return roundHalfEven(slope * (at - length[j]) + path[j][axis]);
    };
    points.push([between(0), between(1)]);
  }
  return points;
}

/** The offsets [x, y] within half a brush of a pixel. */
function disc(brush) {
  const reach = Math.floor(brush / 2);
  const offsets = [];
  for (let y = -reach; y <= reach; y++) {
    for (let x = -reach; x <= reach; x++) if (4 * (x * x + y * y) <= brush * brush) offsets.push([x, y]);
  }
  return offsets;
}

/** A copy of a photograph, planes of size × size numbers one after another, with one stroke painted on it. */
function paint(pixels, size, { path, brush, grey, smear }) {
  const painted = Float32Array.from(pixels);
  const points = everyPixel(path);
  const offsets = disc(brush);
  const planes = pixels.length / (size * size);
  for (let plane = 0; plane < planes; plane++) {
    const image = painted.subarray(plane * size * size, (plane + 1) * size * size);
    if (smear) smearPlane(image, size, points, offsets);
    else {
      for (const [x, y] of points) {
        for (const [dx, dy] of offsets) {
          const column = x + dx;
          const row = y + dy;
          if (column >= 0 && row >= 0 && column < size && row < size) image[row * size + column] = grey;
        }
      }
    }
  }
  return painted;
}

/** Drag what lies under the brush along the path: each of its pixels replaces 15 %. Past the border, its pixels repeat. */
function smearPlane(image, size, points, offsets) {
  const keep = Math.fround(0.85);
  const take = Math.fround(0.15);
  const reach = Math.max(...offsets.map(([x]) => x));
  const wide = size + 2 * reach;
  const within = (k) => Math.min(Math.max(k - reach, 0), size - 1);
  const padded = new Float32Array(wide * wide);
  for (let y = 0; y < wide; y++) {
    for (let x = 0; x < wide; x++) padded[y * wide + x] = image[within(y) * size + within(x)];
  }
  let carried = null;
  for (const [x, y] of points) {
    const at = offsets.map(([dx, dy]) => (y + reach + dy) * wide + x + reach + dx);
    carried = at.map((k, i) => {
      if (carried === null) return padded[k];
      return Math.fround(Math.fround(keep * carried[i]) + Math.fround(take * padded[k]));
    });
    at.forEach((k, i) => {
      padded[k] = carried[i];
    });
  }
  for (let y = 0; y < size; y++) {
    image.set(padded.subarray((y + reach) * wide + reach, (y + reach) * wide + reach + size), y * size);
  }
}
