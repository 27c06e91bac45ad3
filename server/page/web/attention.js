// Who sees whom, and how far the layers below a token reach, in plain numbers: no page, no drawing.
//
//   const pattern = patternOf(info, 4096);          // info: the answer of GET /model
//   seenBy(pattern, 0, 1234, 1235)                  // [[0, 1], [1106, 1363]]
//   receptiveField(pattern, 1234)[1].count          // 4096: through the global token
//
// A set of tokens is a sorted list of half-open ranges [begin, end) that do not touch. All rules
// are those of docs/attention.md; tests/page/attention_test.js proves them against a slow, obvious
// form. LSH alone depends on the words of the text: its reach is counted here, its places are drawn
// at random (LshSketch).

const number = (value) => Number(value ?? 0);

// The sorted, merged form of any ranges, cut to [0, n).
export function merge(ranges, n = Infinity) {
  const sorted = ranges
    .map(([begin, end]) => [Math.max(0, begin), Math.min(n, end)])
    .filter(([begin, end]) => begin < end)
    .sort((a, b) => a[0] - b[0]);
  const out = [];
  for (const [begin, end] of sorted) {
    const last = out[out.length - 1];
    if (last !== undefined && begin <= last[1]) last[1] = Math.max(last[1], end);
    else out.push([begin, end]);
  }
  return out;
}

export const countOf = (ranges) => ranges.reduce((sum, [begin, end]) => sum + end - begin, 0);
const contains = (ranges, token) => ranges.some(([begin, end]) => begin <= token && token < end);

// The attention of a text of `tokens` tokens: its layers as they are computed for that length.
export function patternOf(info, tokens) {
  const n = Math.max(1, Math.floor(tokens));
  const denseUpTo = number(info.denseUpTo);
  const isDense = n <= denseUpTo;
  const hasGlobal =
    !isDense && info.supportsGlobalAttention === true && info.defaultGlobalAttention === 'GLOBAL_ATTENTION_CLS';
  const multiple = Math.max(1, number(info.lengthMultiple));
  const layers = (info.layers ?? []).map((layer) => ({
    kind: isDense ? 'dense' : layer.kind,
    window: number(layer.window),
    chunkLength: number(layer.chunkLength),
    chunksBefore: number(layer.chunksBefore),
    chunksAfter: number(layer.chunksAfter),
    randomBlocks: number(layer.randomBlocks),
    rounds: layer.kind === 'lsh' ? Math.max(1, number(info.numHashes)) : 0,
  }));
  // A Reformer's text that fits the shortest chunk is not padded.
  const chunks = layers.filter((layer) => layer.chunkLength > 0).map((layer) => layer.chunkLength);
  const padded = n <= Math.min(...chunks) ? n : Math.ceil(n / multiple) * multiple;
  return { tokens: n, padded, layers, globals: hasGlobal ? [0] : [], isDense, denseUpTo };
}

// The same without what connects all of a text at once: global tokens, the first and the last
// block. What is left is how far the windows alone carry.
export function directly(pattern) {
  return { ...pattern, globals: [], isDirect: true };
}

// The chunks that a chunk sees, each once. They are a circle: the first one also sees the last one.
function chunksSeen(chunk, count, before, after) {
  const out = new Set();
  for (let offset = -before; offset <= after; ++offset) out.add((((chunk + offset) % count) + count) % count);
  return out;
}

function chunkRanges(pattern, layer, begin, end) {
  const { tokens, padded } = pattern;
  const size = layer.chunkLength;
  if (tokens <= size) return [[0, tokens]];
  const count = Math.ceil(padded / size);
  const first = Math.floor(begin / size);
  const last = Math.floor((end - 1) / size);
  const { chunksBefore: before, chunksAfter: after } = layer;
  if (last - first + 1 + before + after >= count) return [[0, tokens]];
  // Between its two ends a range of chunks sees itself, so only the ends can leave the text.
  const ranges = [[first * size, (last + 1) * size]];
  for (const chunk of [first, last]) {
    for (const seen of chunksSeen(chunk, count, before, after)) ranges.push([seen * size, (seen + 1) * size]);
  }
  return merge(ranges, tokens);
}

function blockRanges(pattern, layer, begin, end) {
  const { tokens } = pattern;
  if (pattern.isDirect) {
    const size = layer.chunkLength;
    return merge([[(Math.floor(begin / size) - 1) * size, (Math.floor((end - 1) / size) + 2) * size]], tokens);
  }
  const size = layer.chunkLength;
  const last = Math.ceil(tokens / size) - 1;
  const from = Math.floor(begin / size);
  const to = Math.floor((end - 1) / size);
  if (from === 0 || to >= last) return [[0, tokens]];
  return merge([[0, size], [(from - 1) * size, (to + 2) * size], [last * size, tokens]], tokens);
}

