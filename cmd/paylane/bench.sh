#!/usr/bin/env bash
# Measures the runner with payments on, beside a bare net/http server driven the same
# way in the same run. Flags are those of "paylane load".
set -euo pipefail
cd "$(dirname "$0")/../.."

work=$(mktemp -d)
trap 'kill "$runner" 2>/dev/null && wait "$runner" || true; rm -rf "$work"' EXIT
runner=

go build -o "$work" ./cmd/paylane
"$work/paylane" --addr 127.0.0.1:0 --data "$work/data" > "$work/page" &
runner=$!
until url=$(grep -om1 'http://127.0.0.1:[0-9]*' "$work/page"); do
  kill -0 "$runner" || { echo "the runner did not start" >&2; exit 1; }
  sleep 0.1
done

echo "$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo 2>/dev/null | head -1), $(getconf _NPROCESSORS_ONLN) cores, $(go env GOVERSION) $(go env GOOS)/$(go env GOARCH)"
"$work/paylane" load --url "$url" -c 50 -d 15s --floor "$@"
ps -o rss= -p "$runner" | awk '{ printf "\nmemory    %d MB resident, of the runner at the end\n", $1 / 1024 }'
