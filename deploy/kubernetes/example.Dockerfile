# Your processor's image: wasmton with your module in it, so that a rollout
# changes and a rollback restores both together. The context is a directory
# that holds processor.wasm:
#
#   docker build -f deploy/kubernetes/example.Dockerfile -t my-processor:1 DIRECTORY
#
# User, entry point and labels come from the base.

ARG WASMTON=wasmton:dev
FROM ${WASMTON}
COPY processor.wasm /processor.wasm
