// Places in a text: the server counts characters (Unicode code points) and bytes of UTF-8, a page
// counts units of UTF-16. And how a long text is cut into blocks for the screen. No page in here.
import { inSlices } from './slices.js';

// What can be sent and shown: line ends are \n, and half a surrogate pair becomes U+FFFD.
export function normalise(text) {
  const joined = text.replace(/\r\n?/g, '\n');
  return joined.isWellFormed?.() === false ? joined.toWellFormed() : joined;
}

// Turns code points (`unit` 'character') or bytes of UTF-8 ('byte') into places of the string. The
// places may be asked for in any order; ascending ones cost one walk over the text.
export class Places {
  #text;
  #unit;
  #at = 0;      // in the string
  #counted = 0; // characters or bytes before it

  constructor(text, unit) {
    this.#text = text;
    this.#unit = unit;
  }

  of(place) {
    if (place < this.#counted) this.#at = this.#counted = 0;
    while (this.#counted < place && this.#at < this.#text.length) {
      const point = this.#text.codePointAt(this.#at);
      this.#counted += this.#unit === 'character' ? 1 : point < 0x80 ? 1 : point < 0x800 ? 2 : point < 0x10000 ? 3 : 4;
      this.#at += point < 0x10000 ? 1 : 2;
    }
    return this.#at;
  }
}

const kWalk = 100_000;  // characters or bytes of a step

// Many places at once, in any order, which come back in theirs. One walk over the text, in slices.
export async function placesOf(text, unit, wanted) {
  const steps = [];  // [place, index in `wanted`]
  let last = 0;
  for (const index of [...wanted.keys()].sort((a, b) => wanted[a] - wanted[b])) {
    for (last += kWalk; last < wanted[index]; last += kWalk) steps.push([last, -1]);
    last = wanted[index];
    steps.push([last, index]);
  }
  const places = new Places(text, unit);
  const out = new Array(wanted.length);
  await inSlices(steps.length, (i) => {
    const [place, index] = steps[i];
    const at = places.of(place);
    if (index >= 0) out[index] = at;
  });
  return out;
}

// Ranges [begin, end) of the text, of about `size` units each, that end behind a blank line where
// there is one, else behind a line, else behind a word.
export function blocksOf(text, size = 1500) {
  const blocks = [];
  let begin = 0;
  while (begin < text.length) {
    let end = Math.min(text.length, begin + size);
    if (end < text.length) {
      // Of the part alone: a search in the whole text would go back to its beginning.
      const part = text.slice(begin, end);
      const cut = ['\n\n', '\n', ' '].map((mark) => part.lastIndexOf(mark) + mark.length).find((at) => at > size / 4);
      if (cut !== undefined) end = begin + cut;
      else if (/[\ud800-\udbff]/.test(text[end - 1])) ++end;
    }
    blocks.push([begin, end]);
    begin = end;
  }
  return blocks;
}

// Of each block the pieces of spans in it, as {span, begin, end}. Spans are sorted and may overlap;
// what an earlier one has is taken from a later one.
export function piecesOf(blocks, spans) {
  const out = blocks.map(() => []);
  let block = 0;
  let done = 0;
  spans.forEach(({ begin, end }, span) => {
    let at = Math.max(begin, done);
    while (at < end) {
      while (block < blocks.length && blocks[block][1] <= at) ++block;
      if (block === blocks.length) return;
      const to = Math.min(end, blocks[block][1]);
      out[block].push({ span, begin: at, end: to });
      at = to;
    }
    done = Math.max(done, end);
  });
  return out;
}

// Range [begin, end) of the text in parts {text, mark}: `mark` is the one of `marks` that a part
// belongs to, or undefined. `marks`: [{begin, end}], ascending and apart.
export function partsOf(text, begin, end, marks) {
  const parts = [];
  let at = begin;
  const add = (to, mark) => {
    if (to > at) parts.push({ text: text.slice(at, to), mark });
    at = Math.max(at, to);
  };
  for (const mark of marks) {
    if (mark.end <= at) continue;
    if (mark.begin >= end) break;
    add(mark.begin);
    add(Math.min(mark.end, end), mark);
  }
  add(end);
  return parts;
}

// A line that tells a span from others: one line, at most `most` characters, cut behind a word.
export function snippetOf(text, begin, end, most = 180) {
  const line = text.slice(begin, Math.min(end, begin + 4 * most)).replace(/\s+/g, ' ').trim();
  if (line.length <= most) return line;
  const cut = line.lastIndexOf(' ', most);
  return `${line.slice(0, cut > most / 2 ? cut : most)} …`;
}
