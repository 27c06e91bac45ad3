#!/usr/bin/env python3
"""What ./dev quality's rules promise: documents, questions, questions in other words, lexical and
late-interaction scores, ranks and intervals. No network, no server, no packages."""
import random
import sys
import tempfile
import unittest
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
import documents  # noqa: E402
import html_text  # noqa: E402
import late_interaction  # noqa: E402
import lexical  # noqa: E402
import metrics  # noqa: E402
import packages  # noqa: E402
import paraphrase  # noqa: E402
import questions  # noqa: E402
import words  # noqa: E402

PAGE = b"""<html><head><title>no</title></head><body><div class="navheader">Prev Next</div><h2>4.2. Saving  the <em>session</em><a class="headerlink">x</a></h2>
<p>To save the whole session on disk, press the red button.<br>It is kept.</p><dl><dt>--keep</dt><dd><p>Keeps what was read.</p></dd></dl>
<pre>a = 1
b = 2</pre><table><tr><td>one</td><td>two</td></tr></table><script>no()</script></body></html>"""


def blocks(*texts: tuple[str, str]) -> documents.Document:
    return documents.document_of("package/0", [html_text.Block(kind, text, 2 if kind == "heading" else 0) for kind, text in texts])


class PagesTest(unittest.TestCase):
    def test_blocks_of_a_page(self):
        found = [(block.kind, block.text) for block in html_text.blocks_of_page(PAGE)]
        self.assertEqual(found, [("heading", "4.2. Saving the session"), ("text", "To save the whole session on disk, press the red button. It is kept."),
                                 ("term", "--keep"), ("text", "Keeps what was read."), ("code", "a = 1\nb = 2"), ("text", "one two")])

    def test_an_empty_page_has_no_blocks(self):
        self.assertEqual(html_text.blocks_of_page(b" "), [])

    def test_boilerplate_goes(self):
        pages = [[html_text.Block("text", "same"), html_text.Block("text", f"own {i}")] for i in range(10)]
        self.assertEqual([[block.text for block in page] for page in documents.without_boilerplate(pages)], [[f"own {i}"] for i in range(10)])

    def test_documents_end_at_headings_and_lose_nothing_before_the_tail(self):
        pages = [[html_text.Block("heading", f"h {i}", 1)] + [html_text.Block("text", f"word{i} " * 60)] * 5 for i in range(40)]
        cut = list(documents.cut(pages, random.Random(1)))
        self.assertGreater(len(cut), 2)
        for document in cut:
            self.assertEqual(document[0].kind, "heading")
        flat = [block for document in cut for block in document]
        self.assertEqual(flat, [block for page in pages for block in page][:len(flat)])

    def test_places_of_blocks(self):
        document = blocks(("heading", "A title"), ("text", "Some text."))
        for place, block in document.blocks:
            self.assertEqual(document.text[place:place + len(block.text)], block.text)


class PackagesTest(unittest.TestCase):
    def test_the_lock_file_is_complete_and_reserved_packages_are_not_in_it(self):
        entries = packages.read()
        self.assertFalse(packages.RESERVED & {entry["name"] for entry in entries})
        for entry in entries:
            self.assertEqual(len(entry["sha256"]), 64, entry["name"])
            self.assertTrue(entry["version"], entry["name"])

    def test_a_reserved_or_doubled_package_is_refused(self):
        kept = packages.LOCK
        with tempfile.TemporaryDirectory() as folder:
            packages.LOCK = Path(folder) / "packages.json"
            try:
                for names, message in ((("perl-doc",), "reserved"), (("git-doc", "git-doc"), "share no package")):
                    packages.write([{"name": name, "set": "tune"} for name in names])
                    with self.assertRaisesRegex(SystemExit, message):
                        packages.read()
            finally:
                packages.LOCK = kept


