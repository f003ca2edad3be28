/* PyTorch's random permutation: the same seed gives the same bank here and in Python.

torch.randperm(n, generator=torch.Generator().manual_seed(seed)) shuffles 0 … n − 1 from the front with the numbers of
a Mersenne Twister (MT19937). The greedy choice starts with its first entry; a random bank is its beginning. */

function mersenneTwister(seed) {
  const state = new Uint32Array(624);
  state[0] = seed;
  for (let i = 1; i < 624; i++) state[i] = Math.imul(1812433253, state[i - 1] ^ (state[i - 1] >>> 30)) + i;
  let next = 624;
  return () => {
    if (next === 624) {
      for (let i = 0; i < 624; i++) {
        const y = (state[i] & 0x80000000) | (state[(i + 1) % 624] & 0x7fffffff);
        state[i] = state[(i + 397) % 624] ^ (y >>> 1) ^ (y & 1 ? 0x9908b0df : 0);
      }
      next = 0;
    }
    let y = state[next++];
    y ^= y >>> 11;
    y ^= (y << 7) & 0x9d2c5680;
    y ^= (y << 15) & 0xefc60000;
    return (y ^ (y >>> 18)) >>> 0;
  };
}

/** The first `size` entries of the permutation of 0 … n − 1. */
function randomRows(n, size, seed = 0) {
  const random = mersenneTwister(seed);
  const rows = Uint32Array.from({ length: n }, (_, i) => i);
  for (let i = 0; i < Math.min(size, n - 1); i++) {
    const other = i + (random() % (n - i));
    [rows[i], rows[other]] = [rows[other], rows[i]];
  }
  return rows.slice(0, size);
}
