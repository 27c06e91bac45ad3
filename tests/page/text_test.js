// server/page/web/text.js, passages.js and slices.js. An expression that page_test.py runs in a
// tab; it gives the list of what is wrong.
async () => {
  const { Places, blocksOf, normalise, partsOf, piecesOf, placesOf, snippetOf } = await import('/page/text.js');
  const { inSlices } = await import('/page/slices.js');
  const { levelsOf, marksOf, passagesOf, whereIs } = await import('/page/passages.js');
  const wrong = [];
  const same = (is, wanted, what) => { if (JSON.stringify(is) !== JSON.stringify(wanted)) wrong.push(`${what}: ${JSON.stringify(is)}, not ${JSON.stringify(wanted)}`); };

  // Places: each character by a slow count.
  const text = 'aé€𝄞\n😀b';
  const characters = new Places(text, 'character');
  const bytes = new Places(text, 'byte');
  const points = [...text];
  for (let i = 0; i <= points.length; ++i) {
    const before = points.slice(0, i).join('');
    same(characters.of(i), before.length, `character ${i}`);
    same(bytes.of(new TextEncoder().encode(before).length), before.length, `byte of character ${i}`);
  }
  same(characters.of(1), 1, 'a place before the last one');
  const far = `${'é'.repeat(250000)}b`;
  same(await placesOf(far, 'byte', [500000, 0, 4, 500001, 4]), [250000, 0, 2, 250001, 2], 'many places, in any order');
  same(await placesOf(text, 'character', []), [], 'no place');

  same(normalise('a\r\nb\rc'), 'a\nb\nc', 'line ends');
  same(normalise('a\ud83d'), 'a\ufffd', 'half a pair');

  // Blocks cover the text, and pieces cover the spans.
  const long = `${'One sentence of a few words. '.repeat(30)}\n\n${'x'.repeat(5000)}\n${'😀'.repeat(3000)}`;
  const blocks = blocksOf(long, 500);
  same(blocks.map(([begin, end]) => long.slice(begin, end)).join(''), long, 'blocks');
  for (const [begin, end] of blocks) {
    if (end - begin > 501) wrong.push('a block is too large');
    if (!long.slice(begin, end).isWellFormed()) wrong.push('a block cuts a character');
  }
  const spans = [{ begin: 3, end: 700 }, { begin: 690, end: 800 }, { begin: 2000, end: 2000 }, { begin: 4000, end: long.length }];
  const pieces = piecesOf(blocks, spans).flat();
  for (const [i, [begin, end]] of [[0, [3, 700]], [1, [700, 800]], [3, [4000, long.length]]]) {
    const own = pieces.filter((piece) => piece.span === i);
    same(own.map((piece) => long.slice(piece.begin, piece.end)).join(''), long.slice(begin, end), `pieces of span ${i}`);
  }
  same(pieces.filter((piece) => piece.span === 2), [], 'an empty span has no piece');
  const parts = (...range) => partsOf('abcdefgh', ...range).map((part) => [part.text, part.mark?.begin]);
  const two = [{ begin: 1, end: 3 }, { begin: 5, end: 7 }];
  same(parts(0, 8, two), [['a', undefined], ['bc', 1], ['de', undefined], ['fg', 5], ['h', undefined]], 'parts');
  same(parts(2, 6, two), [['c', 1], ['de', undefined], ['f', 5]], 'marks are cut with the range');
  same(parts(3, 5, two), [['de', undefined]], 'no mark in the range');
  same(parts(1, 3, []), [['bc', undefined]], 'no mark at all');
  same(snippetOf('a  b\nc', 0, 6), 'a b c', 'a snippet is one line');
  same(snippetOf('word '.repeat(100), 0, 500, 20), 'word word word word …', 'a snippet ends behind a word');

  // Between two slices others have their turn, and may say that the work is not wanted any more.
  const busy = (ms) => { const until = performance.now() + ms; while (performance.now() < until); };
  let others = 0;
  const ticking = new MessageChannel();
  ticking.port1.onmessage = () => { ++others; ticking.port2.postMessage(null); };
  ticking.port2.postMessage(null);
  let steps = 0;
  same(await inSlices(20, () => { ++steps; busy(10); }), true, 'all steps');
  same(steps, 20, 'steps');
  if (others < 10) wrong.push(`only ${others} turns of others in 20 slices`);
  same(await inSlices(20, () => { --steps; busy(10); }, () => steps > 15), false, 'work that is not wanted');
  same(steps, 15, 'steps until then');
  ticking.port1.close();

  // An answer of POST /search, in characters. Passages come best first, tokens in the order of the
  // question.
  const asked = '😀 roof leaks';
  const of = '😀😀 The roof leaks. é Rain.';
  const at = (words, whole = of) => ({ begin: [...whole.slice(0, whole.indexOf(words))].length, end: [...whole.slice(0, whole.indexOf(words) + words.length)].length });
  const token = (words, query, similarity, weight) => ({ ...at(words), similarity, weight, ...(query === undefined ? {} : { query: at(query, asked) }) });
  const result = {
    spans: [
      { ...at('é Rain.'), score: 2, similarity: 0.75, tokens: { begin: 9, end: 12 }, bestTokens: [] },
      { ...at('The roof leaks.'), score: 0.5, similarity: 0.5, tokens: { begin: 3, end: 7 },
        bestTokens: [token(' leaks', 'leaks', 0.9, 0.5), token('roof', 'roof', 0.875, 0.3), token('The', undefined, 0.1, 0.04), token('roof', undefined, 0.25, 0.2)] },
    ],
  };
  const passages = await passagesOf(of, asked, result);
  same(passages.map(({ begin, end }) => of.slice(begin, end)), ['The roof leaks.', 'é Rain.'], 'passages, in the order of the text');
  same(passages.map(({ rank, score, similarity, tokens }) => [rank, score, similarity, tokens]), [[2, 0.5, 0.5, [3, 7]], [1, 2, 0.75, [9, 12]]], 'ranks and scores');
  same(passages[0].marks.map(({ begin, end, says }) => [of.slice(begin, end), says]),
    [['roof', 'Most like “roof”, cosine 0.88; an added token, cosine 0.25'], ['leaks', 'Most like “leaks”, cosine 0.90']], 'best tokens');
  same(passages[1].marks, [], 'a passage without best tokens');
  const marks = marksOf('abcdef', 'q', [{ begin: 2, end: 4, weight: 1, similarity: 1 }, { begin: 0, end: 3, weight: 1, similarity: 1 }, { begin: 4, end: 6, weight: 1, similarity: 1 }]);
  same(marks.map(({ begin, end }) => [begin, end]), [[0, 4], [4, 6]], 'marks that overlap are one');
  const levels = levelsOf([-1, 4, 0]);
  same([-1, 0, 1.4, 4].map(levels.level), [1, 2, 3, 6], 'levels');
  same([levels.low, levels.high], [-1, 4], 'the lowest and the highest');
  same([0.5].map(levelsOf([0.5]).level), [6], 'one passage is the best one');

  // Places of tokens: in a passage, else between two as if all were equally long.
  const found = [{ begin: 100, end: 200, tokens: [10, 20] }, { begin: 400, end: 500, tokens: [40, 60] }];
  const where = (i) => whereIs(i, found, 100, 900);
  same([10, 19, 40].map(where), [{ in: [100, 200] }, { in: [100, 200] }, { in: [400, 500] }], 'in a passage');
  same([0, 5, 20, 30, 39, 60, 80, 100].map((i) => where(i).near), [0, 50, 200, 300, 390, 500, 700, 900], 'near a place');
  same(whereIs(5, [], 10, 100), { near: 50 }, 'without passages');
  return wrong;
}
