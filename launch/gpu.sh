#!/usr/bin/env bash
# One host with one or more GPUs: one process drives them all.
#   launch/gpu.sh --config=configs/rwku_llama3_8b_grpo.py --config.model.path=... --workdir=runs/king
# GPUS=0,1,2,3 takes only these. All arguments go to rule_jax.main.
set -euo pipefail
if [[ -n "${GPUS:-}" ]]; then
    export CUDA_VISIBLE_DEVICES="$GPUS"
fi
exec "${PYTHON:-python}" -m rule_jax.main "$@"
