// From vectors as the server sends them to similarities and their colours. No page in here.

// One longspan.v1.Vector in protobuf's JSON as a Float32Array of length 1; zeros stay zeros.
export function vectorOf(vector) {
  let values;
  if (vector.format === 'VECTOR_FORMAT_INT8') {
    const bytes = atob(vector.data ?? '');
    values = new Float32Array(bytes.length);
    for (let i = 0; i < bytes.length; ++i) values[i] = (bytes.charCodeAt(i) << 24) >> 24;
  } else {
    values = Float32Array.from(vector.values ?? []);
  }
  let square = 0;
  for (const value of values) square += value * value;
  const scale = square > 0 ? 1 / Math.sqrt(square) : 0;
  return values.map((value) => value * scale);
}

export function dot(a, b) {
  let sum = 0;
  for (let i = 0; i < a.length; ++i) sum += a[i] * b[i];
  return sum;
}

// Indices of the `count` highest scores that `counts` lets pass, the best first; of equal ones the
// earlier.
export function best(scores, count, counts = () => true) {
  return Array.from(scores.keys()).filter(counts).sort((a, b) => scores[b] - scores[a] || a - b).slice(0, count);
}

export const kLevels = 7;

// Colours: level 0 up to the median of the text, kLevels - 1 at its best score, and even steps
// between. Returns a function from score to level, and the lowest score of each level.
export function levelsOf(scores) {
  const sorted = Array.from(scores).sort((a, b) => a - b);
  const low = sorted[Math.floor(sorted.length / 2)] ?? 0;
  const high = sorted[sorted.length - 1] ?? 0;
  const width = (high - low) / (kLevels - 1);
  const level = (score) => (width > 1e-6 ? Math.min(kLevels - 1, Math.max(0, Math.ceil((score - low) / width - 1e-6))) : score >= high ? kLevels - 1 : 0);
  return { level, low, high };
}
