/* Algorithm 1, the greedy choice: m ← argmax over M of the distance to the nearest pick, again and again.

It is written by hand because a graph cannot loop until done. It picks the rows of `greedy_coreset`, in its order. */

const BLOCK = 64;

/**
 * Row numbers of M_C in the order chosen, and how far each was from the picks before it (‖ψ(m) − ψ(n)‖).
 *
 * Distances to the nearest pick only shrink. So a distance that was not brought up to date is an upper bound, and only
 * the row that stands highest needs to be measured against the picks it has missed. Equal distances go to the lowest
 * row.
 */
function greedyCoreset(vectors, dim, size, first) {
  const n = vectors.length / dim;
  const nearest = new Float64Array(n).fill(Infinity); // squared
  const measured = new Uint32Array(n); // against how many picks
  const highest = new Float64Array(Math.ceil(n / BLOCK)).fill(Infinity); // of each block of rows
  const picks = new Uint32Array(size);
  const distance = new Float32Array(size).fill(Infinity);
  let count = 0;

  const squared = (row, pick, limit) => {
    let sum = 0;
    for (let a = row * dim, b = pick * dim, end = a + dim; a < end; a++, b++) {
      const difference = vectors[a] - vectors[b];
      sum += difference * difference;
      if (sum >= limit) return limit;
    }
    return sum;
  };
  const argmax = (values, from, to) => {
    let best = from;
    for (let i = from + 1; i < to; i++) if (values[i] > values[best]) best = i;
    return best;
  };
  const keep = (row) => {
    distance[count] = Math.sqrt(nearest[row]);
    picks[count++] = row;
    nearest[row] = -Infinity;
  };
  const refresh = (block) => {
    const from = block * BLOCK;
    highest[block] = nearest[argmax(nearest, from, Math.min(from + BLOCK, n))];
  };

  keep(first);
  refresh(Math.floor(first / BLOCK));
  while (count < size) {
    const block = argmax(highest, 0, highest.length);
    const row = argmax(nearest, block * BLOCK, Math.min((block + 1) * BLOCK, n));
    if (measured[row] === count) keep(row);
    for (; measured[row] < count && nearest[row] > 0; measured[row]++) {
      nearest[row] = squared(row, picks[measured[row]], nearest[row]);
    }
    measured[row] = count;
    refresh(block);
  }
  return { picks, distance };
}