// What the tokens [begin, end) see in a layer, together. Of an LSH layer the tokens themselves:
// what else they see depends on the text.
export function seenBy(pattern, layerIndex, begin, end) {
  const { tokens, globals } = pattern;
  const layer = pattern.layers[layerIndex];
  switch (layer.kind) {
    case 'sliding_window': {
      if (globals.some((token) => begin <= token && token < end)) return [[0, tokens]];
      const ranges = globals.map((token) => [token, token + 1]);
      ranges.push([begin - layer.window, end + layer.window]);
      return merge(ranges, tokens);
    }
    case 'block_sparse':
      return blockRanges(pattern, layer, begin, end);
    case 'local_chunk':
      return chunkRanges(pattern, layer, begin, end);
    case 'lsh':
      return tokens <= layer.chunkLength ? [[0, tokens]] : merge([[begin, end]], tokens);
    default:
      return [[0, tokens]];
  }
}

// The most tokens that one token sees in an LSH layer: in each round its chunk and the neighbours.
export function lshReach(pattern, layer) {
  const seen = layer.chunkLength * (layer.chunksBefore + 1 + layer.chunksAfter);
  return Math.min(pattern.tokens, layer.rounds * Math.min(pattern.padded, seen));
}

// Most tokens that one token sees in a layer, itself included; of a token that is not global.
function reachOfOne(pattern, layer) {
  switch (layer.kind) {
    case 'sliding_window': return 2 * layer.window + 1 + pattern.globals.length;
    case 'local_chunk': return layer.chunkLength * (layer.chunksBefore + 1 + layer.chunksAfter);
    case 'lsh': return lshReach(pattern, layer);
    default: return pattern.tokens;
  }
}

// Why a layer makes a set of tokens the whole text.
function wayOf(pattern, layer, ranges) {
  if (layer.kind === 'dense') return 'dense';
  if (layer.kind === 'sliding_window' && pattern.globals.some((token) => contains(ranges, token))) return 'global';
  if (layer.kind === 'block_sparse') return 'block';
  return 'window';
}

// One step down: what a set of tokens has read from the layer below. `scattered`: at most so many
// tokens beside `ranges`, whose places are not known (LSH).
function step(pattern, layerIndex, { ranges, scattered }) {
  const { tokens } = pattern;
  const layer = pattern.layers[layerIndex];
  const known = countOf(ranges);
  let grown = [];
  for (const [begin, end] of ranges) grown.push(...seenBy(pattern, layerIndex, begin, end));
  grown = merge([...grown, ...ranges], tokens);
  const way = wayOf(pattern, layer, ranges);
  let more = scattered * (scattered > 0 ? reachOfOne(pattern, layer) : 0);
  if (layer.kind === 'lsh' && tokens > layer.chunkLength) more += known * (lshReach(pattern, layer) - 1);
  const rest = tokens - countOf(grown);
  return { ranges: grown, scattered: Math.min(rest, Math.max(more, Math.min(scattered, rest))), way };
}

// What the vector of `token` has read of the text after each layer, the first one first:
//   layer      1, 2, ...
//   ranges     the tokens, where they are known
//   scattered  at most so many tokens beside them, anywhere (LSH)
//   count      all of them, at most
//   way        why it is the whole text: global, dense, block or window; empty while it is not
export function receptiveField(pattern, token) {
  const { tokens, layers } = pattern;
  const at = Math.min(Math.max(0, Math.floor(token)), tokens - 1);
  const fields = [];
  for (let top = 0; top < layers.length; ++top) {
    let state = { ranges: [[at, at + 1]], scattered: 0 };
    let way = '';
    for (let layer = top; layer >= 0 && way === ''; --layer) {
      state = step(pattern, layer, state);
      if (countOf(state.ranges) === tokens) way = state.way;
    }
    const count = countOf(state.ranges) + state.scattered;
    fields.push({ layer: top + 1, ranges: state.ranges, scattered: state.scattered, count, way });
  }
  return fields;
}

// LSH by chance: in each round the tokens in a random order, which stands for the order by bucket.
// At most kMost places are held; each then stands for some tokens beside each other.
const kMost = 1 << 16;
export class LshSketch {
  constructor(pattern, layer) {
    this.tokens = pattern.tokens;
    this.places = Math.min(pattern.tokens, kMost);
    this.scale = pattern.tokens / this.places;
    this.chunk = Math.max(1, Math.round(layer.chunkLength / this.scale));
    this.before = layer.chunksBefore;
    this.after = layer.chunksAfter;
    this.rounds = [];
    let seed = 1;
    const random = () => {  // mulberry32
      seed = (seed + 0x6d2b79f5) | 0;
      let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
      t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
      return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
    };
    for (let round = 0; round < Math.min(layer.rounds, 4); ++round) {
      const order = Uint32Array.from({ length: this.places }, (_, i) => i);
      for (let i = order.length - 1; i > 0; --i) {
        const j = Math.floor(random() * (i + 1));
        [order[i], order[j]] = [order[j], order[i]];
      }
      const place = new Uint32Array(order.length);
      order.forEach((token, i) => { place[token] = i; });
      this.rounds.push({ order, place });
    }
  }

