/* Algorithm 1, the greedy choice: m ← argmax over M of the distance to the nearest pick, again and again.

It is written by hand because a graph cannot loop until done. It picks the rows of `greedy_coreset`, in its order. */

/**
 * Row numbers of M_C in the order chosen, and how far each was from the picks before it (‖ψ(m) − ψ(n)‖).
 *
 * Distances to the nearest pick only shrink. So a distance that is out of date is an upper bound, and only the row with
 * the largest one needs to be measured against the picks it has missed, until another row has the largest.
 * Of equal distances, the lowest row comes first.
 */
function greedyCoreset(vectors, dim, size, first) {
  const n = vectors.length / dim;
  const nearest = new Float64Array(n).fill(Infinity); // squared
  const measured = new Uint32Array(n); // against how many picks
  const heap = Uint32Array.from({ length: n }, (_, row) => row); // the row with the largest distance is first; see `sink`
  const picks = new Uint32Array(size);
  const distance = new Float32Array(size).fill(Infinity);
  let count = 0;

  const squared = (row, pick, limit) => {
    let a = row * dim;
    let b = pick * dim;
    const end = a + dim;
    let even = 0;
    let odd = 0; // two sums, so that neither addition waits for the other
    for (; a + 3 < end; a += 4, b += 4) {
      const p = vectors[a] - vectors[b];
      const q = vectors[a + 1] - vectors[b + 1];
      const r = vectors[a + 2] - vectors[b + 2];
      const s = vectors[a + 3] - vectors[b + 3];
      even += p * p + r * r;
      odd += q * q + s * s;
      if (even + odd >= limit) return limit;
    }
    for (; a < end; a++, b++) even += (vectors[a] - vectors[b]) ** 2;
    return Math.min(limit, even + odd);
  };
  /** The distance of row heap[at] has shrunk: move up those of its children 2·at + 1 and 2·at + 2 that are higher. */
  const sink = (at) => {
    const row = heap[at];
    const higher = (m, than) => nearest[m] > nearest[than] || (nearest[m] === nearest[than] && m < than);
    for (let child; (child = 2 * at + 1) < n; at = child) {
      if (child + 1 < n && higher(heap[child + 1], heap[child])) child++;
      if (!higher(heap[child], row)) break;
      heap[at] = heap[child];
    }
    heap[at] = row;
  };
  const keep = (row) => {
    distance[count] = Math.sqrt(nearest[row]);
    picks[count++] = row;
    nearest[row] = -Infinity;
  };

  keep(first);
  sink(first); // at the start each row is in its own place
  while (count < size) {
    const row = heap[0];
    if (measured[row] === count) keep(row);
    const next = Math.max(nearest[heap[1]], nearest[heap[2]]); // NaN where there is no other row
    for (; measured[row] < count && nearest[row] > 0 && !(nearest[row] < next); measured[row]++) {
      nearest[row] = squared(row, picks[measured[row]], nearest[row]);
    }
    if (nearest[row] === 0) measured[row] = count; // no pick comes nearer
    sink(0);
  }
  return { picks, distance };
}
