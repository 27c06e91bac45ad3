"""The page at / in a real browser (headless Chromium), on a real server with the embedded model.

    page_test.py SOURCE_DIR BUILD_DIR MODEL [TEST...]

Nothing of it depends on how fast the machine is: times are compared with what the same tab takes
for work of a known size. With PAGE_PICTURES=FOLDER it also leaves pictures of what people see.
Without chromium-headless-shell it fails; ./dev test installs it.
"""
import base64
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest
import urllib.error
import urllib.request
from pathlib import Path

from axe_playwright_python.base import AXE_FILE_PATH
from playwright.sync_api import sync_playwright

SOURCE, BUILD, MODEL = Path(sys.argv[1]).resolve(), sys.argv[2], sys.argv[3]
WEB = SOURCE / "server/page/web"
PICTURES = os.environ.get("PAGE_PICTURES")
CHROMIUM = shutil.which("chromium-headless-shell") or shutil.which("chromium")
WITHOUT_PROXY = urllib.request.build_opener(urllib.request.ProxyHandler({}))
ROOF = "Who pays when the roof leaks?"
PATIENCE = 180_000    # milliseconds; far more than any machine needs


class Server:
    """longspan-server on free ports, with its page at `url`."""

    def __init__(self, *flags, model=MODEL):
        self.process = subprocess.Popen([f"{BUILD}/longspan-server", "--model", model, "--listen", "127.0.0.1:0", "--http", "127.0.0.1:0",
                                         "--drain-delay", "0", "--log-level", "error", *flags], stdout=subprocess.PIPE, text=True)
        port = next(m for m in (re.search(r"HTTP on port (\d+)", line) for line in self.process.stdout) if m)[1]
        self.url = f"http://127.0.0.1:{port}/"

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
        self.process.wait()
        self.process.stdout.close()


def mask_of(model, tokens, layer):
    """Who sees whom in a layer, as the model's kernels get it: a row of 0 and 1 for each token. Out
    of the rectangles that `longspan-model mask` draws."""
    with tempfile.TemporaryDirectory() as folder:
        picture = Path(folder) / "mask.svg"
        subprocess.run([f"{BUILD}/longspan-model", "mask", model, "--tokens", str(tokens), "--layer", str(layer), "-o", picture], check=True, capture_output=True)
        paths = re.findall(r'<path transform="[^"]*"[^>]* d="([^"]*)"', picture.read_text(encoding="utf-8"))
    seen = [[0] * tokens for _ in range(tokens)]
    for x, y, width, height in re.findall(r"M(\d+) (\d+)h(\d+)v(\d+)h-\d+z", "".join(paths)):
        for row in range(int(y), int(y) + int(height)):
            seen[row][int(x):int(x) + int(width)] = [1] * int(width)
    return ["".join(map(str, row)) for row in seen]


def model_of_one_token(folder):
    """A copy of the embedded model in `folder` that makes its vector from the first token alone."""
    shutil.copytree(MODEL, folder, copy_function=os.symlink, dirs_exist_ok=True)
    path = Path(folder) / "1_Pooling/config.json"
    known = json.loads(path.read_text(encoding="utf-8"))
    path.unlink()
    path.write_text(json.dumps({**known, "pooling_mode_mean_tokens": False, "pooling_mode_cls_token": True}), encoding="utf-8")
    return folder


def long_text(characters):
    """Prose that has no sentence twice: chapter and paragraph numbers differ."""
    paragraphs = [p for p in (WEB / "alice.txt").read_text(encoding="utf-8").split("\n\n") if len(p) > 200]
    out, size = [], 0
    while size < characters:
        out.append(f"{len(out) + 1}. {paragraphs[len(out) % len(paragraphs)]}")
        size += len(out[-1]) + 2
    return "\n\n".join(out)


# How long a tab takes for work of a known size, and what then hinders its reader.
MEASURE = """() => {
  const began = performance.now();
  let sum = 0;
  for (let i = 0; i < 2e7; ++i) sum += Math.sqrt(i);
  return performance.now() - began + 0 * sum;
}"""
WATCH = """() => {
  window.longTasks = [];
  new PerformanceObserver((list) => longTasks.push(...list.getEntries().map((entry) => entry.duration))).observe({entryTypes: ['longtask']});
}"""

# Contrast of two colours as WCAG 2.2 defines it, and the ground that an element stands on.
CONTRAST = """
const channels = (colour) => (colour.match(/[\\d.]+/g) ?? []).map(Number);
const luminance = (colour) => {
  const [r, g, b] = channels(colour).map((value) => value / 255).map((value) => (value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const contrast = (a, b) => {
  const [high, low] = [luminance(a), luminance(b)].sort((x, y) => y - x);
  return (high + 0.05) / (low + 0.05);
};
const groundOf = (element) => {
  for (let at = element; at !== null; at = at.parentElement) {
    const colour = getComputedStyle(at).backgroundColor;
    if (channels(colour)[3] !== 0) return colour;
  }
  return 'rgb(255, 255, 255)';
};
"""


class PageTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        assert CHROMIUM, "no chromium-headless-shell: run ./dev test, which installs it"
        cls.server = Server()
        cls.playwright = sync_playwright().start()
        # Chromium's sandbox needs user namespaces, which a container has not. All that it loads is
        # ours.
        cls.chromium = cls.playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-dev-shm-usage"])

    @classmethod
    def tearDownClass(cls):
        cls.chromium.close()
        cls.playwright.stop()
        cls.server.stop()

    def setUp(self):
        self.contexts = []

    def tearDown(self):
        for context in self.contexts:
            context.close()

    def open(self, server=None, width=1440, height=900, scheme="light", refusals=False, **more):
        """A tab with the page. Whatever the console says, and any request to another host, fails
        the test; with `refusals` the browser's own lines about answers that are errors do not."""
        url = (server or self.server).url
        context = self.chromium.new_context(viewport={"width": width, "height": height}, color_scheme=scheme, **more)
        context.set_default_timeout(PATIENCE)
        self.contexts.append(context)
        tab = context.new_page()

        def on_console(message):
            if not (refusals and message.text.startswith("Failed to load resource")):
                tab.said.append(f"{message.type}: {message.text}")
        tab.said, tab.asked = [], []
        tab.on("console", on_console)
        tab.on("pageerror", lambda error: tab.said.append(f"error: {error}"))
        tab.on("request", lambda request: tab.asked.append(request.url))
        self.addCleanup(lambda: self.assertEqual(tab.said, []))
        self.addCleanup(lambda: self.assertEqual([asked for asked in tab.asked if not asked.startswith(url)], []))
        tab.goto(url)
        return tab

    def until(self, tab, expression, arg=None):
        """Waits for it to become true. Playwright's own wait_for_function evaluates text in the
        page, which the content security policy forbids."""
        for _ in range(PATIENCE // 50):
            if tab.evaluate(expression, arg):
                return
            tab.wait_for_timeout(50)
        self.fail(f"never true: {expression}")

    def come(self, tab, things, count):
        """Waits until there are so many."""
        for _ in range(PATIENCE // 20):
            if len(things) >= count:
                return
            tab.wait_for_timeout(20)
        self.fail(f"{len(things)} came, not {count}")

    def ready(self, tab):
        self.until(tab, "document.getElementById('server-facts').textContent !== ''")
        return tab

    def drop(self, tab, name, content):
        """What a file dropped on the page does."""
        tab.evaluate("""([name, content]) => {
          const data = new DataTransfer();
          const bytes = Uint8Array.from(atob(content), (letter) => letter.charCodeAt(0));
          data.items.add(new File([bytes], name));
          document.getElementById('drop').dispatchEvent(new DragEvent('drop', {dataTransfer: data, bubbles: true, cancelable: true}));
        }""", [name, base64.b64encode(content).decode()])

    def choose_file(self, tab, name, text):
        """What a file chosen in the dialog does. Nothing of it runs in the tab but the page."""
        tab.locator("#file").set_input_files({"name": name, "mimeType": "text/plain", "buffer": text.encode()})
        tab.wait_for_selector("#reader:not([hidden])")

    def sample(self, tab, name="A lease"):
        tab.get_by_role("button", name=name).click()
        tab.wait_for_selector("#reader:not([hidden])")

    def ask(self, tab, question):
        tab.get_by_label("Question", exact=True).fill(question)
        tab.get_by_role("button", name="Ask", exact=True).click()

    def best(self, tab):
        tab.wait_for_selector("#result:not([hidden])")
        return tab.locator("#best .words").all_inner_texts()

    def asked(self, **more):
        tab = self.ready(self.open(**more))
        self.sample(tab)
        self.ask(tab, ROOF)
        self.best(tab)
        return tab

    def picture(self, tab, name, **more):
        if PICTURES:
            tab.wait_for_timeout(300)
            tab.screenshot(path=f"{PICTURES}/{name}.png", **more)

    # ---- Modules

    def test_attention_is_that_of_the_rules(self):
        self.assertEqual(self.open().evaluate((SOURCE / "tests/page/attention_test.js").read_text(encoding="utf-8")), [])

    def test_attention_is_that_of_the_kernels(self):
        """Of models of each kind, over lengths around their bounds. A Reformer leaves out the own
        key of a token, so the diagonal is not compared."""
        tab = self.open()
        for name, lengths in {"longformer-windows": [9, 40, 64], "led": [40], "bigbird": [43, 44, 45, 64], "modernbert": [40, 64], "bert": [20],
                              "reformer-local": [5, 6, 7, 35, 36, 64]}.items():
            model = SOURCE / "tests/fixtures" / name
            server = Server(model=model)
            with WITHOUT_PROXY.open(f"{server.url}model", timeout=60) as answer:
                info = json.load(answer)
            server.stop()
            for tokens in lengths:
                for layer in range(len(info["layers"])):
                    with self.subTest(model=name, tokens=tokens, layer=layer):
                        mask = mask_of(model, tokens, layer)
                        self.assertIn("1", mask[0])
                        wrong = tab.evaluate("""async ([info, mask, layer]) => {
                          const {patternOf, seenBy} = await import('/page/attention.js');
                          const pattern = patternOf(info, mask.length);
                          return mask.flatMap((row, query) => [...row].flatMap((seen, key) =>
                            query === key || (seen === '1') === seenBy(pattern, layer, query, query + 1).some(([begin, end]) => begin <= key && key < end) ? [] : [[query, key]])).slice(0, 5);
                        }""", [info, mask, layer])
                        self.assertEqual(wrong, [])

    def test_places_blocks_and_passages(self):
        self.assertEqual(self.open().evaluate((SOURCE / "tests/page/text_test.js").read_text(encoding="utf-8")), [])

    # ---- Answers

    def test_the_right_span_of_each_sample_is_on_top(self):
        tab = self.ready(self.open())
        for sample, question, wanted in [("A lease", ROOF, " roof"),
                                         ("A lease", "How much notice must be given to end it early?", "notice"),
                                         ("A lease", "Can I bring my dog?", "No dogs, cats"),
                                         ("Two chapters", "How deep is the hole she falls into?", "falling down a very deep well")]:
            with self.subTest(question=question):
                self.sample(tab, sample)
                self.ask(tab, question)
                self.assertIn(wanted, self.best(tab)[0])

    def test_what_a_question_means_is_among_the_best(self):
        tab = self.ready(self.open())
        for question, wanted in [("What is the golden key for?", "it fitted"), ("What did the Rabbit lose?", "dropped the white kid gloves")]:
            with self.subTest(question=question):
                self.sample(tab, "Two chapters")
                self.ask(tab, question)
                self.assertIn(wanted, " ".join(" ".join(self.best(tab)).split()))

    def test_the_right_span_of_a_dropped_document_is_on_top(self):
        tab = self.ready(self.open())
        self.drop(tab, "LICENSE", (SOURCE / "LICENSE").read_bytes())
        tab.wait_for_selector("#reader:not([hidden])")
        self.ask(tab, "Is there any warranty?")
        self.assertRegex(self.best(tab)[0], r"(?i)warrant(y|ies)")
        numbers = tab.locator("#numbers").inner_text()
        self.assertRegex(numbers, r"all [\d,]+ tokens, in one pass")
        self.assertRegex(numbers, r"in the server, .* with the network")
        self.picture(tab, "document")

    def test_a_second_question_cancels_the_first(self):
        tab = self.ready(self.open(refusals=True))
        held, failed = [], []
        tab.on("requestfailed", lambda request: failed.append(request.post_data_json["query"]))
        tab.route("**/search", lambda route: held.append(route))
        self.sample(tab)
        self.ask(tab, ROOF)
        self.come(tab, held, 1)
        self.ask(tab, "Can I bring my dog?")
        self.come(tab, held, 2)
        self.come(tab, failed, 1)
        self.assertEqual(failed, [ROOF])
        self.assertRegex(tab.locator("#working").inner_text(), r"Searching [\d,]+ characters", "the second one is under way")
        held[1].continue_()
        self.assertIn("dogs", self.best(tab)[0])
        self.assertFalse(tab.locator("#problem").is_visible())
        self.assertFalse(tab.locator("#working").is_visible())

    def sends(self, tab):
        """What the tab sends from now on: method, path and JSON."""
        sent = []
        tab.on("request", lambda request: sent.append((request.method, request.url.split("/", 3)[3], request.post_data_json)) if request.method != "GET" else None)
        return sent

    def test_a_text_is_sent_once_and_kept_for_the_next_questions(self):
        tab = self.ready(self.open())
        sent = self.sends(tab)
        self.sample(tab)
        tab.get_by_label("Passages of").select_option("128")
        self.ask(tab, ROOF)
        self.best(tab)
        text = tab.locator("#reader").evaluate("(reader) => reader.textContent")
        folder = sent[0][1].removesuffix("/documents")
        self.assertRegex(folder, "^collections/page-[0-9a-f]{16}$")
        self.assertEqual(sent, [
            ("PUT", f"{folder}/documents", {"documents": [{"id": "text", "text": text}], "options": {"truncation": "TRUNCATION_HEAD", "spanTokens": 128, "ttlSeconds": 3600}}),
            ("POST", f"{folder}/search", {"query": ROOF, "options": {"maxSpans": 8, "bestTokens": True}})])
        self.assertIn("in one pass", tab.locator("#numbers").inner_text())
        self.assertIn("tokens a second", tab.locator("#numbers").inner_text())
        self.ask(tab, "Can I bring my dog?")
        self.until(tab, "document.getElementById('numbers').textContent.includes('for an earlier question')")
        self.assertIn("dogs", self.best(tab)[0])
        self.assertNotIn("tokens a second", tab.locator("#numbers").inner_text())
        self.assertEqual(sent[2:], [("POST", f"{folder}/search", {"query": "Can I bring my dog?", "options": {"maxSpans": 8, "bestTokens": True}})])

    def test_a_text_that_is_kept_no_more_is_sent_again(self):
        tab = self.ready(self.open(refusals=True))
        self.sample(tab)
        self.ask(tab, ROOF)
        self.best(tab)
        sent = self.sends(tab)
        tab.evaluate("""async () => {
          const { collections } = await (await fetch('collections')).json();
          for (const { name } of collections) await fetch(`collections/${name}`, { method: 'DELETE' });
        }""")
        del sent[:]
        self.ask(tab, "Can I bring my dog?")
        self.until(tab, "document.querySelector('#best').textContent.includes('dogs')")
        self.assertEqual([method for method, _, _ in sent], ["POST", "PUT", "POST"])

    def test_a_server_that_keeps_nothing_gets_the_text_with_each_question(self):
        server = Server("--collections=false")
        self.addCleanup(server.stop)
        tab = self.ready(self.open(server))
        sent = self.sends(tab)
        self.sample(tab)
        self.ask(tab, ROOF)
        self.assertIn(" roof", self.best(tab)[0])
        text = tab.locator("#reader").evaluate("(reader) => reader.textContent")
        [(method, path, body)] = sent
        self.assertEqual((method, path, body["query"], body["documents"]), ("POST", "search", ROOF, [text]))

    def test_the_best_tokens_of_a_passage_are_underlined(self):
        tab = self.asked()
        self.assertEqual(tab.evaluate("document.querySelectorAll('#reader u').length"),
                         tab.evaluate("document.querySelectorAll('#reader [data-span] u').length"))
        shown = tab.evaluate("""() => [...document.querySelectorAll('#best button')].map((button) => [
          [...button.querySelectorAll('u')].map((part) => part.textContent).join('|'),
          [...document.querySelectorAll(`#reader [data-span='${button.dataset.span}'] u`)].map((part) => part.textContent).join('|'),
          getComputedStyle(button.querySelector('u')).textDecorationLine])""")
        for listed, in_text, line in shown:
            self.assertEqual(listed.replace("|", ""), in_text.replace("|", ""))
            self.assertEqual(line, "underline")
        self.assertIn("roof", shown[0][0])
        said = tab.evaluate("[...document.querySelectorAll(\"#reader [data-rank='1'] u\")].map((part) => part.title)")
        self.assertTrue(any(re.search(r"^Most like .*“roof”, cosine [01]\.\d\d", each) for each in said), said)
        self.assertFalse(any("“the”" in each for each in said), "an article decides nothing")

    def test_a_passage_is_told_and_found_in_the_text(self):
        tab = self.asked()
        second = tab.locator("#best button").nth(1)
        second.click()
        chosen = tab.evaluate("[...document.querySelectorAll('#reader .chosen')].map((part) => part.textContent).join('')")
        self.assertEqual(" ".join(chosen.split()), " ".join(second.locator(".words").evaluate("(words) => words.textContent").split()))
        self.assertRegex(tab.locator("#readout").inner_text(), r"^Passage 2 of 8 · score -?\d+\.\d\d · similarity 0\.\d{3} · tokens [\d,]+ to [\d,]+ of [\d,]+$")
        inside = tab.evaluate("""() => { const own = document.querySelector('#reader .chosen').getBoundingClientRect(), box = document.getElementById('reader').getBoundingClientRect();
          return own.top >= box.top - 1 && own.top <= box.bottom; }""")
        self.assertTrue(inside)
        tab.locator("#reader [data-rank='3']").first.click()
        self.assertIn("Passage 3 of 8", tab.locator("#readout").inner_text())

    def test_the_text_on_the_screen_is_the_text(self):
        """Places are counted in code points: signs beyond the first plane must not shift them."""
        text = "Ada 😀😀😀 likes maps. 𝄞 The roof leaks when it rains. Naïve café owners sell tea.\r\nThe end 🎉 comes."
        tab = self.ready(self.open())
        self.drop(tab, "signs.txt", text.encode())
        tab.wait_for_selector("#reader:not([hidden])")
        self.ask(tab, "a roof that leaks")
        self.assertIn("𝄞 The roof leaks when it rains.", self.best(tab)[0])
        underlined = set(tab.locator("#reader u").all_inner_texts())
        self.assertLessEqual({"roof", "leaks"}, underlined)
        shown = tab.evaluate("[...document.querySelectorAll('#reader > div')].map((block) => block.textContent).join('')")
        self.assertEqual(shown, text.replace("\r\n", "\n"))

    def test_colours_follow_the_scores(self):
        tab = self.asked()
        levels = tab.evaluate("[...document.querySelectorAll('#best .score')].map((score) => [Number(score.textContent), Number(/h(\\d)/.exec(score.className)[1])])")
        self.assertEqual((levels[0][1], levels[-1][1]), (6, 1))
        self.assertEqual(levels, sorted(levels, key=lambda pair: (-pair[0], -pair[1])))
        in_text = tab.evaluate("[...document.querySelectorAll('#best button')].map((button) => document.querySelector(`#reader [data-span='${button.dataset.span}']`).className[1])")
        self.assertEqual(in_text, [str(level) for _, level in levels])
        self.assertEqual(tab.locator("#legend").inner_text().split(), ["Score", f"{levels[-1][0]:.2f}", f"{levels[0][0]:.2f}"])
        self.ask(tab, "Can I bring my dog?")
        self.until(tab, "document.querySelector('#best .words').textContent.includes('dogs')")
        self.assertEqual(len(set(tab.locator("#reader [data-rank]").evaluate_all("(parts) => parts.map((part) => part.dataset.rank)"))), 8, "no passage of the first question stays")
        self.assertEqual(tab.locator("#reader [data-rank]").count(), 8)

    def test_a_text_beyond_the_bound_says_what_was_read(self):
        server = Server("--max-tokens", "256")
        self.addCleanup(server.stop)
        tab = self.ready(self.open(server))
        self.sample(tab)
        self.ask(tab, "How much is the rent?")
        self.best(tab)
        self.assertRegex(tab.locator("#note").inner_text(), r"its first 256 of [\d,]+ tokens were searched")
        unread = tab.evaluate("[...document.querySelectorAll('#reader .unread')].map((part) => part.textContent).join('')")
        self.assertIn("12.5 Letters reach", unread)
        self.assertNotIn("1.1 The lease begins", unread)

    def test_a_pasted_book_is_no_burden_of_a_text_field(self):
        tab = self.ready(self.open())
        tab.evaluate("""(text) => {
          const data = new DataTransfer();
          data.setData('text/plain', text);
          document.getElementById('text').dispatchEvent(new ClipboardEvent('paste', {clipboardData: data, bubbles: true, cancelable: true}));
        }""", long_text(40_000))
        tab.wait_for_selector("#reader:not([hidden])")
        self.assertGreater(tab.evaluate("document.getElementById('reader').textContent.length"), 40_000)

    # ---- Long texts

    def test_64k_tokens_do_not_freeze_the_tab(self):
        tab = self.ready(self.open())
        measured = tab.evaluate(MEASURE)
        tab.evaluate(WATCH)
        self.choose_file(tab, "book.txt", long_text(262_000))
        self.ask(tab, "a golden key on a table of glass")
        tab.wait_for_selector("#working:not([hidden])")
        clicked = tab.evaluate("""() => new Promise((resolve) => {
          const began = performance.now();
          document.getElementById('show-key').click();
          requestAnimationFrame(() => resolve(performance.now() - began));
        })""")
        self.best(tab)
        used = int(re.search(r"([\d,]+) tokens", tab.locator("#numbers").inner_text())[1].replace(",", ""))
        self.assertGreater(used, 64_000)
        self.assertRegex(self.best(tab)[0], r"(?i)key")
        tab.locator("#best button").nth(3).click()
        for layer in range(3):
            tab.locator("#layer").select_option(index=layer)
        tab.locator("#token").focus()
        for key in ("PageUp", "PageUp", "ArrowRight", "Home", "End"):
            tab.keyboard.press(key)
        tab.locator("#map").hover()
        tab.wait_for_timeout(500)
        long_tasks = tab.evaluate("longTasks")
        print(f"64K tokens: {used} tokens, longest tasks {sorted(map(round, long_tasks))[-5:]} ms, 2e7 square roots {measured:.0f} ms, answer to a click {clicked:.0f} ms")
        # A quiet machine takes 35 ms for what was measured, and has tasks of 60 ms. Where others
        # work beside the test, a task is stretched more than what was measured.
        bound = max(400, 10 * measured)
        self.assertLess(max(long_tasks, default=0), bound)
        self.assertLess(clicked, bound)
        self.picture(tab, "64k", full_page=True)

    def test_a_million_characters_do_not_freeze_the_tab(self):
        """The page alone, with an answer that no model made: work that is not cut into slices, or a
        layout of all of the text, takes seconds here."""
        text = long_text(1_000_000).replace("\n\n", " ")
        begins = [i * (len(text) // 8) + 1000 for i in (7, 0, 5, 2, 3, 4, 1, 6)]
        spans = [{"begin": begin, "end": begin + 300, "score": 3 - i, "similarity": 0.5, "tokens": {"begin": begin // 4, "end": begin // 4 + 64},
                  "bestTokens": [{"begin": begin + 9 * t, "end": begin + 9 * t + 5, "query": {"begin": 0, "end": 8}, "similarity": 0.5, "weight": 0.03} for t in range(30)]}
                 for i, begin in enumerate(begins)]
        answer = {"results": [{"tokensTotal": len(text) // 4, "tokensUsed": len(text) // 4, "truncated": False, "usedText": [], "spans": spans}], "queryTokens": 3}
        tab = self.ready(self.open())
        tab.route("**/search", lambda route: route.fulfill(json=answer))
        measured = tab.evaluate(MEASURE)
        tab.evaluate(WATCH)
        self.choose_file(tab, "library.txt", text)
        self.ask(tab, "anything")
        self.best(tab)
        tab.locator("#best button").last.click()
        self.assertIn("Passage 8 of 8", tab.locator("#readout").inner_text())
        self.assertEqual(tab.locator("#reader .chosen").first.get_attribute("data-rank"), "8")
        tab.wait_for_timeout(500)
        blocks = tab.evaluate("[...document.querySelectorAll('#reader > div')].map((block) => [block.textContent.length, getComputedStyle(block).contentVisibility])")
        self.assertEqual({kind for _, kind in blocks}, {"auto"}, "only blocks in sight are laid out")
        self.assertLess(max(length for length, _ in blocks), 1600)
        long_tasks = tab.evaluate("longTasks")
        print(f"a million characters: longest tasks {sorted(map(round, long_tasks))[-5:]} ms, 2e7 square roots {measured:.0f} ms")
        self.assertLess(max(long_tasks, default=0), max(400, 10 * measured))

    # ---- Everybody's page

    def test_nothing_is_wider_than_the_screen_and_all_can_be_read_and_hit(self):
        for width in (360, 1440):
            with self.subTest(width=width):
                tab = self.asked(width=width)
                wide = tab.evaluate("[document.documentElement.scrollWidth, innerWidth]")
                self.assertLessEqual(wide[0], wide[1])
                small = tab.evaluate("""() => [...document.querySelectorAll('body *')]
                  .filter((element) => element.checkVisibility() && [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim() !== ''))
                  .filter((element) => parseFloat(getComputedStyle(element).fontSize) < 13)
                  .map((element) => element.textContent.slice(0, 40))""")
                self.assertEqual(small, [])
                missed = tab.evaluate("""() => [...document.querySelectorAll('button, select, input, summary, textarea')]
                  .filter((element) => element.checkVisibility() && element.type !== 'file')
                  .map((element) => [element.id || element.textContent, element.getBoundingClientRect()])
                  .filter(([, box]) => box.height < 44 || box.width < 44).map(([name, box]) => `${name}: ${box.width} x ${box.height}`)""")
                self.assertEqual(missed, [])
                outside = tab.evaluate("""() => [...document.querySelectorAll('main *')].filter((element) => element.checkVisibility() && element.closest('.reader, .scroll, .hidden, svg') === null)
                  .filter((element) => { const box = element.getBoundingClientRect(); return box.width > 0 && (box.right > innerWidth + 1 || box.left < -1); }).map((element) => element.id || element.className || element.tagName)""")
                self.assertEqual(outside, [])

    def test_all_of_it_works_with_the_keyboard(self):
        tab = self.ready(self.open())

        def walk_to(wanted, back=False):
            for _ in range(60):
                tab.keyboard.press("Shift+Tab" if back else "Tab")
                name = tab.evaluate("(document.activeElement.id || document.activeElement.textContent.trim())")
                outline = tab.evaluate("getComputedStyle(document.activeElement).outlineStyle + getComputedStyle(document.activeElement).outlineWidth")
                self.assertRegex(outline, r"^(solid|auto)[1-9]", name)
                if name == wanted or name.startswith(wanted + " "):
                    return
            self.fail(f"no way to {wanted}")
        walk_to("A lease")
        tab.keyboard.press("Enter")
        tab.wait_for_selector("#reader:not([hidden])")
        walk_to("question")
        tab.keyboard.type(ROOF)
        tab.keyboard.press("Enter")
        self.assertIn(" roof", self.best(tab)[0])
        self.assertRegex(tab.locator("#status").inner_text(), r"^8 passages found\. The best one has score")
        for _ in range(20):
            tab.keyboard.press("Tab")
            if tab.evaluate("document.activeElement.closest('#best') !== null"):
                break
        tab.keyboard.press("ArrowDown")
        self.assertEqual(tab.evaluate("document.activeElement.querySelector('.rank').textContent"), "2")
        self.assertEqual(tab.evaluate("document.activeElement.getAttribute('aria-current')"), "true")
        chosen = tab.evaluate("document.activeElement.dataset.span")
        self.assertEqual(tab.evaluate("document.querySelector('#reader .chosen').dataset.span"), chosen)
        inside = tab.evaluate("""() => { const own = document.querySelector('#reader .chosen').getBoundingClientRect(), box = document.getElementById('reader').getBoundingClientRect();
          return own.top >= box.top - 1 && own.bottom <= box.bottom + 1; }""")
        self.assertTrue(inside, "the chosen span is in sight")
        walk_to("token")
        before = tab.locator("#field-text").inner_text()
        tab.keyboard.press("PageUp")
        self.until(tab, "(before) => document.getElementById('field-text').textContent !== before", arg=before)
        self.assertEqual(tab.evaluate("document.getElementById('token').getAttribute('aria-valuetext')"), tab.locator("#field-text").inner_text())

    def test_axe_finds_nothing_and_all_contrasts_hold(self):
        for scheme in ("light", "dark"):
            for width in (360, 1440):
                with self.subTest(scheme=scheme, width=width):
                    tab = self.asked(scheme=scheme, width=width)
                    tab.locator("summary").click()
                    tab.get_by_role("button", name="Key").click()
                    tab.evaluate(Path(AXE_FILE_PATH).read_text(encoding="utf-8"))
                    found = tab.evaluate("axe.run({runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice']})")
                    self.assertEqual([(v["id"], [n["html"][:120] for n in v["nodes"]]) for v in found["violations"]], [])
                    low = tab.evaluate("() => {" + CONTRAST + """
                      return [...document.querySelectorAll('body *')]
                        .filter((element) => element.checkVisibility() && [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim() !== ''))
                        .map((element) => [element.textContent.slice(0, 30), contrast(getComputedStyle(element).color, groundOf(element))])
                        .filter(([, value]) => value < 4.5);
                    }""")
                    self.assertEqual(low, [])

    def test_the_theme_can_be_chosen(self):
        tab = self.asked()
        ground = "getComputedStyle(document.body).backgroundColor"
        light = tab.evaluate(ground)
        tab.get_by_label("Theme").select_option("dark")
        self.assertNotEqual(tab.evaluate(ground), light)
        tab.get_by_label("Theme").select_option("light")
        self.assertEqual(tab.evaluate(ground), light)

    def test_nothing_moves_where_that_is_asked_for(self):
        tab = self.asked(reduced_motion="reduce")
        moving = tab.evaluate("[...document.querySelectorAll('*')].filter((element) => getComputedStyle(element).transitionDuration !== '0s' || getComputedStyle(element).scrollBehavior === 'smooth').length")
        self.assertEqual(moving, 0)

    # ---- Attention

    def test_the_attention_is_drawn_for_the_length_of_the_text(self):
        tab = self.ready(self.open())
        self.sample(tab, "Two chapters")
        self.ask(tab, "What is the golden key for?")
        self.best(tab)
        used = re.search(r"all ([\d,]+) tokens", tab.locator("#numbers").inner_text())[1]
        self.assertIn(f"this text’s {used} tokens", tab.locator("#attention-facts").inner_text())
        self.assertRegex(tab.locator("#field-text").inner_text(), r"Token [\d,]+ reads 258 tokens in layer 1, and has read the whole text by layer 2, through the global token\.")
        self.assertRegex(tab.locator("#token-place").inner_text(), "It stands in: “")
        # The band of the window and the first column, in pixels.
        drawn = tab.evaluate("""() => {
          const map = document.getElementById('map'), size = map.width, draw = map.getContext('2d');
          const {data} = draw.getImageData(0, 0, size, size);
          const at = (x, y) => data.slice(4 * (Math.floor(y * (size - 1)) * size + Math.floor(x * (size - 1)))).slice(0, 4).join();
          return {band: at(0.3, 0.3), far: at(0.8, 0.3), column: at(0, 0.8), row: at(0.8, 0)};
        }""")
        self.assertEqual(drawn["column"], drawn["row"])
        self.assertEqual(len({drawn["band"], drawn["far"], drawn["column"]}), 3)
        tab.locator("#length").fill("300")
        tab.locator("#length").press("Enter")
        self.until(tab, "document.getElementById('field-text').textContent.includes('reads all 300 tokens')")
        self.assertIn("up to 512 tokens run with full attention", tab.locator("#map-text").inner_text())
        tab.get_by_role("button", name="This text’s length").click()
        self.until(tab, "(used) => document.getElementById('attention-facts').textContent.includes(used)", arg=used)

    def test_the_token_under_the_pointer_is_told(self):
        tab = self.asked()
        tab.locator("#field").hover(position={"x": 300, "y": 20})
        first = tab.locator("#field-text").inner_text()
        tab.locator("#map").hover(position={"x": 20, "y": 400})
        self.until(tab, "(first) => document.getElementById('field-text').textContent !== first", arg=first)

    def test_models_of_each_kind_are_drawn(self):
        layers = {
            "longformer": [{"kind": "sliding_window", "window": "256"}] * 12,
            "reformer": [{"kind": "local_chunk", "chunkLength": "64", "chunksBefore": "1", "chunksAfter": "0"}, {"kind": "lsh", "chunkLength": "64", "chunksBefore": "1", "chunksAfter": "0"}] * 3,
            "big_bird": [{"kind": "block_sparse", "chunkLength": "64", "randomBlocks": "3"}] * 12,
            "modernbert": [{"kind": "dense" if i % 3 == 0 else "sliding_window", "window": "64"} for i in range(22)],
            "bert": [{"kind": "dense"}] * 12,
        }
        for name, kinds in layers.items():
            with self.subTest(model=name):
                tab = self.open()
                info = {"model": name, "architecture": name, "dtype": "float32", "device": "cpu", "dimensions": 768, "layers": kinds, "numHashes": 2,
                        "lengthMultiple": "64", "denseUpTo": "704" if name == "big_bird" else "0", "limits": {}, "promptNames": [], "serverVersion": "0",
                        "numParameters": "1", "hasTokenizer": True, "supportsGlobalAttention": name == "longformer", "defaultGlobalAttention": "GLOBAL_ATTENTION_CLS"}
                tab.route("**/model", lambda route, *, info=info: route.fulfill(json=info))
                tab.reload()
                self.ready(tab)
                self.assertEqual(tab.locator("#layer option").count(), len(kinds))
                for index in range(min(2, len(kinds))):
                    tab.locator("#layer").select_option(index=index)
                    for view in tab.locator("#view option:not([hidden])").all():
                        tab.locator("#view").select_option(view.get_attribute("value"))
                        tab.wait_for_timeout(50)
                        self.picture(tab.locator("#attention").page, f"attention-{name}-{index}-{view.get_attribute('value')}", full_page=True)
                self.assertRegex(tab.locator("#field-text").inner_text(), r"Token [\d,]+ reads .*\.")

    # ---- What goes wrong

    def problem(self, tab):
        tab.wait_for_selector("#problem:not([hidden])")
        return tab.locator("#problem").inner_text()

    def refused(self, status, headers=None, **error):
        """What the page says where /search is refused."""
        tab = self.ready(self.open(refusals=True))
        tab.route("**/search", lambda route: route.fulfill(status=status, headers=headers or {}, json={"error": {"code": status, "message": "own words", **error}}))
        self.sample(tab)
        self.ask(tab, ROOF)
        said = self.problem(tab)
        self.assertTrue(tab.locator("#reader").is_visible(), "the text is still there")
        tab.unroute("**/search")
        if tab.get_by_role("button", name="Try again").is_visible():
            tab.get_by_role("button", name="Try again").click()
            self.assertIn(" roof", self.best(tab)[0])
            self.assertFalse(tab.locator("#problem").is_visible())
        return said

    def test_a_busy_server_says_when_to_come_again(self):
        said = self.refused(429, {"Retry-After": "3"})
        self.assertIn("too much to do right now. It asks to try again in 3 seconds. Your text is still here.", said)
        self.assertIn("The server says: own words", said)

    def test_a_text_that_no_pause_makes_fit(self):
        self.assertIn("The text is more than this server takes on at once.", self.refused(429))

    def test_a_draining_server(self):
        self.assertIn("takes no work right now", self.refused(503, {"Retry-After": "1"}))

    def test_a_text_too_large(self):
        said = self.refused(413)
        self.assertIn("larger than this server takes", said)
        self.assertIn("texts of up to 8 MiB in requests of up to 16 MiB", said)

    def test_other_refusals_are_told_in_the_servers_words(self):
        self.assertIn("The server says: own words", self.refused(400))

    def test_an_answer_that_took_too_long(self):
        self.assertIn("took longer than the server allows", self.refused(504))

    def test_a_long_text_may_take_as_long_as_the_server_allows(self):
        tab = self.ready(self.open())
        waits = []
        tab.on("request", lambda request: waits.append(request.headers.get("x-request-timeout")) if request.url.endswith("/search") else None)
        self.sample(tab)
        self.ask(tab, ROOF)
        self.best(tab)
        self.assertEqual(waits, ["600"])

    def test_a_text_over_the_limit_is_not_sent(self):
        server = Server("--max-request-bytes", "64KiB", "--max-text-bytes", "1MiB")
        self.addCleanup(server.stop)
        tab = self.ready(self.open(server))
        self.drop(tab, "book.txt", long_text(80_000).encode())
        tab.wait_for_selector("#reader:not([hidden])")
        self.ask(tab, ROOF)
        self.assertIn("The limit is 64 KiB.", self.problem(tab))
        self.assertEqual([url for url in tab.asked if url.endswith("/search")], [])
        self.drop(tab, "library.txt", b"a word and " * 120_000)
        self.until(tab, "document.getElementById('problem-what').textContent.includes('library.txt has 1.3 MiB')")

    def test_a_file_that_is_no_text(self):
        tab = self.ready(self.open())
        self.drop(tab, "photo.png", b"\x89PNG\x00\xff")
        self.assertIn("photo.png is no text in UTF-8", self.problem(tab))

    def test_nothing_to_ask(self):
        tab = self.ready(self.open())
        tab.get_by_role("button", name="Ask", exact=True).click()
        self.assertIn("There is no text yet", self.problem(tab))
        self.sample(tab)
        tab.get_by_role("button", name="Ask", exact=True).click()
        self.until(tab, "document.getElementById('problem').textContent.includes('Type a question first')")

    def test_a_server_with_keys_is_asked_with_one(self):
        with tempfile.NamedTemporaryFile("w", suffix=".keys") as keys:
            keys.write("sesame-7c2f9a\n")
            keys.flush()
            server = Server("--auth-keys-file", keys.name)
            self.addCleanup(server.stop)
            tab = self.open(server, refusals=True)
            self.assertIn("asks for a key", self.problem(tab))
            self.assertTrue(tab.get_by_label("Key of this server").is_visible())
            tab.get_by_label("Key of this server").fill("wrong")
            tab.keyboard.press("Enter")
            self.picture(tab, "key")
            self.assertIn("asks for a key", self.problem(tab))
            tab.get_by_label("Key of this server").fill("sesame-7c2f9a")
            tab.keyboard.press("Enter")
            self.ready(tab)
            self.sample(tab)
            self.ask(tab, ROOF)
            self.assertIn(" roof", self.best(tab)[0])
            kept = tab.evaluate("JSON.stringify([localStorage, sessionStorage, document.cookie])")
            self.assertEqual(json.loads(kept), [{}, {}, ""])
            tab.reload()
            self.assertIn("asks for a key", self.problem(tab))

    def test_a_server_that_is_gone(self):
        server = Server()
        self.addCleanup(server.stop)
        tab = self.ready(self.open(server, refusals=True))
        self.sample(tab)
        server.stop()
        self.ask(tab, ROOF)
        said = self.problem(tab)
        self.assertIn("The server does not answer.", said)
        self.assertIn("Your text is still here.", said)

    def test_a_model_whose_vector_is_that_of_one_token_answers_too(self):
        with tempfile.TemporaryDirectory() as folder:
            server = Server(model=model_of_one_token(folder))
            self.addCleanup(server.stop)
            tab = self.ready(self.open(server))
            self.sample(tab)
            self.ask(tab, ROOF)
            self.assertIn(" roof", self.best(tab)[0])

    def test_stop_ends_the_wait(self):
        tab = self.ready(self.open())
        held = []
        tab.route("**/search", lambda route: held.append(route))
        self.sample(tab)
        self.ask(tab, ROOF)
        tab.get_by_role("button", name="Stop").click()
        tab.wait_for_selector("#working[hidden]", state="attached")
        self.assertEqual(tab.locator("#status").inner_text(), "Stopped.")
        self.assertFalse(tab.locator("#problem").is_visible())
        for route in held:
            route.abort()

    def test_the_page_can_be_switched_off(self):
        server = Server("--page=false")
        self.addCleanup(server.stop)
        with self.assertRaises(urllib.error.HTTPError) as raised:
            WITHOUT_PROXY.open(f"{server.url}page/page.js", timeout=60)
        self.assertEqual(raised.exception.code, 404)
        raised.exception.close()

    # ---- Pictures for people; they prove nothing.

    @unittest.skipUnless(PICTURES, "PAGE_PICTURES names no folder")
    def test_pictures(self):
        for scheme in ("light", "dark"):
            for width, height in ((360, 780), (1440, 900)):
                tab = self.ready(self.open(scheme=scheme, width=width, height=height))
                self.picture(tab, f"empty-{width}-{scheme}")
                self.sample(tab)
                self.picture(tab, f"sample-{width}-{scheme}")
                self.ask(tab, ROOF)
                self.best(tab)
                self.picture(tab, f"result-{width}-{scheme}")
                self.picture(tab, f"full-{width}-{scheme}", full_page=True)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1] + sys.argv[4:], verbosity=2)
