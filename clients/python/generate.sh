#!/usr/bin/env bash
# Writes src/turnstile/v1/throttle_pb2.py and .pyi anew from the proto. What it writes is committed, so that installing needs no compiler.
#
# The version is pinned: its code works with every protobuf from the one in pyproject.toml on.
set -euo pipefail
cd "$(dirname "$0")"

readonly tools=grpcio-tools==1.74.0
readonly venv=.venv/generate

[ -x "$venv/bin/python" ] || python3 -m venv "$venv"
"$venv/bin/pip" install -q --disable-pip-version-check "$tools"
"$venv/bin/python" -m grpc_tools.protoc --proto_path=../../proto --python_out=src --pyi_out=src turnstile/v1/throttle.proto
