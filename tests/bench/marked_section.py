"""A part of a document that a script makes, between two comment lines that name it and the script:

    <!-- speed: made by tests/bench/speed_tables.py -->
    ...
    <!-- /speed -->
"""
import sys
import textwrap


def prose(text):
    """Lines of at most 100 columns, as the documents have them."""
    return textwrap.wrap(text, 100, break_long_words=False, break_on_hyphens=False)


def put(path, name, script, body):
    """Writes `body` between the marks. With --check on the command line only compares, and ends the
    script with a message where they differ."""
    begin, end = f"<!-- {name}: made by {script} -->", f"<!-- /{name} -->"
    text = path.read_text(encoding="utf-8")
    if text.count(begin) != 1 or text.count(end) != 1:
        sys.exit(f"{path} needs the marks {begin} and {end}, each once")
    before, rest = text.split(begin)
    made = f"{before}{begin}\n{body.strip()}\n{end}{rest.split(end)[1]}"
    if "--check" not in sys.argv:
        path.write_text(made, encoding="utf-8")
    elif made != text:
        sys.exit(f"{path}: the part '{name}' is not what the results files say; run {script}")
