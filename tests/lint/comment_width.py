"""Fails on comments that pass column 100.

    comment_width.py FILE...

A comment is a line that starts with // or #, a comment behind code, or a line of a Python
docstring. Code is not looked at: clang-format holds that of C++ at the same width.
"""
import ast
import io
import re
import sys
import tokenize

WIDTH = 100
# Languages whose comments start with //; else #.
SLASHES = (".cc", ".h", ".cu", ".cuh", ".rs", ".proto", ".js")


def comment_lines_of_python(path, text):
    """The numbers of the lines that hold a comment or belong to a docstring."""
    tree = ast.parse(text, path)    # an error of syntax names the file
    numbers = {token.start[0] for token in tokenize.generate_tokens(io.StringIO(text).readline) if token.type == tokenize.COMMENT}
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)) and ast.get_docstring(node) is not None:
            numbers.update(range(node.body[0].lineno, node.body[0].end_lineno + 1))
    return numbers


def comment_lines(path, text):
    """The numbers of the lines that hold a comment, from 1."""
    if path.endswith(".py"):
        return comment_lines_of_python(path, text)
    mark = "//" if path.endswith(SLASHES) else "#"
    # Behind code a mark stands between blanks, or it may be part of an address or of $#.
    comment = re.compile(rf"(^|\s){mark}(\s|$)|^\s*{mark}")
    return {number for number, line in enumerate(text.split("\n"), 1) if comment.search(line)}


def main():
    failed = False
    for path in sys.argv[1:]:
        with open(path, encoding="utf-8") as file:
            text = file.read()
        lines = text.split("\n")
        for number in sorted(comment_lines(path, text)):
            if len(lines[number - 1]) > WIDTH:
                print(f"{path}:{number}: {len(lines[number - 1])} columns")
                failed = True
    sys.exit(failed)


main()
