// Draws the attention of the loaded model for a number of tokens: a layer as a map, and what a
// token has read layer by layer. The rules are those of attention.js; here are pixels and controls.
// A drawing costs as much as it has pixels, however long the text is.
import {
  LshSketch,
  describeField,
  describeLayer,
  directly,
  explainLayer,
  patternOf,
  receptiveField,
  seenBy,
} from './attention.js';

const kRowHeight = 24;  // of a layer in the receptive field, at most
const kMostRows = 40;
const plain = (value) => value.toLocaleString('en');
const element = (id) => document.getElementById(id);

// Colours as the style sheet has them now.
function colours() {
  const probe = document.createElement('i');
  document.body.append(probe);
  const read = (name) => {
    probe.style.color = `var(${name})`;
    return getComputedStyle(probe).color;
  };
  const out = { ground: read('--map-ground'), seen: read('--map-seen'), through: read('--map-through'), global: read('--map-global'), line: read('--map-line'), soft: read('--soft'), ink: read('--ink'), surface: read('--surface') };
  probe.remove();
  return out;
}

export class AttentionView {
  #info = null;
  #pattern = null;
  #token = 0;
  #placeOf = () => '';
  #map = element('map');
  #field = element('field');
  #still = document.createElement('canvas');  // the map without the token's lines
  #stillOf = '';
  #sketch = null;
  #sketchOf = null;
  #waiting = false;
  #ownLength = 0;

