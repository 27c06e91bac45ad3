// The text on the screen: plain at first, then each span in its colour. However long the text is,
// no step takes long: blocks are made a few at a time, and the browser lays out those in sight
// alone (content-visibility in page.css).
import { inSlices } from './slices.js';
import { blocksOf, partsOf, piecesOf } from './text.js';

// Range [begin, end) of the text for the page, with its marks [{begin, end, says}] underlined.
export function markedNodes(text, begin, end, marks) {
  return partsOf(text, begin, end, marks).map((part) => {
    if (part.mark === undefined) return document.createTextNode(part.text);
    const underlined = document.createElement('u');
    underlined.textContent = part.text;
    underlined.title = part.mark.says;
    return underlined;
  });
}

export class Reader {
  #root;
  #text = '';
  #blocks = [];
  #rows = [];      // an element for each block
  #isCut = [];     // of each block, whether it is more than its text
  #elements = [];  // of each span its pieces
  #work = 0;       // grows with each new order, so that older ones stop
  #chosen = -1;

  // `hooks`: onPoint(span) as the pointer is over a span, onChoose(span) as it is clicked.
  constructor(root, hooks) {
    this.#root = root;
    const spanOf = (event) => {
      const element = event.target.closest?.('[data-span]');
      return element === null || element === undefined ? -1 : Number(element.dataset.span);
    };
    let pointed = -1;
    root.addEventListener('pointerover', (event) => {
      const span = spanOf(event);
      if (span >= 0 && span !== pointed) hooks.onPoint(span);
      pointed = span;
    });
    root.addEventListener('click', (event) => {
      const span = spanOf(event);
      if (span >= 0) hooks.onChoose(span);
    });
  }

  get text() {
    return this.#text;
  }

  #each(count, step) {
    const order = ++this.#work;
    return inSlices(count, step, () => order === this.#work);
  }

  // Without colours. False where something newer came in between.
  show(text) {
    this.#text = text;
    this.#blocks = blocksOf(text);
    this.#elements = [];
    this.#chosen = -1;
    this.#rows = [];
    this.#isCut = [];
    this.#root.replaceChildren();
    this.#root.scrollTop = 0;
    return this.#each(this.#blocks.length, (i) => {
      const row = document.createElement('div');
      row.textContent = text.slice(...this.#blocks[i]);
      this.#rows.push(row);
      this.#root.append(row);
    });
  }

  // Shows spans [{begin, end, level, rank, marks}] of the text, sorted, each in the colour of its
  // level, and what was not read from `readEnd` on.
  cut(spans, readEnd = this.#text.length) {
    const pieces = piecesOf(this.#blocks, spans);
    this.#elements = spans.map(() => []);
    this.#chosen = -1;
    return this.#each(this.#blocks.length, (i) => {
      const [begin, end] = this.#blocks[i];
      const wasCut = this.#isCut[i];
      this.#isCut[i] = pieces[i].length > 0 || readEnd < end;
      if (!this.#isCut[i] && !wasCut) return;
      const parts = [];
      let at = begin;
      const plain = (to) => {
        if (to <= at) return;
        const split = Math.min(Math.max(readEnd, at), to);
        if (split > at) parts.push(this.#text.slice(at, split));
        if (to > split) {
          const unread = document.createElement('span');
          unread.className = 'unread';
          unread.textContent = this.#text.slice(split, to);
          parts.push(unread);
        }
        at = to;
      };
      for (const piece of pieces[i]) {
        plain(piece.begin);
        const { level, rank, marks } = spans[piece.span];
        const element = document.createElement('span');
        element.className = `h${level}`;
        element.dataset.span = piece.span;
        if (this.#elements[piece.span].length === 0) element.dataset.rank = rank;
        element.append(...markedNodes(this.#text, piece.begin, piece.end, marks));
        this.#elements[piece.span].push(element);
        parts.push(element);
        at = piece.end;
      }
      plain(end);
      this.#rows[i].replaceChildren(...parts);
    });
  }

  // Marks a span and brings it into sight; -1 = none.
  choose(span) {
    for (const element of this.#elements[this.#chosen] ?? []) element.classList.remove('chosen');
    this.#chosen = span;
    const pieces = this.#elements[span] ?? [];
    for (const element of pieces) element.classList.add('chosen');
    if (pieces.length === 0) return;
    // Blocks out of sight have a guessed height, so the first jump may miss: at once, then again.
    this.#centre(pieces[0]);
    requestAnimationFrame(() => pieces[0].isConnected && this.#centre(pieces[0]));
  }

  #centre(element) {
    const box = this.#root.getBoundingClientRect();
    const own = element.getBoundingClientRect();
    const down = own.top - box.top - (box.height - Math.min(own.height, box.height)) / 2;
    this.#root.scrollBy({ top: down, behavior: 'instant' });
  }
}
