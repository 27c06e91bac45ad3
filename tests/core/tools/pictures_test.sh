#!/bin/bash
# pictures_test.sh SOURCE LONGSPAN_MODEL EMBEDDED_MODEL: the committed pictures are what the tool
# draws now, and all are drawn.
set -euo pipefail
pictures=$1/docs/pictures
drawn=$(mktemp -d)
trap 'rm -rf "$drawn"' EXIT
"$pictures/draw.sh" "$2" "$3" "$drawn"
failed=0
for picture in "$pictures"/*.svg "$drawn"/*.svg; do
  name=$(basename "$picture")
  cmp -s "$pictures/$name" "$drawn/$name" && continue
  echo "$name differs from what longspan-model mask draws: look at it, then docs/pictures/draw.sh $2 $3"
  failed=1
done
# The same drawing as PNG: a picture that a PNG reader opens, twice the size.
"$2" mask "$1/tests/fixtures/longformer-windows" --tokens 64 --global 0,8 -o "$drawn/longformer.png" >/dev/null
width=$(sed -n 's/.*<svg[^>]* width="\([0-9]*\)".*/\1/p' "$drawn/longformer.svg")
[ "$(od -An -tx1 -N8 "$drawn/longformer.png" | tr -d ' ')" = 89504e470d0a1a0a ] || { echo "longformer.png is no PNG"; failed=1; }
[ "$((16#$(od -An -tx1 -j16 -N4 "$drawn/longformer.png" | tr -d ' ')))" = $((2 * width)) ] || { echo "longformer.png is not $((2 * width)) pixels wide"; failed=1; }
exit $failed
