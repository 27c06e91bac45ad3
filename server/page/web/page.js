// The page: what the controls do. The parts know nothing of each other: server.js asks, reader.js
// shows the text, attention_view.js draws, text.js and scores.js compute.
import { AttentionView } from './attention_view.js';
import { Reader } from './reader.js';
import { best, dot, levelsOf, vectorOf } from './scores.js';
import { Refusal, Server, promptOfQuestion, promptOfText, sizeOf } from './server.js';
import { inSlices } from './slices.js';
import { Places, normalise, snippetOf } from './text.js';

const kBest = 8;
// Characters of a paste from which on it is shown as a page, and of a text that the text field
// takes at all: it lays out every line at once.
const kTypedAtMost = 20_000;
const kEditedAtMost = 100_000;
const kDrawnWithoutText = 4096;  // tokens

const kSamples = [
  {
    name: 'A lease',
    file: 'page/lease.txt',
    questions: ['Who pays when the roof leaks?', 'How much notice must be given to end it early?', 'Can I bring my dog?'],
  },
  {
    name: 'Two chapters of “Alice”',
    file: 'page/alice.txt',
    questions: ['What is the golden key for?', 'What did the Rabbit lose?', 'How deep is the hole she falls into?'],
  },
];

const element = (id) => document.getElementById(id);
const plain = (value) => Number(value).toLocaleString('en');
const make = (tag, className, text) => {
  const out = document.createElement(tag);
  if (className) out.className = className;
  if (text !== undefined) out.textContent = text;
  return out;
};

const server = new Server();
const attention = new AttentionView();
const reader = new Reader(element('reader'), { onPoint: tellSpan, onChoose: (span) => choose(span) });
let model = null;
let read = null;     // the text that was encoded: see readText
let scores = null;   // of its spans, for the last question
let running = null;  // AbortController of what is under way
let again = null;    // what "Try again" does

// ---- What is said

const say = (text) => { element('status').textContent = text; };

function showProblem(error, retry) {
  const refusal = error instanceof Refusal ? error : new Refusal('refused', 'Something went wrong in this page.', { detail: String(error?.message ?? error) });
  const wait = refusal.retryAfter > 0 ? ` It asks to try again in ${plain(refusal.retryAfter)} ${refusal.retryAfter === 1 ? 'second' : 'seconds'}.` : '';
  const help = {
    size: model?.limits === undefined ? '' : ` It takes texts of up to ${sizeOf(Number(model.limits.maxTextBytes))} in requests of up to ${sizeOf(Number(model.limits.maxRequestBytes))}.`,
    gone: ' Your text is still here.',
    busy: ' Your text is still here.',
    away: ' Your text is still here.',
  }[refusal.kind] ?? '';
  element('problem-what').textContent = refusal.message + wait + help;
  const own = refusal.detail !== '' && refusal.detail !== refusal.message ? `The server says: ${refusal.detail}` : '';
  element('problem-detail').textContent = own;
  element('again').hidden = retry === null || ['missing', 'key'].includes(refusal.kind);
  again = retry;
  element('problem').hidden = false;
  if (refusal.kind === 'key') {
    showKey(true);
    element('key').focus();
  }
}

function hideProblem() {
  element('problem').hidden = true;
}

function showKey(shown) {
  element('key-form').hidden = !shown;
  element('show-key').setAttribute('aria-expanded', String(shown));
}

// ---- The model

async function askModel() {
  hideProblem();
  try {
    model = await server.model();
  } catch (error) {
    element('model').textContent = 'No model yet';
    showProblem(error, askModel);
    return false;
  }
  const sparse = new Set((model.layers ?? []).map((layer) => layer.kind.replace('_', ' ')));
  element('model').textContent = `${model.model} · ${[...sparse].join(' and ')} · ${model.dtype} on ${model.device}`;
  const most = Number(model.limits?.maxTokens ?? 0);
  const parts = [`longspan ${model.serverVersion}`, `${plain(model.numParameters)} weights`, `${plain(model.dimensions)} dimensions`];
  if (most > 0) parts.push(`texts of up to ${plain(most)} tokens`);
  element('server-facts').textContent = parts.join(' · ');
  attention.setModel(model, most > 0 ? Math.min(kDrawnWithoutText, most) : kDrawnWithoutText);
  if (model.hasTokenizer === false) showProblem(new Refusal('refused', 'The model of this server has no tokenizer, so it reads no text.'), null);
  return true;
}

// ---- The text

const currentText = () => (element('reader').hidden ? normalise(element('text').value) : reader.text);

function tellFacts() {
  const text = currentText();
  element('text-facts').textContent = text === '' ? '' : `${plain(text.length)} characters`;
  element('clear').hidden = text === '';
}

function forgetResult() {
  read = scores = null;
  element('result').hidden = element('readout').hidden = element('legend').hidden = true;
}