class QuestionsTest(unittest.TestCase):
    def test_sentence_rules(self):
        rules = questions.SENTENCE_RULES["english"]
        self.assertEqual(rules["how"]("To change the default editor of the session, set the variable."), "how to change the default editor of the session?")
        self.assertEqual(rules["when"]("If the remote host does not answer, the call is repeated after a minute."),
                         "what happens when the remote host does not answer?")
        self.assertEqual(rules["why"]("The old cache must be removed because its format has changed twice."), "why is it that the old cache must be removed?")
        self.assertEqual(rules["what"]("A refspec is a mapping between remote names and local ones."),
                         "what is the name of a mapping between remote names and local ones?")
        for rule in rules.values():
            self.assertIsNone(rule("Nothing of the kind stands here at all."))

    def test_keywords_are_a_part_of_the_sentence(self):
        sentence = "The scheduler assigns incoming connections to worker processes according to their current load and priority."
        drawn = questions.thin(sentence, random.Random(1), "english")
        self.assertLess(len(drawn.split()), len(words.content_words(sentence)))
        self.assertLessEqual(set(drawn.split()), set(words.content_words(sentence)))
        self.assertIsNone(questions.thin("Too few words.", random.Random(1), "english"))

    def test_close_words_of_another_document_make_a_question_ambiguous(self):
        far = "alpha " + "filler " * 200 + "beta gamma delta"
        index = questions.WordIndex(["alpha beta gamma delta", "delta gamma beta and alphas", far], "english")
        self.assertEqual(index.documents_with("alpha beta gamma delta"), [0, 1])
        self.assertEqual(index.documents_with("alpha beta epsilon"), [])

    def test_draws_one_of_a_kind_at_a_depth_and_no_place_twice(self):
        found = [questions.Question(f"alpha beta gamma w{i}", kind, 0, begin, begin + 10, token) for i, (kind, begin, token) in enumerate(
            [("how", 0, 5), ("how", 20, 6), ("why", 5, 7), ("when", 40, 600), ("what", 60, 9000)])]
        text = " ".join(question.text for question in found)
        drawn = questions.draw(found, questions.WordIndex([text, "other"], "english"), (2, 2, 2, 2), random.Random(1))
        self.assertLessEqual(len([question for question in drawn if question.depth == 0]), 2)
        self.assertEqual(len(questions.draw(found, questions.WordIndex([text, "other"], "english"), (1, 0, 0, 0), random.Random(1))), 1)
        self.assertEqual([question.depth for question in drawn if question.depth], [1, 3])
        overlapping = [questions.Question(f"alpha beta gamma {kind}", kind, 0, begin, begin + 10, 5) for kind, begin in (("how", 0), ("why", 5))]
        text = "alpha beta gamma how why"
        self.assertEqual(len(questions.draw(overlapping, questions.WordIndex([text, "other"], "english"), (2, 0, 0, 0), random.Random(1))), 1)

    def test_an_ambiguous_question_is_not_drawn(self):
        found = [questions.Question("alpha beta gamma delta", "how", 0, 0, 10, 5)]
        for other, drawn in (("delta gamma beta alpha", 0), ("delta gamma beta", 1)):
            index = questions.WordIndex(["alpha beta gamma delta", other], "english")
            self.assertEqual(len(questions.draw(found, index, (1, 0, 0, 0), random.Random(1))), drawn)

    def test_depth(self):
        self.assertEqual([questions.Question("", "", 0, 0, 1, token).depth for token in (0, 511, 512, 2047, 2048, 8191, 8192)], [0, 0, 1, 1, 2, 2, 3])

    def test_headings_at_the_beginning_are_no_questions(self):
        document = blocks(("heading", "Rotating signing keys safely"), ("text", "x " * 50), ("heading", "5.1. Restoring lost mailbox indexes"), ("text", "y"))
        made = [question.text for question in questions.candidates(0, document, 60, random.Random(1), "english") if question.kind == "heading"]
        self.assertEqual(made, ["Restoring lost mailbox indexes"])


class ParaphraseTest(unittest.TestCase):
    def setUp(self):
        class NoWordNet:
            def others(self, word):
                return {"wet": ["damp"]}.get(word, [])
        self.paraphraser = paraphrase.Paraphraser(paraphrase.read_thesaurus(Path(__file__).parent / "thesaurus.txt"), NoWordNet())

    def test_no_content_word_of_the_passage_is_left(self):
        text = "To delete temporary files of the directory, restart the server."
        question = questions.Question("how to delete temporary files of the directory?", "how", 0, 0, len(text))
        made = self.paraphraser.of(question, documents.Document("a/0", text))
        self.assertEqual(made.text, "how to erase short-lived document of the folder?")
        self.assertFalse(set(words.content_stems(made.text)) & set(words.content_stems(text)))

    def test_a_substitute_that_the_passage_has_is_not_taken(self):
        self.assertEqual(self.paraphraser.substitute("delete", frozenset(words.stems("erased"))), "remove")

    def test_too_few_substitutes_make_no_question(self):
        text = "To delete quorx and blarg of frobs, press it."
        self.assertIsNone(self.paraphraser.of(questions.Question("how to delete quorx and blarg of frobs?", "how", 0, 0, 40), documents.Document("a/0", text)))

    def test_the_thesaurus_replaces_no_word_by_itself(self):
        for word, others in paraphrase.read_thesaurus(Path(__file__).parent / "thesaurus.txt").items():
            self.assertFalse([other for other in others if words.stem(word) in words.stems(other)], word)


