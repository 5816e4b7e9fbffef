#!/bin/bash
# Everything that wants a GPU, in one call on a bare machine without internet:
#
#   tests/performance/gpu.sh --encoder FOLDER --tasks FOLDER --out FOLDER [--hours 2] [--wheels FOLDER] [--plan FILE]
#
# FOLDER of --tasks holds NAME.train.* and NAME.test.* of every task, that of --encoder a checkpoint of transformers
# in safetensors.  $PYTHON (default python3) has torch and transformers; what else it lacks is taken from the folder
# of --wheels.  The figures come as JSON lines in OUT/*.jsonl, the grid as OUT/outcomes.csv.  Cut off at any moment,
# the same call goes on where it was: steps that are done are left out, and the grid's runs are in OUT/runs.sqlite.
#
#   tests/performance/gpu.sh --tiny --out FOLDER     proves the script on a CPU, with a tiny model and tiny tasks
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
python=${PYTHON:-python3}
wheels="" out=""
arguments=("$@")
while (($#)); do
    case $1 in
    --wheels) wheels=$2 && shift 2 ;;
    --out) out=$2 && shift 2 ;;
    *) shift ;;
    esac
done
: "${out:?--out FOLDER is needed}"
mkdir -p "$out"
export PYTHONPATH="$root:$root/tests:$out/site" HF_HUB_OFFLINE=1 TOKENIZERS_PARALLELISM=false PYTHONUNBUFFERED=1

missing=$("$python" - <<'END'
from importlib.util import find_spec

needed = "torch transformers tokenizers safetensors accelerate numpy pandas sklearn scipy sqlalchemy alembic typer pyarrow"
names = {"sklearn": "scikit-learn"}
print(*(names.get(name, name) for name in needed.split() if find_spec(name) is None))
END
)
if [[ -n $missing ]]; then
    [[ -n $wheels ]] || { echo "not installed: $missing (expected --wheels FOLDER with them)" >&2; exit 2; }
    # shellcheck disable=SC2086
    "$python" -m pip install --quiet --no-index --find-links "$wheels" --target "$out/site" $missing
fi
exec "$python" "$root/tests/performance/gpu/steps.py" "${arguments[@]}"
