#!/bin/sh
# Runs a command against an S3 server of its own: an empty bucket on a loopback
# port, with keys made for this run. The command finds TIDEMARK_TEST_S3 and the
# keys in its environment. Usage: run.sh VERSITYGW COMMAND [ARGUMENT...]
set -eu
server=$1; shift
dir=$(mktemp -d)
pid=
trap 'if [ -n "$pid" ]; then kill "$pid" 2>/dev/null || true; wait "$pid" 2>/dev/null || true; fi; rm -rf "$dir"' EXIT
trap 'exit 130' INT TERM
mkdir -p "$dir/data/tidemark"
AWS_ACCESS_KEY_ID=$(od -An -N8 -tx1 /dev/urandom | tr -d ' \n')
AWS_SECRET_ACCESS_KEY=$(od -An -N20 -tx1 /dev/urandom | tr -d ' \n')
export AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY
for try in 1 2 3 4 5; do
	port=$((20000 + $(od -An -N2 -tu2 /dev/urandom) % 20000))
	ROOT_ACCESS_KEY_ID=$AWS_ACCESS_KEY_ID ROOT_SECRET_ACCESS_KEY=$AWS_SECRET_ACCESS_KEY \
		"$server" --quiet --port "127.0.0.1:$port" --health /health posix --nometa "$dir/data" >"$dir/log" 2>&1 &
	pid=$!
	n=0
	while [ $n -lt 100 ]; do
		if curl -fs "http://127.0.0.1:$port/health" >/dev/null; then
			TIDEMARK_TEST_S3="s3://tidemark?endpoint=http://127.0.0.1:$port" "$@"
			exit
		fi
		kill -0 "$pid" 2>/dev/null || break
		n=$((n + 1))
		sleep 0.1
	done
	kill "$pid" 2>/dev/null || true
done
cat "$dir/log" >&2
echo "run.sh: the S3 server did not start" >&2
exit 1