// As a page of text, or in the text field where it can be changed.
async function showText(text, asPage) {
  forgetResult();
  element('reader').hidden = !asPage;
  element('text').hidden = asPage;
  element('edit').hidden = !asPage || text.length > kEditedAtMost;
  element('text').value = asPage ? '' : text;
  const shown = asPage ? reader.show(text) : reader.show('');
  tellFacts();
  await shown;
}

async function takeText(text, questions = []) {
  running?.abort();
  hideProblem();
  const typed = document.activeElement === element('text');
  await showText(normalise(text), true);
  if (typed) element('question').focus();
  suggest(questions);
}

function suggest(questions) {
  element('suggestions').replaceChildren(...questions.map((question) => {
    const button = make('button', '', question);
    button.type = 'button';
    button.addEventListener('click', () => {
      element('question').value = question;
      ask();
    });
    return button;
  }));
  element('suggestions').hidden = questions.length === 0;
}

async function takeFile(file) {
  if (file === undefined) return;
  const most = Number(model?.limits?.maxTextBytes ?? 0);
  if (most > 0 && file.size > most) {
    showProblem(new Refusal('size', `${file.name} has ${sizeOf(file.size)}, which is more than this server reads.`), null);
    return;
  }
  let text;
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(await file.arrayBuffer());
    if (text.includes('\0')) throw new TypeError('binary');
  } catch {
    showProblem(new Refusal('refused', `${file.name} is no text in UTF-8. Save it as plain text, then drop it here.`), null);
    return;
  }
  await takeText(text);
  say(`${file.name} is open.`);
}

async function takeSample({ file, questions }) {
  try {
    const response = await fetch(file);
    if (!response.ok) throw new TypeError(response.statusText);
    await takeText(await response.text(), questions);
    say('The sample is open.');
  } catch {
    showProblem(new Refusal('gone', 'The server does not answer. It may have stopped, or the connection was cut.'), () => takeSample({ file, questions }));
  }
}

// ---- The question

// The text with a vector for each of its spans. Kept until text or policy change, so that a second
// question costs no second pass.
async function readText(text, policy, signal) {
  const began = performance.now();
  const options = { spanPolicy: policy, normalize: true, truncation: 'TRUNCATION_HEAD', vectorFormat: 'VECTOR_FORMAT_INT8', includeDocumentVector: false };
  const prompt = promptOfText(model);
  if (prompt !== undefined) options.promptName = prompt;
  const answer = await server.encode(text, options, { model, signal });
  const network = performance.now() - began;
  const [encoding] = answer.encodings;
  const places = new Places(text, 'character');
  const sent = encoding.spans ?? [];
  const spans = [];
  await inSlices(sent.length, (i) => {
    const { characters, tokens, vector } = sent[i];
    spans.push({
      begin: places.of(Number(characters?.begin ?? 0)),
      end: places.of(Number(characters?.end ?? 0)),
      tokens: [Number(tokens?.begin ?? 0), Number(tokens?.end ?? 0)],
      vector: vectorOf(vector ?? {}),
    });
  });
  const ends = (encoding.usedText ?? []).map((range) => Number(range.end ?? 0));
  const bytes = new Places(text, 'byte');
  const readEnd = encoding.truncated && ends.length > 0 ? bytes.of(Math.max(...ends)) : text.length;
  return {
    text, policy, spans, readEnd, network,
    tokensUsed: Number(encoding.tokensUsed ?? 0),
    tokensTotal: Number(encoding.tokensTotal ?? 0),
    truncated: encoding.truncated === true,
    pooledAsMean: answer.pooledAsMean === true,
    timings: answer.timings ?? {},
  };
}

async function readQuestion(question, signal) {
  const options = { normalize: true };
  if (read.pooledAsMean) options.pooling = 'POOLING_MEAN';
  const prompt = promptOfQuestion(model);
  if (prompt !== undefined) options.promptName = prompt;
  const answer = await server.encode(question, options, { model, signal });
  return { vector: vectorOf(answer.encodings[0].vector ?? {}), timings: answer.timings ?? {}, tokens: Number(answer.encodings[0].tokensUsed ?? 0) };
}

function work(text) {
  const began = performance.now();
  const tell = () => { element('working-text').textContent = `${text} … ${((performance.now() - began) / 1000).toFixed(1)} s`; };
  tell();
  element('working').hidden = false;
  const timer = setInterval(tell, 100);
  return () => {
    clearInterval(timer);
    element('working').hidden = true;
  };
}

