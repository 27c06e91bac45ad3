// What the page asks the server, and what went wrong in plain words. Addresses are relative, so the
// page also works behind a proxy that serves it below another path.

// Why there is no answer. `kind`: key | size | busy | away | late | missing | refused | gone.
// `detail` holds the server's own words, `retryAfter` seconds.
export class Refusal extends Error {
  constructor(kind, message, { detail = '', retryAfter = 0 } = {}) {
    super(message);
    this.kind = kind;
    this.detail = detail;
    this.retryAfter = retryAfter;
  }
}

const kWords = {
  401: ['key', 'This server asks for a key.'],
  403: ['key', 'This key may not be used here.'],
  404: ['missing', 'This server does not offer its JSON calls over HTTP, which this page needs.'],
  408: ['late', 'Sending the text took longer than the server waits.'],
  413: ['size', 'The text is larger than this server takes in one request.'],
  429: ['busy', 'The server has too much to do right now.'],
  503: ['away', 'The server takes no work right now: it is starting, shutting down, or short of memory.'],
  504: ['late', 'The answer took longer than the server allows for one request.'],
};

async function refusalOf(response) {
  const error = await response.json().then((body) => body.error ?? body, () => ({}));
  const [kind, message] = kWords[response.status] ??
    (response.status >= 500 ? ['refused', 'The server could not do it.'] : ['refused', 'The server refused the request.']);
  const retryAfter = Number(response.headers.get('Retry-After')) || 0;
  // A server that is full names a time. One that does not would refuse this text at any time.
  const isFull = response.status !== 429 || retryAfter > 0;
  return new Refusal(isFull ? kind : 'size', isFull ? message : 'The text is more than this server takes on at once.', {
    detail: String(error.message ?? '').trim(),
    retryAfter,
  });
}

// How long the server keeps a text for this page, in seconds.
const kKeptFor = 3600;
// Such a refusal is of keeping and not of the text, or it comes again where the text is sent with
// the question.
const kNotKept = ['refused', 'size', 'missing'];

export class Server {
  key = '';  // a bearer key; held in memory and nowhere else
  // By the tokens of a span, which are of a collection: {name, text, until}.
  #kept = new Map();

  async #call(path, options = {}) {
    const headers = { Accept: 'application/json', ...options.headers };
    if (this.key !== '') headers.Authorization = `Bearer ${this.key}`;
    if (options.body !== undefined) headers['Content-Type'] = 'application/json';
    let response;
    try {
      response = await fetch(path, { ...options, headers, cache: 'no-store', credentials: 'same-origin' });
    } catch (error) {
      if (error.name === 'AbortError') throw error;
      throw new Refusal('gone', 'The server does not answer. It may have stopped, or the connection was cut.');
    }
    if (!response.ok) throw await refusalOf(response);
    try {
      return await response.json();
    } catch (error) {
      if (error.name === 'AbortError') throw error;
      throw new Refusal('gone', 'The connection was cut before the answer was complete.');
    }
  }

  // GetModelInfoResponse.
  model(signal) {
    return this.#call('model', { signal });
  }

  // Whether the text was read before, so that a search reads the question alone.
  isKept(text, { spanTokens }) {
    const kept = this.#kept.get(spanTokens);
    return kept !== undefined && kept.text === text && performance.now() < kept.until;
  }

  // What answers the question in the text: an answer of POST /search with the text as its one
  // document, {results: [{spans, ...}], ...}, and `readNow`: whether the text was read for it. A
  // server that keeps documents reads the text with the first question, and keeps it for the next.
  async search(text, question, options, { model, signal } = {}) {
    const { spanTokens, truncation, ...ofSearch } = options;
    for (const isLast of [false, true]) {
      const readNow = !this.isKept(text, options);
      const put = readNow ? await this.#keep(text, options, { model, signal }) : {};
      if (put === null) break;
      try {
        const path = `collections/${this.#kept.get(spanTokens).name}/search`;
        const answer = await this.#send(path, { query: question, options: ofSearch }, { model, signal });
        return { ...answer, readNow, timings: sumOf(answer.timings, put.timings) };
      } catch (error) {
        // It is there no more: the server began anew, or somebody deleted it.
        if (error.kind !== 'missing' || isLast) throw error;
        this.#kept.delete(spanTokens);
      }
    }
    const answer = await this.#send('search', { query: question, documents: [text], options }, { model, signal });
    return { ...answer, readNow: true };
  }

  // Has the server read the text; null where it keeps none.
  async #keep(text, { spanTokens, truncation }, { model, signal }) {
    if (Number(model?.limits?.maxCollectionBytes ?? 0) === 0) return null;
    const name = this.#kept.get(spanTokens)?.name ?? `page-${randomName()}`;
    const options = { truncation, spanTokens, ttlSeconds: kKeptFor };
    try {
      const until = performance.now() + 900 * kKeptFor;
      const put = await this.#send(`collections/${name}/documents`, { documents: [{ id: 'text', text }], options }, { model, signal, method: 'PUT' });
      this.#kept.set(spanTokens, { name, text, until });
      return put;
    } catch (error) {
      if (kNotKept.includes(error.kind)) return null;
      throw error;
    }
  }

  async #send(path, message, { model, signal, method = 'POST' }) {
    const body = JSON.stringify(message);
    const limits = model?.limits ?? {};
    const most = Number(limits.maxRequestBytes ?? 0);
    // The text has more bytes than characters, so most texts need not be measured.
    if (most > 0 && body.length > most / 3 && new TextEncoder().encode(body).length > most) {
      throw new Refusal('size', 'The text is larger than this server takes in one request.', { detail: `The limit is ${sizeOf(most)}.` });
    }
    // As long as the server waits at most: whoever does not want to has a button that stops it.
    const patience = Number(limits.maxDeadlineSeconds ?? 0);
    const headers = patience > 0 ? { 'x-request-timeout': String(patience) } : {};
    return this.#call(path, { method, body, headers, signal });
  }
}

const randomName = () => [...crypto.getRandomValues(new Uint8Array(8))].map((byte) => byte.toString(16).padStart(2, '0')).join('');

// Of two calls that followed one another.
function sumOf(timings = {}, others = {}) {
  const names = new Set([...Object.keys(timings), ...Object.keys(others)]);
  return Object.fromEntries([...names].map((name) => [name, Number(timings[name] ?? 0) + Number(others[name] ?? 0)]));
}

export function sizeOf(bytes) {
  for (const [unit, size] of [['GiB', 2 ** 30], ['MiB', 2 ** 20], ['KiB', 2 ** 10]]) {
    if (bytes >= size) return `${Number((bytes / size).toFixed(1))} ${unit}`;
  }
  return `${bytes} bytes`;
}
