#!/bin/sh
# Runs a command against an Apicurio Registry of its own, in memory, on a loopback
# port. The command finds its Confluent-compatible address in TIDEMARK_TEST_REGISTRY.
# Java 17 or later; Maven fetches the registry. Usage: run.sh CACHE COMMAND [ARGUMENT...]
set -eu
version=3.0.9
cache=$1; shift
mkdir -p "$cache"
home=$(cd "$cache" && pwd)/apicurio-$version
if [ ! -d "$home" ]; then
	new=$(mktemp -d "$cache/new.XXXXXX")
	mvn -q -B dependency:copy -Dartifact=io.apicurio:apicurio-registry-app:$version:tar.gz:all -DoutputDirectory="$new"
	(cd "$new" && tar xzf ./*.tar.gz && rm ./*.tar.gz)
	mv "$new" "$home"
fi
dir=$(mktemp -d)
pid=
trap 'if [ -n "$pid" ]; then kill "$pid" 2>/dev/null || true; wait "$pid" 2>/dev/null || true; fi; rm -rf "$dir"' EXIT
trap 'exit 130' INT TERM
for try in 1 2 3; do
	port=$((20000 + $(od -An -N2 -tu2 /dev/urandom) % 20000))
	(cd "$dir" && QUARKUS_HTTP_HOST=127.0.0.1 QUARKUS_HTTP_PORT=$port QUARKUS_MANAGEMENT_ENABLED=false \
		exec java -Xmx512m -jar "$home/apicurio-registry-app-$version-runner.jar" >"$dir/log" 2>&1) &
	pid=$!
	address=http://127.0.0.1:$port/apis/ccompat/v7
	n=0
	while [ $n -lt 600 ]; do
		if curl -fs -m 10 "$address/subjects" >/dev/null; then
			TIDEMARK_TEST_REGISTRY=$address "$@"
			exit
		fi
		kill -0 "$pid" 2>/dev/null || break
		n=$((n + 1))
		sleep 0.5
	done
	kill "$pid" 2>/dev/null || true
done
cat "$dir/log" >&2
echo "run.sh: the registry did not start" >&2
exit 1