async function ask() {
  hideProblem();
  const question = element('question').value.trim();
  const text = currentText();
  if (text.trim() === '') {
    say('There is no text yet. Paste one, drop a file, or choose a sample.');
    showProblem(new Refusal('refused', 'There is no text yet. Paste one, drop a file, or choose a sample.'), null);
    element('text').focus();
    return;
  }
  if (question === '') {
    showProblem(new Refusal('refused', 'What do you want to find in the text? Type a question first.'), null);
    element('question').focus();
    return;
  }
  if (model === null && !(await askModel())) {
    again = ask;
    return;
  }
  running?.abort();
  const own = running = new AbortController();
  const policy = element('policy').value;
  const known = read !== null && read.text === text && read.policy === policy;
  const done = work(known ? 'Reading the question' : `Reading ${plain(text.length)} characters`);
  if (!known) say('Reading the text.');
  try {
    if (!known) {
      if (element('reader').hidden) await showText(text, true);
      read = scores = null;
      const answer = await readText(text, policy, own.signal);
      if (answer.spans.length === 0) throw new Refusal('refused', 'The server found no sentence in this text.');
      read = answer;
      await reader.cut(read.spans, read.readEnd);
      attention.setText(read.tokensUsed, placeOf);
    }
    const asked = await readQuestion(question, own.signal);
    if (own.signal.aborted) return;
    await showResult(asked);
  } catch (error) {
    if (error.name === 'AbortError') {
      if (own === running) say('Stopped.');
      return;
    }
    if (own === running) showProblem(error, ask);
  } finally {
    done();
    if (own === running) running = null;
  }
}

// ---- The answer

const unitOf = () => (read.policy === 'SPAN_POLICY_PARAGRAPHS' ? 'paragraph' : 'sentence');
const whereOf = (span) => {
  const [begin, end] = span.tokens;
  return `tokens ${plain(begin)} to ${plain(Math.max(begin, end - 1))} of ${plain(read.tokensUsed)}`;
};

function placeOf(token) {
  if (read === null) return '';
  const span = read.spans.find(({ tokens }) => tokens[0] <= token && token < tokens[1]);
  return span === undefined ? '' : `“${snippetOf(read.text, span.begin, span.end, 90)}”`;
}

async function showResult(asked) {
  const { spans, text } = read;
  scores = Float32Array.from(spans, ({ vector }) => dot(vector, asked.vector));
  const { level, low, high } = levelsOf(scores);
  // "6." before a heading is a sentence to the server, and an answer to nobody.
  const order = best(scores, Math.min(kBest, spans.length), (span) => /\p{L}/u.test(text.slice(spans[span].begin, spans[span].end)));
  if (order.length === 0) throw new Refusal('refused', 'There are no words in this text.');
  const ranks = new Map(order.map((span, i) => [span, i + 1]));
  await reader.colour(Array.from(scores, level), ranks);
  element('legend-low').textContent = `${low.toFixed(2)} and less`;
  element('legend-high').textContent = high.toFixed(2);
  element('best').replaceChildren(...order.map((span, i) => {
    const button = make('button');
    button.type = 'button';
    button.dataset.span = span;
    button.append(
      make('span', 'rank', i + 1),
      make('span', 'words', snippetOf(text, spans[span].begin, spans[span].end)),
      make('span', `score h${level(scores[span])}`, scores[span].toFixed(2)),
      make('span', 'where', whereOf(spans[span])),
    );
    button.addEventListener('click', () => choose(span, true));
    const item = make('li');
    item.append(button);
    return item;
  }));
  tellNumbers(asked);
  element('result').hidden = element('readout').hidden = element('legend').hidden = false;
  choose(order[0]);
  say(`${plain(spans.length)} ${unitOf()}s compared. The best match has similarity ${scores[order[0]].toFixed(2)}: ${snippetOf(text, spans[order[0]].begin, spans[order[0]].end)}`);
}

const milliseconds = (nanoseconds) => Number(nanoseconds ?? 0) / 1e6;
const time = (ms) => (ms >= 1000 ? `${(ms / 1000).toFixed(2)}\u00a0s` : `${ms.toFixed(ms < 10 ? 1 : 0)}\u00a0ms`);

