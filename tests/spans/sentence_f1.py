"""How well sentences are found: F1 of their ends on treebanks whose sentences people have cut.

    sentence_f1.py PRINT_SEGMENTS FILE.conllu...

PRINT_SEGMENTS is the program of that name (./dev build print_segments). A file is one of a treebank
of Universal Dependencies. Its sentences are joined to one paragraph, by a blank (Chinese and
Japanese by nothing), and cut again: by longspan, and by the rules that it had before version 0.3
(a stop, then white space, then no lower-case letter). An end counts as found where it is the
treebank's to the character. A row of Markdown for each file.
"""
import pathlib
import re
import subprocess
import sys

WITHOUT_BLANKS = ("zh_", "ja_")
CLOSERS = "\"')\\]\u201d\u2019\u00bb\u300d\u300f"
OLD_RULES = re.compile(rf"[.!?\u2026][{CLOSERS}]*\s+(?![a-z\u00df-\u00ff\u0430-\u044f])|[\u3002\uff01\uff1f](?![{CLOSERS}])")


def sentences(path):
    lines = path.read_text(encoding="utf-8").splitlines()
    return [line.split(" = ", 1)[1].strip() for line in lines if line.startswith("# text = ")]


def ends(parts):
    """Where the parts end, counted in characters that are no white space; without the last end."""
    found, at = set(), 0
    for part in parts:
        at += len("".join(part.split()))
        found.add(at)
    return found - {at}


def old_parts(text):
    cuts = [0] + [match.end() for match in OLD_RULES.finditer(text)] + [len(text)]
    return [text[begin:end] for begin, end in zip(cuts, cuts[1:])]


def our_parts(program, text):
    data = text.encode()
    printed = subprocess.run([program, "sentences"], input=data, capture_output=True, check=True).stdout.split()
    return [data[int(begin):int(end)].decode() for begin, end in zip(printed[::2], printed[1::2])]


def f1(found, wanted):
    both = len(found & wanted)
    return 2 * both / (len(found) + len(wanted))


def main(program, *paths):
    print("| treebank | sentences | F1 before | F1 |\n| --- | ---: | ---: | ---: |")
    rows = []
    for path in map(pathlib.Path, paths):
        given = sentences(path)
        text = ("" if path.name.startswith(WITHOUT_BLANKS) else " ").join(given)
        wanted = ends(given)
        rows.append((f1(ends(old_parts(text)), wanted), f1(ends(our_parts(program, text)), wanted)))
        print(f"| {path.stem} | {len(given):,} | {rows[-1][0]:.3f} | {rows[-1][1]:.3f} |")
    print(f"| mean | | {sum(r[0] for r in rows) / len(rows):.3f} | {sum(r[1] for r in rows) / len(rows):.3f} |")


if __name__ == "__main__":
    main(*sys.argv[1:])
