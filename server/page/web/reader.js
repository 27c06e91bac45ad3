// The text on the screen: plain at first, then each span in its colour. However long the text is,
// no step takes long: blocks are made a few at a time, and the browser lays out those in sight
// alone (content-visibility in page.css).
import { inSlices } from './slices.js';
import { blocksOf, piecesOf } from './text.js';

export class Reader {
  #root;
  #text = '';
  #blocks = [];
  #rows = [];      // an element for each block
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
    this.#root.replaceChildren();
    this.#root.scrollTop = 0;
    return this.#each(this.#blocks.length, (i) => {
      const row = document.createElement('div');
      row.textContent = text.slice(...this.#blocks[i]);
      this.#rows.push(row);
      this.#root.append(row);
    });
  }

  // Cuts the shown text into spans [{begin, end}], sorted, and what was not read from `readEnd` on.
  cut(spans, readEnd = this.#text.length) {
    const pieces = piecesOf(this.#blocks, spans);
    this.#elements = spans.map(() => []);
    return this.#each(this.#blocks.length, (i) => {
      const [begin, end] = this.#blocks[i];
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
        const element = document.createElement('span');
        element.dataset.span = piece.span;
        element.textContent = this.#text.slice(piece.begin, piece.end);
        this.#elements[piece.span].push(element);
        parts.push(element);
        at = piece.end;
      }
      plain(end);
      this.#rows[i].replaceChildren(...parts);
    });
  }

  // A level of colour for each span, and the ranks (span -> 1, 2, ...) of the best ones.
  colour(levels, ranks) {
    return this.#each(this.#elements.length, (i) => {
      const rank = ranks.get(i);
      this.#elements[i].forEach((element, piece) => {
        element.className = `h${levels[i]}${i === this.#chosen ? ' chosen' : ''}`;
        if (rank !== undefined && piece === 0) element.dataset.rank = rank;
        else delete element.dataset.rank;
      });
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
