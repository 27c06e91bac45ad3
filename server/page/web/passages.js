// What a search found in a text, in places of its string. The server's answer comes in; no page in
// here.
import { Places, placesOf } from './text.js';

export const kLevels = 6;
// Of the largest weight. What counts less, such as an article, decides nothing.
const kLeastWeight = 0.1;

const numbers = (range) => [Number(range?.begin ?? 0), Number(range?.end ?? 0)];

// The best tokens of a passage as marks [{begin, end, says}], ascending and apart. `best`:
// [{begin, end, query, similarity, weight}] in places of the strings.
export function marksOf(text, question, best) {
  const most = Math.max(...best.map(({ weight }) => weight));
  const marks = [];
  for (const one of best.filter(({ weight }) => weight >= kLeastWeight * most).sort((a, b) => a.begin - b.begin || a.end - b.end)) {
    let { begin, end } = one;
    // Some tokens have the blank before their word.
    while (begin < end && /\s/.test(text[begin])) ++begin;
    if (begin === end) continue;
    const asked = one.query === undefined ? '' : question.slice(...one.query).trim();
    const says = `${asked === '' ? 'an added token' : `“${asked}”`}, cosine ${one.similarity.toFixed(2)}`;
    const last = marks[marks.length - 1];
    if (last === undefined || last.end <= begin) marks.push({ begin, end, says: [says] });
    else {
      last.end = Math.max(last.end, end);
      last.says.push(says);
    }
  }
  return marks.map(({ begin, end, says }) => ({ begin, end, says: `Most like ${says.join('; ')}` }));
}

// The passages of a SearchResult as POST /search has it, in the order of the text, each with its
// rank from 1 and its marks.
export async function passagesOf(text, question, { spans }) {
  const sent = spans.flatMap((span) => [span, ...(span.bestTokens ?? [])]);
  const at = await placesOf(text, 'character', sent.flatMap(numbers));
  const asked = new Places(question, 'character');
  let next = 0;
  const take = () => ({ begin: at[next++], end: at[next++] });
  const passages = spans.map((span, i) => {
    const place = take();
    const best = (span.bestTokens ?? []).map(({ query, similarity, weight }) => ({
      ...take(), similarity, weight, query: query === undefined ? undefined : numbers(query).map((each) => asked.of(each)),
    }));
    return { ...place, rank: i + 1, score: span.score, similarity: span.similarity, tokens: numbers(span.tokens), marks: best.length === 0 ? [] : marksOf(text, question, best) };
  });
  return passages.sort((a, b) => a.begin - b.begin);
}

// Colours: the lowest score has level 1, the highest kLevels, with even steps between.
export function levelsOf(scores) {
  const low = Math.min(...scores);
  const high = Math.max(...scores);
  const width = (high - low) / (kLevels - 1);
  return { low, high, level: (score) => (width > 1e-6 ? 1 + Math.round((score - low) / width) : kLevels) };
}

// Where a token of the text stands: `in` a passage that was found, or `near` a place between two of
// them, as if all tokens were equally long. `passages` in the order of the text, which has `tokens`
// tokens up to `end`.
export function whereIs(token, passages, tokens, end) {
  const found = passages.find((passage) => passage.tokens[0] <= token && token < passage.tokens[1]);
  if (found !== undefined) return { in: [found.begin, found.end] };
  let before = [0, 0];
  let behind = [tokens, end];
  for (const passage of passages) {
    if (passage.tokens[1] <= token) before = [passage.tokens[1], passage.end];
    else {
      behind = [passage.tokens[0], passage.begin];
      break;
    }
  }
  const share = (token - before[0]) / Math.max(1, behind[0] - before[0]);
  return { near: Math.round(before[1] + Math.min(1, share) * (behind[1] - before[1])) };
}
