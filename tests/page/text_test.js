// server/page/web/text.js, scores.js and slices.js. An expression that page_test.py runs in a tab;
// it gives the list of what is wrong.
async () => {
  const { Places, blocksOf, normalise, piecesOf, snippetOf } = await import('/page/text.js');
  const { inSlices } = await import('/page/slices.js');
  const { best, dot, levelsOf, vectorOf } = await import('/page/scores.js');
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

  // Vectors come as int8 or as numbers, and get length 1.
  const int8 = vectorOf({ format: 'VECTOR_FORMAT_INT8', data: btoa(String.fromCharCode(3, 0xfc)), scale: 0.5 });
  same([...int8].map((value) => value.toFixed(3)), ['0.600', '-0.800'], 'int8');
  same([...vectorOf({ values: [3, 4] })].map((value) => value.toFixed(3)), ['0.600', '0.800'], 'floats');
  same([...vectorOf({ values: [0, 0] })], [0, 0], 'zeros');
  same(dot([1, 2], [3, 4]), 11, 'dot');
  same(best([0.1, 0.9, 0.5, 0.9], 3), [1, 3, 2], 'the best, the earlier first');
  const { level } = levelsOf([0, 0, 0, 0.3, 0.6]);
  same([0, 0.05, 0.3, 0.6].map(level), [0, 1, 3, 6], 'levels');
  same([0.5].map(levelsOf([0.5]).level), [6], 'one span is the best one');
  return wrong;
}
