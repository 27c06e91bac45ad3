#!/bin/bash
# The Debian packages that the image is built with, at the versions of packages.lock. It runs as
# root in a container, where it may change what is installed:
#   packages.sh pin      makes apt take the versions of the lock; fails where the mirror has others
#   packages.sh check    fails where a package has another version, or is not in the lock
#   packages.sh list     what is installed, as the lock has it; ./dev image --lock calls this
# Variable:
#   PACKAGES             locked (the default), or newest: what the mirror has, lock or not
set -euo pipefail
LOCK=$(dirname "$(readlink -f "$0")")/packages.lock
PREFERENCES=${LONGSPAN_APT_PREFERENCES:-/etc/apt/preferences.d/longspan}
BASE_LIST=${LONGSPAN_APT_BASE:-/var/lib/longspan-base-packages}   # what the base image brought
WAYS="take the new versions (./dev image --lock writes packages.lock anew, and git shows what changed),
  build once with what the mirror has (--build-arg PACKAGES=newest), or name a BASE whose apt sources keep old versions"

die() { echo "packages: $*" >&2; exit 1; }
installed() { dpkg-query -W -f '${db:Status-Status} ${Package}=${Version}\n' | sed -n 's/^installed //p' | LC_ALL=C sort -u; }
locked() { grep -E '^[a-z0-9][a-z0-9+.-]+=[^ =]+$' "$LOCK" || die "$LOCK holds no NAME=VERSION; ./dev image --lock writes it"; }
wanted() { [ "${PACKAGES:-locked}" = locked ]; }

case ${PACKAGES:-locked} in locked | newest) ;; *) die "PACKAGES is '$PACKAGES'; allowed: locked, newest" ;; esac

# A priority above 1000 also takes an older version than the base image has.
pin() {
  installed | sed 's/=.*//' >"$BASE_LIST"
  if wanted; then
    locked | sed 's/^\(.*\)=\(.*\)$/Package: \1\nPin: version \2\nPin-Priority: 1001\n/' >"$PREFERENCES"
  fi
  apt-get update -qq -o APT::Update::Error-Mode=any || die "apt-get update failed: check the package mirror and the network"
  if wanted; then offered; fi
  DEBIAN_FRONTEND=noninteractive apt-get dist-upgrade -y -qq --allow-downgrades >/dev/null || die "apt-get dist-upgrade failed"
}

# offered: the mirror has each locked version.
offered() {
  local missing
  missing=$(locked | sed 's/=.*//' | xargs apt-cache policy |
    awk -v lock="$LOCK" '
      BEGIN { while ((getline line < lock) > 0) if (split(line, part, "=") == 2 && line !~ /^#/) version[part[1]] = part[2] }
      /^[^ ]/ { name = $1; sub(/:(amd64)?$/, "", name); seen[name] = 1 }
      /^  Candidate:/ && $2 != version[name] { print "  " name ": " version[name] " is locked, the mirror offers " $2 }
      END { for (name in version) if (!(name in seen)) print "  " name ": " version[name] " is locked, the mirror has no such package" }' | LC_ALL=C sort)
  [ -z "$missing" ] || die "the package mirror lacks versions of deploy/image/packages.lock:
$missing
  Either $WAYS."
}

check() {
  wanted || return 0
  local faults
  faults=$(installed | awk -F= -v lock="$LOCK" -v base="$BASE_LIST" '
    BEGIN { while ((getline line < lock) > 0) if (split(line, part, "=") == 2 && line !~ /^#/) version[part[1]] = part[2]
            while ((getline line < base) > 0) brought[line] = 1 }
    $1 in version && version[$1] != $2 { print "  " $1 ": " $2 " is installed, " version[$1] " is locked" }
    !($1 in version) && !($1 in brought) { print "  " $1 ": " $2 " is installed, and not in the lock" }')
  [ -z "$faults" ] || die "what is installed is not what deploy/image/packages.lock says:
$faults
  Either $WAYS."
}

list() {
  echo "# Debian 12, amd64: what the image is built with. Made by ./dev image --lock."
  installed
}

case ${1:-} in
  pin | check | list) "$1" ;;
  *) sed -n '2,/^set /{/^#/p}' "$0"; exit 2 ;;
esac
