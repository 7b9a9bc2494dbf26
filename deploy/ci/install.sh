#!/bin/sh
# Installs with apt-get what the tests need beside Go and is not there yet: a JDK of 17 or
# later and Maven for a real Kafka and a Java client, venv for the Python programs, Node and
# npm for the Node ones. It does nothing, and needs no rights, where all of it is there.
set -eu

# The broker of Kafka 4 needs Java 17. "17.0.15" and "21" give 17 and 21, "1.8.0" gives 1.
java_major() {
	java -version 2>&1 | sed -n 's/.*version "\([0-9]*\).*/\1/p' | head -n 1
}

missing=
if ! command -v java >/dev/null 2>&1 || ! command -v javac >/dev/null 2>&1 || [ "$(java_major || true)" -lt 17 ] 2>/dev/null; then
	missing="$missing openjdk-17-jdk-headless"
fi
command -v node >/dev/null 2>&1 || missing="$missing nodejs"
command -v npm >/dev/null 2>&1 || missing="$missing npm"
command -v mvn >/dev/null 2>&1 || missing="$missing maven"
# On Debian venv itself is there without the package, but not what it needs to put pip in.
python3 -c 'import venv, ensurepip' >/dev/null 2>&1 || missing="$missing python3-venv"
[ -n "$missing" ] || exit 0

if ! command -v apt-get >/dev/null 2>&1; then
	echo "install.sh: no apt-get here; install by hand:$missing" >&2
	exit 1
fi
sudo=
[ "$(id -u)" = 0 ] || sudo=sudo
export DEBIAN_FRONTEND=noninteractive
$sudo apt-get update -qq
# Newer Debian releases have left 17 behind for their own default, which is later.
case "$missing" in
*openjdk-17*)
	apt-cache show openjdk-17-jdk-headless >/dev/null 2>&1 ||
		missing=$(echo "$missing" | sed 's/openjdk-17-jdk-headless/default-jdk-headless/')
	;;
esac
# shellcheck disable=SC2086 # a list of packages, meant to be split
$sudo apt-get install -y -qq --no-install-recommends $missing >/dev/null
