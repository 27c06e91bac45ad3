"""Two types of one name in one namespace are a violation of the one definition rule that neither
compiler nor linker reports where no file includes both: each object file then works with its own
layout, and of inline functions with one name any one is taken.

    one_definition.py ROOT      reads core, server and client

Read from the text, which clang-format keeps in one shape: types begin in the first column, and a
namespace that is closed says so. Types without a name from outside (anonymous namespaces) are their
file's own.
"""

import collections
import pathlib
import re
import sys

NAMESPACE = re.compile(r"(?:inline )?namespace ?([\w:]*) ?{$")
CLOSED = re.compile(r"}  // namespace ?([\w:]*)$")
TYPE = re.compile(r"(?:struct|class|union|enum(?: class)?) (?:alignas\(\w+\) |[A-Z][A-Z_]+(?:\([^)]*\))? )*"
                  r"(\w+(?:<[^;{]*>)?)(?: final)?(?: :(?!:).*)?(?: {.*|)$")


def types_of(text):
    """The types that a file defines at the level of namespaces, with these."""
    spaces = []
    for line in text.splitlines():
        if match := NAMESPACE.match(line):
            spaces.append(match[1])
        elif CLOSED.match(line):
            spaces.pop()
        elif (match := TYPE.match(line)) and "" not in spaces:
            yield "::".join([*spaces, match[1]])


def twice(files):
    """Lines that say which types are defined in more than one of `files`, {path: text}."""
    places = collections.defaultdict(list)
    for path, text in files.items():
        for name in types_of(text):
            places[name].append(str(path))
    return [f"{name} is defined in {' and in '.join(where)}: rename one, or share it"
            for name, where in sorted(places.items()) if len(where) > 1]


def check_itself():
    """Whether what it looks for is found at all."""
    one = "namespace a {\nstruct X {\n};\nnamespace {\nclass Y final : public X {\n};\n}  // namespace\n}  // namespace a\n"
    other = "namespace a {\nclass X : public Z {\n};\nclass Y;\nenum class Y { kZ };\n}  // namespace a\n"
    assert list(types_of(one)) == ["a::X"] and list(types_of(other)) == ["a::X", "a::Y"], "cannot read"
    assert len(twice({"1": one, "2": other})) == 1, "does not see two types of one name"


if __name__ == "__main__":
    check_itself()
    root = pathlib.Path(sys.argv[1])
    paths = [path for room in ("core", "server", "client") for ending in ("*.h", "*.cc", "*.cuh", "*.cu")
             for path in sorted((root / room).rglob(ending)) if "node_modules" not in path.parts]
    faults = twice({path.relative_to(root): path.read_text() for path in paths})
    types = sum(1 for path in paths for _ in types_of(path.read_text()))
    print("\n".join(faults) or f"{types} types of {len(paths)} files have names of their own")
    sys.exit(1 if faults or types < 100 else 0)