  constructor() {
    element('layer').addEventListener('change', () => this.#layerChanged());
    element('view').addEventListener('change', () => this.#draw());
    element('length').addEventListener('change', () => this.#setLength(Number(element('length').value)));
    element('own-length').addEventListener('click', () => this.#setLength(this.#ownLength));
    element('token').addEventListener('input', () => this.setToken(Number(element('token').value)));
    this.#map.addEventListener('pointermove', (event) => this.#onMap(event));
    this.#map.addEventListener('pointerdown', (event) => this.#onMap(event));
    this.#field.addEventListener('pointermove', (event) => this.#onField(event));
    this.#field.addEventListener('pointerdown', (event) => this.#onField(event));
    new ResizeObserver(() => this.#draw()).observe(this.#map);
    new ResizeObserver(() => this.#draw()).observe(this.#field);
    this.#field.parentElement.querySelector('details').addEventListener('toggle', () => this.#draw());
  }

  // The model's layers, drawn for `tokens` until a text has been read.
  setModel(info, tokens) {
    this.#info = info;
    element('attention').hidden = (info.layers ?? []).length === 0;
    this.#setLength(tokens);
  }

  // The length of the text that was read, and what is told of a token's place in it.
  setText(tokens, placeOf) {
    this.#ownLength = tokens;
    this.#placeOf = placeOf;
    this.#setLength(tokens);
  }

  // Colours have changed.
  redraw() {
    this.#stillOf = '';
    this.#draw();
  }

  setToken(token) {
    const last = this.#pattern.tokens - 1;
    this.#token = Math.min(Math.max(0, Math.round(token)), last);
    element('token').value = this.#token;
    this.#draw();
  }

  #setLength(tokens) {
    if (this.#info === null) return;
    const n = Math.min(Math.max(1, Math.floor(tokens) || 1), 1 << 20);
    this.#pattern = patternOf(this.#info, n);
    this.#sketch = null;
    element('length').value = n;
    element('own-length').hidden = this.#ownLength === 0 || this.#ownLength === n;
    element('token').max = n - 1;
    const own = this.#ownLength === n ? 'this text’s' : 'for a text of';
    element('attention-facts').textContent = `${this.#info.architecture}, ${plain(this.#pattern.layers.length)} layers, ${own} ${plain(n)} tokens`;
    this.#listLayers();
    this.#token = Math.min(this.#token === 0 ? Math.floor(n / 2) : this.#token, n - 1);
    element('token').value = this.#token;
    this.#layerChanged();
  }

  #listLayers() {
    const select = element('layer');
    const chosen = Math.max(0, select.selectedIndex);
    select.replaceChildren(...this.#pattern.layers.map((_, i) => {
      const option = document.createElement('option');
      option.value = i;
      option.textContent = `${i + 1}: ${describeLayer(this.#pattern, i)}`;
      return option;
    }));
    select.selectedIndex = Math.min(chosen, select.options.length - 1);
  }

  get #layer() {
    return Math.max(0, element('layer').selectedIndex);
  }

  #layerChanged() {
    const isLsh = this.#pattern.layers[this.#layer]?.kind === 'lsh' && this.#pattern.tokens > this.#pattern.layers[this.#layer].chunkLength;
    const sorted = element('view').querySelector('[value="sorted"]');
    sorted.hidden = sorted.disabled = !isLsh;
    if (!isLsh && element('view').value === 'sorted') element('view').value = 'all';
    element('map-text').textContent = explainLayer(this.#pattern, this.#layer);
    this.#draw();
  }

  // Many events, one drawing for each frame.
  #draw() {
    if (this.#pattern === null || this.#waiting) return;
    this.#waiting = true;
    requestAnimationFrame(() => {
      this.#waiting = false;
      this.#drawNow();
    });
  }

  #drawNow() {
    const { tokens } = this.#pattern;
    const token = this.#token;
    element('token-number').textContent = plain(token);
    const words = describeField(this.#pattern, token);
    element('field-text').textContent = words;
    element('token').setAttribute('aria-valuetext', words);
    element('token-place').textContent = this.#ownLength === tokens ? this.#placeOf(token) : '';
    const palette = colours();
    this.#drawMap(palette);
    this.#drawField(palette);
  }

  // [first, behind] of the tokens that the map shows.
  #range() {
    const { tokens, layers } = this.#pattern;
    if (element('view').value !== 'near') return [0, tokens];
    const layer = layers[this.#layer];
    const reach = layer.kind === 'sliding_window' ? layer.window : layer.chunkLength || 64;
    const span = Math.min(tokens, Math.max(16, 4 * reach + 1));
    const begin = Math.min(Math.max(0, this.#token - Math.floor(span / 2)), tokens - span);
    return [begin, begin + span];
  }

  #sketchNow() {
    const layer = this.#pattern.layers[this.#layer];
    if (this.#sketch === null || this.#sketchOf !== layer) this.#sketch = new LshSketch(this.#pattern, layer);
    this.#sketchOf = layer;
    return this.#sketch;
  }

  #fit(canvas, height) {
    const ratio = Math.min(2, window.devicePixelRatio || 1);
    const width = Math.max(1, Math.round(canvas.clientWidth * ratio));
    const rows = Math.max(1, Math.round((height ?? canvas.clientWidth) * ratio));
    if (canvas.width !== width || canvas.height !== rows) {
      canvas.width = width;
      canvas.height = rows;
      if (height !== undefined) canvas.style.height = `${height}px`;
    }
    return { width, rows, ratio };
  }

  #drawMap(palette) {
    const { width: size, ratio } = this.#fit(this.#map);
    const [from, to] = this.#range();
    const scale = size / (to - from);
    const sorted = element('view').value === 'sorted';
    const name = [size, from, to, this.#layer, sorted, this.#pattern.tokens, palette.ground].join();
    if (this.#stillOf !== name) {
      this.#still.width = this.#still.height = size;
      this.#drawStill(this.#still.getContext('2d'), size, from, to, palette, sorted);
      this.#stillOf = name;
    }
    const draw = this.#map.getContext('2d');
    draw.drawImage(this.#still, 0, 0);
    if (!sorted) {
      // The chosen token: its row as it sees, its column as it is seen.
      const at = (this.#token + 0.5 - from) * scale;
      draw.strokeStyle = palette.line;
      draw.lineWidth = ratio;
      draw.setLineDash([4 * ratio, 3 * ratio]);
      draw.beginPath();
      draw.moveTo(0, at);
      draw.lineTo(size, at);
      draw.moveTo(at, 0);
      draw.lineTo(at, size);
      draw.stroke();
      draw.setLineDash([]);
    }
    this.#map.setAttribute('aria-label', `Attention of layer ${this.#layer + 1}: ${describeLayer(this.#pattern, this.#layer)}. ${explainLayer(this.#pattern, this.#layer)}`);
  }

  #drawStill(draw, size, from, to, palette, sorted) {
    const { globals, layers, tokens } = this.#pattern;
    const layer = layers[this.#layer];
    const count = to - from;
    const scale = size / count;
    draw.fillStyle = palette.ground;
    draw.fillRect(0, 0, size, size);
    draw.fillStyle = palette.seen;
    // A row of pixels stands for some tokens, or a token for some rows of pixels.
    const rows = Math.min(size, count);
    const tall = size / rows;
    const isLsh = layer.kind === 'lsh' && tokens > layer.chunkLength;
    const pattern = isLsh && sorted ? { ...this.#pattern, layers: [{ ...layer, kind: 'local_chunk' }] } : this.#pattern;
    const index = isLsh && sorted ? 0 : this.#layer;
    for (let row = 0; row < rows; ++row) {
      const begin = from + Math.floor((row * count) / rows);
      const end = Math.max(begin + 1, from + Math.floor(((row + 1) * count) / rows));
      const y = Math.floor(row * tall);
      const height = Math.max(1, Math.floor((row + 1) * tall) - y);
      if (isLsh && !sorted) {
        const dot = Math.max(1, scale);
        draw.globalAlpha = Math.min(1, Math.max(0.4, scale));  // a pixel stands for many tokens
        for (const key of this.#sketchNow().seenBy(begin)) {
          if (key >= from && key < to) draw.fillRect(Math.floor((key - from) * scale), y, dot, height);
        }
        draw.globalAlpha = 1;
        continue;
      }
      for (const [first, last] of seenBy(pattern, index, begin, end)) {
        const x = Math.floor((Math.max(first, from) - from) * scale);
        const right = Math.ceil((Math.min(last, to) - from) * scale);
        if (last > from && first < to) draw.fillRect(x, y, Math.max(1, right - x), height);
      }
    }
    if (layer.kind !== 'sliding_window') return;
    // Global tokens stay visible where one is less than a pixel.
    draw.fillStyle = palette.global;
    const thick = Math.max(2 * Math.min(2, window.devicePixelRatio || 1), scale);
    for (const token of globals) {
      if (token < from || token >= to) continue;
      const at = Math.floor((token - from) * scale);
      draw.fillRect(at, 0, thick, size);
      draw.fillRect(0, at, size, thick);
    }
  }

  #drawField(palette) {
    const fields = receptiveField(this.#pattern, this.#token);
    const direct = receptiveField(directly(this.#pattern), this.#token);
    const connects = this.#pattern.globals.length > 0 || this.#pattern.layers.some(({ kind }) => kind === 'block_sparse');
    element('key-direct').hidden = element('key-through').hidden = !connects;
    element('key-scattered').hidden = fields.every(({ scattered }) => scattered === 0);
    this.#fillTable(fields, direct, connects);
    const step = Math.ceil(fields.length / kMostRows);
    const shown = fields.filter((_, i) => (i + 1) % step === 0 || i === fields.length - 1);
    const height = (shown.length + 1) * kRowHeight + 26;
    const { width, ratio } = this.#fit(this.#field, height);
    const draw = this.#field.getContext('2d');
    const { tokens } = this.#pattern;
    const left = 74 * ratio;
    const scale = (width - left) / tokens;
    const at = left + (this.#token + 0.5) * scale;
    draw.clearRect(0, 0, width, height * ratio);
    draw.font = `${13 * ratio}px system-ui, sans-serif`;
    draw.textBaseline = 'middle';
    const row = kRowHeight * ratio;
    const ground = (y) => {
      draw.fillStyle = palette.ground;
      draw.fillRect(left, y, width - left, row - 5 * ratio);
    };
    const bar = (y, ranges, colour) => {
      draw.fillStyle = colour;
      for (const [begin, end] of ranges) {
        const x = left + begin * scale;
        draw.fillRect(x, y, Math.max(1.5 * ratio, (end - begin) * scale), row - 5 * ratio);
      }
    };
    // The last layer on top, the text at the bottom: one looks down, as the model does.
    shown.slice().reverse().forEach(({ layer, ranges, scattered }, i) => {
      const y = i * row;
      ground(y);
      if (connects) bar(y, ranges, palette.through);
      bar(y, connects ? direct[layer - 1].ranges : ranges, palette.seen);
      if (scattered > 0) {
        draw.globalAlpha = 0.25 + 0.6 * Math.min(1, scattered / tokens);
        for (let x = left + 2 * ratio; x < width; x += 6 * ratio) draw.fillRect(x, y + 5 * ratio, 3 * ratio, row - 15 * ratio);
        draw.globalAlpha = 1;
      }
      draw.fillStyle = palette.soft;
      draw.fillText(`layer ${layer}`, 0, y + (row - 5 * ratio) / 2);
    });
    const bottom = shown.length * row;
    ground(bottom);
    draw.fillStyle = palette.global;
    draw.fillRect(at - 2 * ratio, bottom, 4 * ratio, row - 5 * ratio);
    draw.fillStyle = palette.soft;
    draw.fillText('the token', 0, bottom + (row - 5 * ratio) / 2);
    const base = bottom + row + 6 * ratio;
    draw.fillText('0', left, base);
    const end = plain(tokens);
    draw.fillText(end, width - draw.measureText(end).width, base);
    this.#field.setAttribute('aria-label', describeField(this.#pattern, this.#token));
  }

  #fillTable(fields, direct, connects) {
    if (!this.#field.parentElement.querySelector('details').open) return;
    const { tokens } = this.#pattern;
    element('field-direct').hidden = !connects;
    element('field-table').tBodies[0].replaceChildren(...fields.map(({ layer, count, scattered }, i) => {
      const row = document.createElement('tr');
      const texts = [layer, `${scattered > 0 ? 'at most ' : ''}${plain(count)}`, `${(100 * count / tokens).toFixed(1)} %`];
      if (connects) texts.push(plain(direct[i].count));
      for (const text of texts) row.insertCell().textContent = text;
      return row;
    }));
  }

  #onMap(event) {
    if (this.#pattern === null || element('view').value === 'sorted') return;
    const box = this.#map.getBoundingClientRect();
    const [from, to] = this.#range();
    // The close view moves with the token, so there the pointer chooses where it is pressed.
    if (element('view').value === 'near' && event.type === 'pointermove') return;
    this.setToken(from + ((event.clientY - box.top) / box.height) * (to - from) - 0.5);
  }

  #onField(event) {
    if (this.#pattern === null) return;
    const box = this.#field.getBoundingClientRect();
    this.setToken(((event.clientX - box.left - 74) / (box.width - 74)) * this.#pattern.tokens - 0.5);
  }
}
