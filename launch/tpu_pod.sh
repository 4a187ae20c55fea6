#!/usr/bin/env bash
# All hosts of a TPU slice: the same command on each, which find one another by the slice's metadata.
#   TPU=my-v5e-16 ZONE=us-west4-a launch/tpu_pod.sh --config=configs/rwku_llama3_8b_grpo.py --workdir=/shared/runs/king
# FOLDER (default rule_jax) is where the code lies on the hosts, PROJECT the cloud project. All arguments go to
# rule_jax.main. DRY_RUN=1 prints the command in place of running it.
set -euo pipefail
: "${TPU:?set TPU to the name of the slice}" "${ZONE:?set ZONE to its zone}"
remote="cd $(printf '%q' "${FOLDER:-rule_jax}") && exec python -m rule_jax.main --coordinator_address=auto"
for argument in "$@"; do
    remote+=" $(printf '%q' "$argument")"
done
command=(gcloud compute tpus tpu-vm ssh "$TPU" "--zone=$ZONE" --worker=all "--command=$remote")
if [[ -n "${PROJECT:-}" ]]; then
    command+=("--project=$PROJECT")
fi
if [[ -n "${DRY_RUN:-}" ]]; then
    printf '%q ' "${command[@]}"
    printf '\n'
    exit 0
fi
exec "${command[@]}"
