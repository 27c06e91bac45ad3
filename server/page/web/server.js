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

export class Server {
  key = '';  // a bearer key; held in memory and nowhere else

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

  // What answers the question in the text: an answer of POST /search with the text as its one
  // document, {results: [{spans, ...}], ...}. It alone knows how a text comes to the server, which
  // here is with each question.
  search(text, question, options, { model, signal } = {}) {
    return this.#send('search', { query: question, documents: [text], options }, { model, signal });
  }

  async #send(path, message, { model, signal }) {
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
    return this.#call(path, { method: 'POST', body, headers, signal });
  }
}

export function sizeOf(bytes) {
  for (const [unit, size] of [['GiB', 2 ** 30], ['MiB', 2 ** 20], ['KiB', 2 ** 10]]) {
    if (bytes >= size) return `${Number((bytes / size).toFixed(1))} ${unit}`;
  }
  return `${bytes} bytes`;
}