class ScoresTest(unittest.TestCase):
    def test_bm25_by_hand(self):
        index = lexical.Bm25([["a", "b"], ["a", "a", "c", "d"]], k1=1.2, b=0.75)
        idf = np.log(1 + (2 - 1 + 0.5) / (1 + 0.5))
        self.assertAlmostEqual(index.scores(["b"])[0], idf * 1 * 2.2 / (1 + 1.2 * (0.25 + 0.75 * 2 / 3)))
        self.assertEqual(index.scores(["b"])[1], 0)
        self.assertEqual(index.scores(["unknown"]).tolist(), [0, 0])

    def _cells(self):
        rng = np.random.default_rng(1)
        begins = np.array([0, 70, 300, 310])
        tokens, asked = rng.standard_normal((310, 8)).astype(np.float32), rng.standard_normal((5, 8)).astype(np.float32)
        best = late_interaction.best_in_cells(tokens, begins, asked)
        return tokens, asked, begins, late_interaction.Cells(best, late_interaction.cell_begins(begins), np.array([0, 2, 5]))

    def test_blocks_are_the_best_of_their_tokens(self):
        tokens, asked, begins, cells = self._cells()
        _, block_begins, firsts = late_interaction.blocks_of(cells, 4, 2)
        for question, best in enumerate(late_interaction.token_bests(cells, 4, 2)):
            rows = asked[[0, 2, 5][question]:[0, 2, 5][question + 1]]
            for document in range(3):
                for block in range(block_begins[document], block_begins[document + 1]):
                    first = begins[document] + (firsts[block] - cells.document_begins[document]) * 32
                    wanted = (rows @ tokens[first:min(first + 128, begins[document + 1])].T).max(1)
                    np.testing.assert_allclose(best[:, block], wanted, rtol=2e-3, atol=2e-3)

    def test_standardised_scores(self):
        z = late_interaction.standardise(np.array([[1.0, 2.0, 3.0], [5.0, 5.0, 5.0]]))
        np.testing.assert_allclose(z[0], [-1.2247, 0, 1.2247], atol=1e-4)
        self.assertEqual(z[1].tolist(), [0, 0, 0])


class MetricsTest(unittest.TestCase):
    def test_ranks_count_ties_against_the_right_one(self):
        scores = np.array([[3.0, 2.0, 1.0], [1.0, 1.0, 0.0], [0.0, 0.0, 0.0]])
        self.assertEqual(metrics.ranks_of(scores, np.array([1, 0, 2])).tolist(), [2, 2, 3])

    def test_measures(self):
        ranks = np.array([1, 4, 20])
        self.assertEqual([float(measure(ranks).sum()) for measure in metrics.MEASURES.values()], [1, 2, 1 + 0.25 + 0.05])

    def test_intervals_come_from_whole_documents(self):
        rng = np.random.default_rng(1)
        alone = rng.random(400)
        wide = metrics.bootstrap(np.repeat(alone[:40], 10), np.repeat(np.arange(40), 10))
        narrow = metrics.bootstrap(alone, np.arange(400))
        self.assertGreater(wide.high - wide.low, 2 * (narrow.high - narrow.low))
        self.assertLess(wide.low, wide.value)
        self.assertLess(wide.value, wide.high)
        self.assertEqual(metrics.bootstrap(np.ones(9), np.arange(9)).to_json(), [100.0, 100.0, 100.0, 9])

    def test_by_depth(self):
        found = metrics.by_depth(np.eye(4), np.arange(4), np.array([0, 1, 1, 3]), 4)
        self.assertEqual([found[part]["mrr"][3] for part in ("0", "1", "2", "3", "beyond", "all")], [1, 2, 0, 1, 3, 4])


if __name__ == "__main__":
    unittest.main()
