#!/usr/bin/env bash
# Builds the container image, makes a tool call against it, and shows that its kernels fit older CPUs.
#
#   tests/container/run.sh [--base IMAGE] [--model FILE] [--cpu NAME]... [--port N]
#
#   --base IMAGE   what the Dockerfile starts from                 (debian:bookworm-slim)
#   --model FILE   a GGUF on this machine                          (the image fetches its default model)
#   --cpu NAME     also decode under qemu-x86_64-static -cpu NAME; may be repeated, needs --model; about 50 times slower
#   --port N       where the server listens                        (18000)
#
# Further options of `buildah bud` (volumes, build arguments, --pull=never) come from BUD_OPTIONS, the isolation from
# BUILDAH_ISOLATION, as buildah itself reads it. Exit status 0: everything that was asked for held.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

base=debian:bookworm-slim model='' port=18000 cpus=()
while [ $# -gt 0 ]; do
    case $1 in
        --base) base=$2 ;;
        --model) model=$(realpath -- "$2") ;;
        --cpu) cpus+=("$2") ;;
        --port) port=$2 ;;
        *) sed -n '2,13s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2; exit 2 ;;
    esac
    shift 2
done

refuse() { echo "tests/container/run.sh: $1" >&2; exit 2; }
for tool in buildah curl pgrep python3; do
    command -v "$tool" > /dev/null || refuse "needs $tool on the PATH"
done
if [ ${#cpus[@]} -gt 0 ]; then
    qemu=$(command -v qemu-x86_64-static) || refuse 'a --cpu needs qemu-x86_64-static (Debian, Ubuntu: qemu-user-static)'
    [ -n "$model" ] || refuse 'a --cpu needs a --model, the smaller the better'
fi

echo "== build"
# The health check is a field of Docker's image format; OCI's has none.
# shellcheck disable=SC2086 # BUD_OPTIONS is a list of words
buildah bud --format docker --layers --build-arg BASE="$base" ${BUD_OPTIONS:-} --tag functiongate:test .
buildah images --format '{{.Name}}:{{.Tag}} {{.Size}}' functiongate:test

container=$(buildah from --pull-never functiongate:test)
server=''
# A signal to buildah kills what it runs; the server itself is the last of buildah's line of children.
stop_server() {
    local process=$server child
    while child=$(pgrep --parent "$process"); do process=$child; done
    kill -TERM "$process"
    wait "$server"
}
finish() {
    [ -z "$server" ] || stop_server || true
    buildah rm "$container" > /dev/null
}
trap finish EXIT

volumes=() serve=(functiongate serve --alias tested --port "$port")
if [ -n "$model" ]; then
    volumes+=(--volume "$model:/models/model.gguf:ro")
    serve+=(/models/model.gguf)
fi

for cpu in "${cpus[@]}"; do
    echo "== decode on an emulated $cpu"
    buildah run "${volumes[@]}" --volume "$qemu:/run/qemu:ro" --volume "$PWD/tests/container/decode.py:/run/decode.py:ro" \
        "$container" -- /run/qemu -cpu "$cpu" /opt/functiongate/bin/python /run/decode.py /models/model.gguf
done

echo "== serve"
buildah run "${volumes[@]}" "$container" -- "${serve[@]}" &
server=$!
until curl --silent --fail --output /dev/null "http://127.0.0.1:$port/health"; do
    kill -0 "$server" 2> /dev/null || { echo 'the server ended before it was ready' >&2; exit 1; }
    sleep 1
done
curl --silent --show-error --fail-with-body "http://127.0.0.1:$port/v1/chat/completions" \
    --header 'Content-Type: application/json' --data @- << 'JSON' | python3 tests/container/check_tool_call.py
{
  "model": "tested",
  "messages": [{"role": "user", "content": "What is the weather in Paris?"}],
  "tools": [{
    "type": "function",
    "function": {
      "name": "get_weather",
      "description": "Current weather of a city",
      "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
    }
  }],
  "tool_choice": "required",
  "temperature": 0
}
JSON

echo "== stop"
stop_server && status=0 || status=$?
server=''
[ "$status" -eq 0 ] || { echo "the server ended with status $status after SIGTERM" >&2; exit 1; }
