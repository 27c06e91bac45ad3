#!/bin/bash
# A server whose ICU has no data ends at its start, with one line that says what is missing.
#   without_icu_data_test.sh LONGSPAN_SERVER FOLDER_OF_EMPTY_LIBRARY MODEL
set -u
said=$(LD_LIBRARY_PATH=$2 timeout 60 "$1" --model "$3" --listen 127.0.0.1:0 --http off --log-format text 2>&1)
code=$?
case $said in
  *"ICU cannot read its lists of abbreviations"*"libicu"*) ;;
  *) echo "the server does not say that ICU's data is missing: $said"; exit 1 ;;
esac
# 124 is timeout's, 128 and more are signals.
[ $code -gt 0 ] && [ $code -lt 124 ] || { echo "the server ended with code $code: $said"; exit 1; }
