// server/page/web/attention.js against rules that are slow and obvious: for each pair of tokens one
// question, who sees whom, as docs/attention.md and core/kernels say it. An expression that
// page_test.py runs in a tab; it gives the list of what is wrong.
async () => {
  const { patternOf, directly, seenBy, receptiveField, describeField, lshReach, LshSketch } = await import('/page/attention.js');
  const wrong = [];
  const expect = (is, what) => { if (!is) wrong.push(what); };

  // Whether token q sees token k.
  const rules = {
    dense: () => true,
    sliding_window: ({ layer, globals }, q, k) => Math.abs(q - k) <= layer.window || globals.includes(q) || globals.includes(k),
    block_sparse: ({ layer, n, direct }, q, k) => {
      const [i, j] = [q, k].map((token) => Math.floor(token / layer.chunkLength));
      if (direct) return Math.abs(i - j) <= 1;
      const last = Math.floor((n - 1) / layer.chunkLength);
      return i === 0 || i === last || [0, i - 1, i, i + 1, last].includes(j);
    },
    local_chunk: ({ layer, n, padded }, q, k) => {
      if (n <= layer.chunkLength) return true;
      const count = Math.ceil(padded / layer.chunkLength);
      for (let offset = -layer.chunksBefore; offset <= layer.chunksAfter; ++offset) {
        const chunk = (Math.floor(q / layer.chunkLength) + offset + 10 * count) % count;
        if (chunk === Math.floor(k / layer.chunkLength)) return true;
      }
      return false;
    },
  };
  const layerOf = (kind, values) => ({ kind, window: '0', chunkLength: '0', chunksBefore: '0', chunksAfter: '0', randomBlocks: '0', ...values });
  const cls = { supportsGlobalAttention: true, defaultGlobalAttention: 'GLOBAL_ATTENTION_CLS' };
  const models = {
    'windows and a global token': { layers: [8, 4, 16].map((window) => layerOf('sliding_window', { window: String(window) })), ...cls },
    'windows alone': { layers: [1, 2, 3, 4].map((window) => layerOf('sliding_window', { window: String(window) })) },
    'dense up to 20': { layers: [4, 4].map((window) => layerOf('sliding_window', { window: String(window) })), ...cls, denseUpTo: '20' },
    'dense and windows in turn': { layers: [layerOf('sliding_window', { window: '3' }), layerOf('sliding_window', { window: '3' }), layerOf('dense'), layerOf('sliding_window', { window: '3' })] },
    'BigBird': { layers: [1, 2].map(() => layerOf('block_sparse', { chunkLength: '4', randomBlocks: '3' })), denseUpTo: '16', lengthMultiple: '4' },
    'chunks, one before': { layers: [1, 2, 3].map(() => layerOf('local_chunk', { chunkLength: '4', chunksBefore: '1' })), lengthMultiple: '4' },
    'chunks, one before and two behind': { layers: [4, 8].map((length) => layerOf('local_chunk', { chunkLength: String(length), chunksBefore: '1', chunksAfter: '2' })), lengthMultiple: '8' },
  };
  for (const [name, info] of Object.entries(models)) {
    for (const direct of [false, true]) for (const n of [1, 2, 3, 5, 7, 8, 9, 16, 17, 20, 21, 23, 31, 40, 41, 64]) {
      const pattern = direct ? directly(patternOf(info, n)) : patternOf(info, n);
      const globals = !direct && info.supportsGlobalAttention && n > Number(info.denseUpTo ?? 0) ? [0] : [];
      const multiple = Number(info.lengthMultiple ?? 1);
      const shortest = Math.min(...info.layers.map((layer) => Number(layer.chunkLength)));
      const padded = n <= shortest ? n : Math.ceil(n / multiple) * multiple;
      const sees = pattern.layers.map((layer) => (q, k) => rules[n <= Number(info.denseUpTo ?? 0) ? 'dense' : layer.kind]({ layer, globals, n, padded, direct }, q, k));
      const isIn = (ranges, token) => ranges.some(([begin, end]) => begin <= token && token < end);
      sees.forEach((see, layer) => {
        for (let q = 0; q < n; ++q) {
          const ranges = seenBy(pattern, layer, q, q + 1);
          for (let k = 0; k < n; ++k) expect(isIn(ranges, k) === see(q, k), `${name}, ${n} tokens, layer ${layer + 1}: ${q} sees ${k}`);
          const [begin, end] = [Math.max(0, q - 5), Math.min(n, q + 3)];
          const together = seenBy(pattern, layer, begin, end);
          for (let k = 0; k < n; ++k) {
            let any = false;
            for (let one = begin; one < end; ++one) any ||= see(one, k);
            expect(isIn(together, k) === any, `${name}, ${n} tokens, layer ${layer + 1}: ${begin} to ${end} see ${k}`);
          }
        }
      });
      // What each token has read after each layer, as sets that grow from below.
      let readBy = Array.from({ length: n }, (_, token) => new Set([token]));
      sees.forEach((see, layer) => {
        readBy = readBy.map((own, q) => {
          const out = new Set(own);
          for (let k = 0; k < n; ++k) if (see(q, k)) readBy[k].forEach((token) => out.add(token));
          return out;
        });
        for (let q = 0; q < n; ++q) {
          const field = receptiveField(pattern, q)[layer];
          expect(field.count === readBy[q].size && field.scattered === 0, `${name}, ${n} tokens: ${q} has read ${readBy[q].size} after layer ${layer + 1}, not ${field.count}`);
          for (let k = 0; k < n; ++k) expect(isIn(field.ranges, k) === readBy[q].has(k), `${name}, ${n} tokens: ${q} has read ${k} after layer ${layer + 1}`);
        }
      });
    }
  }

  // LSH: counts are upper bounds, and the sketch sees as many as the kernels do.
  const lsh = patternOf({ layers: [layerOf('lsh', { chunkLength: '4', chunksBefore: '1' })], numHashes: 2, lengthMultiple: '4' }, 64);
  expect(lshReach(lsh, lsh.layers[0]) === 16, 'two rounds of two chunks of four');
  expect(receptiveField(lsh, 9)[0].count === 16, 'LSH reads at most 16');
  expect(receptiveField(lsh, 9)[0].scattered === 15, 'of which 15 may be anywhere');
  const sketch = new LshSketch(lsh, lsh.layers[0]);
  for (let q = 0; q < 64; ++q) {
    expect(sketch.seenBy(q).length === 16, `the sketch sees ${sketch.seenBy(q).length}`);
    expect(sketch.seenBy(q).includes(q), 'a token shares its own bucket');
  }
  const fits = patternOf({ layers: [layerOf('lsh', { chunkLength: '64' })], numHashes: 1, lengthMultiple: '64' }, 40);
  expect(receptiveField(fits, 3)[0].count === 40, 'a text of one chunk is dense');

  // The words.
  const windows = { layers: Array(12).fill(layerOf('sliding_window', { window: '256' })) };
  const said = (info, n, token) => describeField(patternOf(info, n), token);
  expect(said({ ...windows, ...cls }, 65536, 1234) === 'Token 1,234 reads 514 tokens in layer 1, and has read the whole text by layer 2, through the global token.', said({ ...windows, ...cls }, 65536, 1234));
  expect(said(windows, 65536, 30000) === 'Token 30,000 reads 513 tokens in layer 1, and has read 6,145 tokens by layer 12, 9.4 % of the text.', said(windows, 65536, 30000));
  expect(said({ ...windows, denseUpTo: '512' }, 300, 5) === 'Token 5 reads all 300 tokens in layer 1.', said({ ...windows, denseUpTo: '512' }, 300, 5));
  return wrong.slice(0, 20);
}