  // Tokens that `token` sees, in no order.
  seenBy(token) {
    const out = [];
    const count = Math.ceil(this.places / this.chunk);
    for (const { order, place } of this.rounds) {
      const own = Math.floor(place[Math.min(this.places - 1, Math.floor(token / this.scale))] / this.chunk);
      for (const chunk of chunksSeen(own, count, this.before, this.after)) {
        const end = Math.min(this.places, (chunk + 1) * this.chunk);
        for (let i = chunk * this.chunk; i < end; ++i) out.push(Math.floor(order[i] * this.scale));
      }
    }
    return out;
  }
}

const plain = (value) => value.toLocaleString('en');

// "window: 128 tokens on each side", for a list of layers.
export function describeLayer(pattern, index) {
  const layer = pattern.layers[index];
  const size = plain(layer.chunkLength);
  switch (layer.kind) {
    case 'sliding_window': return `window, ${plain(layer.window)} tokens on each side`;
    case 'block_sparse': return `blocks of ${size} tokens`;
    case 'local_chunk': return `chunks of ${size} tokens`;
    case 'lsh': return `LSH, ${layer.rounds} ${layer.rounds === 1 ? 'round' : 'rounds'}, chunks of ${size}`;
    default: return 'dense, every token sees every token';
  }
}

// What a picture of the layer shows, in one or two sentences.
export function explainLayer(pattern, index) {
  const layer = pattern.layers[index];
  const chunks = `${layer.chunksBefore} before and ${layer.chunksAfter} behind`;
  if (pattern.isDense) {
    return `Texts of up to ${plain(pattern.denseUpTo)} tokens run with full attention in this model: every token sees every token. Longer ones use its sparse pattern.`;
  }
  switch (layer.kind) {
    case 'sliding_window':
      return pattern.globals.length > 0
        ? `Each token sees ${plain(layer.window)} tokens on each side. The first token is global: it sees all of the text and is seen by all of it.`
        : `Each token sees ${plain(layer.window)} tokens on each side. There is no global token.`;
    case 'block_sparse':
      return `Blocks of ${plain(layer.chunkLength)} tokens. Each sees its neighbours, the first and the last block; these two see everything. ` +
        (layer.randomBlocks > 0 ? `The ${layer.randomBlocks} random blocks of training are off when vectors are made: the first block counts ${layer.randomBlocks + 1} times instead.` : '');
    case 'local_chunk':
      return `Chunks of ${plain(layer.chunkLength)} tokens. Each sees itself and its neighbours, ${chunks}; they form a circle. A causal model also hides what stands behind a token.`;
    case 'lsh':
      return `Tokens are hashed, sorted by bucket and cut into chunks of ${plain(layer.chunkLength)}, in ${layer.rounds} ${layer.rounds === 1 ? 'round' : 'rounds'}; each chunk sees itself and its neighbours, ${chunks}. A sketch: which tokens share a bucket depends on the words, and is drawn at random here.`;
    default:
      return 'Every token sees every token.';
  }
}

const kWays = { global: 'through the global token', dense: 'through a dense layer', block: 'through the first and last block', window: '' };

// "Token 1,234 reads 258 tokens in layer 1 and the whole text from layer 2 on, through ..."
export function describeField(pattern, token) {
  const fields = receptiveField(pattern, token);
  const { tokens } = pattern;
  if (fields.length === 0) return '';
  const amount = ({ count, scattered }) =>
    count >= tokens && scattered === 0 ? `all ${plain(tokens)} tokens` : `${scattered > 0 ? 'up to ' : ''}${plain(count)} tokens`;
  const first = fields[0];
  const last = fields[fields.length - 1];
  const name = `Token ${plain(token)}`;
  const way = (field) => (kWays[field.way] ? `, ${kWays[field.way]}` : '');
  if (first.count >= tokens && first.scattered === 0) return `${name} reads all ${plain(tokens)} tokens in layer 1${tokens > 1 && first.way !== 'window' && first.way !== 'dense' ? way(first) : ''}.`;
  const full = fields.find((field) => field.count >= tokens);
  if (full !== undefined) {
    const may = full.scattered > 0 ? 'may have read' : 'has read';
    return `${name} reads ${amount(first)} in layer 1, and ${may} the whole text by layer ${full.layer}${way(full)}.`;
  }
  return `${name} reads ${amount(first)} in layer 1, and has read ${amount(last)} by layer ${last.layer}, ${(100 * last.count / tokens).toFixed(1)} % of the text.`;
}