function tellNumbers(asked) {
  const { timings, tokensUsed, tokensTotal, spans, network } = read;
  const total = milliseconds(timings.totalNs);
  const rows = [
    ['Read', tokensUsed === tokensTotal ? `all ${plain(tokensTotal)} tokens, in one pass` : `${plain(tokensUsed)} of ${plain(tokensTotal)} tokens`],
    ['Compared', `${plain(spans.length)} ${unitOf()}s`],
    ['Time', `${time(total)} in the server, ${time(network)} with the network`],
    ['Stages', `tokens ${time(milliseconds(timings.tokenizeNs))}, waiting ${time(milliseconds(timings.queueNs))}, model ${time(milliseconds(timings.computeNs))}`],
  ];
  if (total > 0) rows.push(['Speed', `${plain(Math.round((1000 * tokensUsed) / total))} tokens a second`]);
  rows.push(['Question', `${plain(asked.tokens)} tokens, ${time(milliseconds(asked.timings.totalNs))}`]);
  if (tokensUsed > 512) rows.push(['Cut at 512', `a model of 512 tokens would have read ${((100 * 512) / tokensTotal).toFixed(1)} %`]);
  element('numbers').replaceChildren(...rows.flatMap(([name, value]) => [make('dt', '', name), make('dd', '', value)]));
  const notes = [];
  if (read.truncated) notes.push(`The text is longer than this server reads: its first ${plain(tokensUsed)} of ${plain(tokensTotal)} tokens were compared, the rest is struck through.`);
  if (read.pooledAsMean) notes.push('This model makes its vectors from a single token, which says nothing of a sentence. The mean of a sentence’s tokens is compared here instead, so similarities are rougher.');
  element('note').textContent = notes.join(' ');
  element('note').hidden = notes.length === 0;
}

function tellSpan(span) {
  if (scores === null) return;
  element('readout').textContent = `${unitOf()} ${plain(span + 1)} of ${plain(scores.length)} · similarity ${scores[span].toFixed(3)} · ${whereOf(read.spans[span])}`.replace(/^./, (letter) => letter.toUpperCase());
}

// `byHand`: it was asked for, so it may move the page too.
function choose(span, byHand = false) {
  if (scores === null) return;
  reader.choose(span);
  tellSpan(span);
  for (const button of element('best').querySelectorAll('button')) {
    if (Number(button.dataset.span) === span) button.setAttribute('aria-current', 'true');
    else button.removeAttribute('aria-current');
  }
  attention.setToken(read.spans[span].tokens[0]);
  if (byHand) {
    element('reader').scrollIntoView({ block: 'nearest' });
    say(`${element('readout').textContent}. ${snippetOf(read.text, read.spans[span].begin, read.spans[span].end)}`);
  }
}

// ---- Wiring

element('samples').append(...kSamples.map((sample) => {
  const button = make('button', '', sample.name);
  button.type = 'button';
  button.addEventListener('click', () => takeSample(sample));
  return button;
}));

element('form').addEventListener('submit', (event) => {
  event.preventDefault();
  ask();
});
element('again').addEventListener('click', () => {
  const retry = again;
  hideProblem();
  retry?.();
});
element('stop').addEventListener('click', () => running?.abort());
element('policy').addEventListener('change', () => { if (read !== null) ask(); });

element('open').addEventListener('click', () => element('file').click());
element('file').addEventListener('change', () => {
  takeFile(element('file').files[0]);
  element('file').value = '';
});
element('edit').addEventListener('click', async () => {
  running?.abort();
  const text = reader.text;
  await showText(text, false);
  element('text').focus();
});
element('clear').addEventListener('click', async () => {
  running?.abort();
  hideProblem();
  suggest([]);
  await showText('', false);
  element('text').focus();
});
element('text').addEventListener('input', tellFacts);
element('text').addEventListener('paste', (event) => {
  const pasted = event.clipboardData?.getData('text/plain') ?? '';
  if (pasted.length <= kTypedAtMost) return;
  // A text field lays out all of its lines at once, and the tab would stand still.
  event.preventDefault();
  const { value, selectionStart, selectionEnd } = element('text');
  takeText(value.slice(0, selectionStart) + pasted + value.slice(selectionEnd));
});
for (const name of ['dragover', 'drop', 'dragleave']) {
  window.addEventListener(name, (event) => {
    if (![...(event.dataTransfer?.types ?? [])].includes('Files')) return;
    event.preventDefault();
    element('drop').classList.toggle('over', name === 'dragover');
    if (name === 'drop') takeFile(event.dataTransfer.files[0]);
  });
}
// Arrow keys walk the list of matches.
element('best').addEventListener('keydown', (event) => {
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  const buttons = [...element('best').querySelectorAll('button')];
  const at = buttons.indexOf(document.activeElement);
  if (step === undefined || at < 0) return;
  event.preventDefault();
  const next = buttons[Math.min(buttons.length - 1, Math.max(0, at + step))];
  next.focus();
  choose(Number(next.dataset.span), true);
});

element('show-key').addEventListener('click', () => {
  showKey(element('key-form').hidden);
  if (!element('key-form').hidden) element('key').focus();
});
element('key-form').addEventListener('submit', async (event) => {
  event.preventDefault();
  server.key = element('key').value.trim();
  const retry = again;
  if (!(await askModel())) return;
  showKey(false);
  if (retry !== null && retry !== askModel) retry();
  else element('question').focus();
});

function setTheme(theme) {
  if (theme === 'auto') delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
  attention.redraw();
}
element('theme').addEventListener('change', () => setTheme(element('theme').value));
window.matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => attention.redraw());

askModel();
