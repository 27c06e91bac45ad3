// The page: what the controls do. The parts know nothing of each other: server.js asks, reader.js
// shows the text, attention_view.js draws, text.js and passages.js compute.
import { AttentionView } from './attention_view.js';
import { levelsOf, passagesOf, whereIs } from './passages.js';
import { Reader, markedNodes } from './reader.js';
import { Refusal, Server, sizeOf } from './server.js';
import { normalise, placesOf, snippetOf } from './text.js';

const kBest = 8;  // passages
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
let read = null;     // what was found for the last question: see readAnswer
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
  // Multi-vector models have the latter alone.
  const dimensions = Number(model.dimensions) || Number(model.tokenDimensions);
  const parts = [`longspan ${model.serverVersion}`, `${plain(model.numParameters)} weights`, `${plain(dimensions)} dimensions`];
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
  read = null;
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

// What was found: the passages in the order of the text, and what the server tells of its reading.
async function readAnswer(text, question, answer, network) {
  const [result] = answer.results;
  const passages = await passagesOf(text, question, result);
  const { level, low, high } = levelsOf(passages.map(({ score }) => score));
  for (const passage of passages) passage.level = level(passage.score);
  const ends = result.truncated ? result.usedText.map(({ end }) => end) : [];
  const [readEnd] = ends.length === 0 ? [text.length] : await placesOf(text, 'byte', [Math.max(...ends)]);
  return {
    text, passages, low, high, readEnd, network,
    best: passages.toSorted((one, other) => one.rank - other.rank),
    tokensUsed: result.tokensUsed,
    tokensTotal: result.tokensTotal,
    truncated: result.truncated,
    questionTokens: answer.queryTokens,
    readNow: answer.readNow,
    timings: answer.timings ?? {},
  };
}

// Tells that the text is being read, or searched. Returns what ends that; `hide`: nothing else is
// under way.
function work(text, isKept) {
  const began = performance.now();
  const what = isKept ? 'Searching' : 'Reading';
  const tell = () => { element('working-text').textContent = `${what} ${plain(text.length)} characters … ${((performance.now() - began) / 1000).toFixed(1)} s`; };
  tell();
  element('working').hidden = false;
  say(isKept ? 'Searching the text.' : 'Reading the text.');
  const timer = setInterval(tell, 100);
  return (hide) => {
    clearInterval(timer);
    if (hide) element('working').hidden = true;
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
  const options = { spanTokens: Number(element('span-tokens').value), maxSpans: kBest, truncation: 'TRUNCATION_HEAD', bestTokens: true };
  const done = work(text, server.isKept(text, options));
  try {
    if (element('reader').hidden) await showText(text, true);
    const began = performance.now();
    const answer = await server.search(text, question, options, { model, signal: own.signal });
    const found = await readAnswer(text, question, answer, performance.now() - began);
    if (own !== running || own.signal.aborted) return;
    if (found.passages.length === 0) throw new Refusal('refused', 'The server found no words in this text.');
    await showResult(found);
  } catch (error) {
    if (own !== running) return;
    if (error.name === 'AbortError') say('Stopped.');
    else showProblem(error, ask);
  } finally {
    done(own === running);
    if (own === running) running = null;
  }
}

// ---- The answer

const whereOf = ({ tokens: [begin, end] }) => `tokens ${plain(begin)} to ${plain(end - 1)} of ${plain(read.tokensUsed)}`;

function placeOf(token) {
  if (read === null) return '';
  const place = whereIs(token, read.passages, read.tokensUsed, read.readEnd);
  if (place.in !== undefined) return `It stands in: “${snippetOf(read.text, ...place.in, 90)}”`;
  const begin = read.text.lastIndexOf(' ', place.near) + 1;
  return `It stands near: “${snippetOf(read.text, begin, read.readEnd, 90)}”`;
}

async function showResult(found) {
  const isNewText = read === null || read.text !== found.text || read.tokensUsed !== found.tokensUsed;
  read = found;
  if (!(await reader.cut(read.passages, read.readEnd))) return;
  if (isNewText) attention.setText(read.tokensUsed, placeOf);
  element('legend-low').textContent = read.low.toFixed(2);
  element('legend-high').textContent = read.high.toFixed(2);
  element('best').replaceChildren(...read.best.map((passage) => {
    const button = make('button');
    button.type = 'button';
    button.dataset.span = read.passages.indexOf(passage);
    // One child: a box that cuts lines would take each mark for a line of its own.
    const line = make('span');
    line.append(...markedNodes(read.text, passage.begin, passage.end, passage.marks));
    const words = make('span', 'words');
    words.append(line);
    button.append(
      make('span', 'rank', passage.rank),
      words,
      make('span', `score h${passage.level}`, passage.score.toFixed(2)),
      make('span', 'where', `similarity ${passage.similarity.toFixed(2)} · ${whereOf(passage)}`),
    );
    button.addEventListener('click', () => choose(Number(button.dataset.span), true));
    const item = make('li');
    item.append(button);
    return item;
  }));
  tellNumbers();
  element('result').hidden = element('readout').hidden = false;
  element('legend').hidden = read.passages.length === 1;
  const [best] = read.best;
  choose(read.passages.indexOf(best));
  say(`${plain(read.passages.length)} ${read.passages.length === 1 ? 'passage' : 'passages'} found. The best one has score ${best.score.toFixed(2)}: ${snippetOf(read.text, best.begin, best.end)}`);
}

const milliseconds = (nanoseconds) => Number(nanoseconds ?? 0) / 1e6;
const time = (ms) => (ms >= 1000 ? `${(ms / 1000).toFixed(2)}\u00a0s` : `${ms.toFixed(ms < 10 ? 1 : 0)}\u00a0ms`);

function tellNumbers() {
  const { timings, tokensUsed, tokensTotal, questionTokens, network, readNow } = read;
  const total = milliseconds(timings.totalNs);
  const rows = [
    ['Read', `${tokensUsed === tokensTotal ? `all ${plain(tokensTotal)} tokens, in one pass` : `${plain(tokensUsed)} of ${plain(tokensTotal)} tokens`}${readNow ? '' : ', for an earlier question'}`],
    ['Question', `${plain(questionTokens)} tokens`],
    ['Time', `${time(total)} in the server, ${time(network)} with the network`],
    ['Stages', `tokens ${time(milliseconds(timings.tokenizeNs))}, waiting ${time(milliseconds(timings.queueNs))}, model ${time(milliseconds(timings.computeNs))}`],
  ];
  if (total > 0 && readNow) rows.push(['Speed', `${plain(Math.round((1000 * tokensUsed) / total))} tokens a second`]);
  if (tokensUsed > 512) rows.push(['Cut at 512', `a model of 512 tokens would have read ${((100 * 512) / tokensTotal).toFixed(1)} %`]);
  element('numbers').replaceChildren(...rows.flatMap(([name, value]) => [make('dt', '', name), make('dd', '', value)]));
  element('note').textContent = !read.truncated ? '' : `The text is longer than this server reads: its first ${plain(tokensUsed)} of ${plain(tokensTotal)} tokens were searched, the rest is struck through.`;
  element('note').hidden = !read.truncated;
}

function tellSpan(span) {
  const passage = read?.passages[span];
  if (passage === undefined) return;  // a passage of the last answer, while the new one is shown
  element('readout').textContent = `Passage ${plain(passage.rank)} of ${plain(read.passages.length)} · score ${passage.score.toFixed(2)} · similarity ${passage.similarity.toFixed(3)} · ${whereOf(passage)}`;
}

// `byHand`: it was asked for, so it may move the page too.
function choose(span, byHand = false) {
  if (read?.passages[span] === undefined) return;
  reader.choose(span);
  tellSpan(span);
  for (const button of element('best').querySelectorAll('button')) {
    if (Number(button.dataset.span) === span) button.setAttribute('aria-current', 'true');
    else button.removeAttribute('aria-current');
  }
  attention.setToken(read.passages[span].tokens[0]);
  if (byHand) {
    element('reader').scrollIntoView({ block: 'nearest' });
    say(`${element('readout').textContent}. ${snippetOf(read.text, read.passages[span].begin, read.passages[span].end)}`);
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
element('span-tokens').addEventListener('change', () => { if (read !== null) ask(); });

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
