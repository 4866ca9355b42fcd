#!/usr/bin/env bash
# Whether training in bf16 follows training in fp32: 500 steps of a small mixture of experts on real text, the same seeds and batches.
#   SEEDS=N scripts/precision.sh OUT [PROGRAM [CORPUS]] [KEY=VALUE ...]
# PROGRAM (or $SWITCHYARD, default build/openmp/switchyard) may be built for a GPU; CORPUS (default corpus/quickstart-8) is made where
# it is not given. OUT must be new, a KEY none that is set below; THREADS is the number of threads. Of N seeds (default 2, at least 2: any
# other rounding sets the runs of one seed apart by some hundredths of a nat, either way) both precisions. Ends with 1 where bf16 is off by
# more than the tolerance: the mean over seeds of the training loss of each 50 steps, and of the last evaluation, by 0.02 nat. A seed takes
# six minutes of one busy core, or three seconds of a GPU.
start=$PWD
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

step "arguments"
words=() options=()
for word in "$@"; do
  case $word in
    *=*) options+=("$word") ;;
    *) words+=("$word") ;;
  esac
done
[ ${#words[@]} -ge 1 ] && [ ${#words[@]} -le 3 ] && [[ ${words[0]} != -* ]] ||
  fail "wrong arguments" "scripts/precision.sh OUT [PROGRAM [CORPUS]] [KEY=VALUE ...]"
absolute() { case $1 in /*) echo "$1" ;; *) echo "$2/$1" ;; esac; }
out=$(absolute "${words[0]}" "$start")
program=${words[1]:+$(absolute "${words[1]}" "$start")}
program=${program:-$(absolute "${SWITCHYARD:-build/openmp/switchyard}" "$root")}
corpus=${words[2]:+$(absolute "${words[2]}" "$start")}
seeds=${SEEDS:-2}
[[ $seeds =~ ^[1-9][0-9]*$ ]] && [ "$seeds" -ge 2 ] || fail "SEEDS is '$seeds'" "give a whole number from 2"
[ -x "$program" ] || fail "$program is not a program" "build it (scripts/test.sh, or scripts/test.sh cuda), or set SWITCHYARD"
[ ! -e "$out" ] || fail "$out is there" "choose a new folder"
if [ -z "$corpus" ]; then
  corpus=$root/corpus/quickstart-8
  step "corpus"
  SWITCHYARD=$program scripts/corpus.sh "$corpus" 8
fi
mkdir -p "$out"

train() { # NAME KEY=VALUE...
  local name=$1
  shift
  step "$name"
  quiet "$out/$name.log" "$program" train experiments/small.yaml --run "$out/$name" "data.path=$corpus" moe.bias_rule=centred_sign \
    moe.bias_rate=0.01 train.steps=500 train.warmup=50 train.evaluate_every=250 record.log_every=1 record.timeline_every=0 \
    "layout.threads=${THREADS:-$jobs}" "$@" "${options[@]}"
  echo "   $((SECONDS - step_start)) s"
}
for seed in $(seq "$seeds"); do
  train "fp32-$seed" train.seed="$seed"
  train "bf16-$seed" train.seed="$seed" train.precision=bf16
done

step "losses"
grep -oE 'switchyard [0-9].*backend=[^ ]+' "$out/bf16-1.log"
python3 - "$out" "$seeds" <<'PY'
import pathlib, re, statistics, sys
WINDOW, TOLERANCE = 50, 0.02
def losses(name):
    """Means of so many training losses, then the losses of evaluations; and the number of steps."""
    text = (pathlib.Path(sys.argv[1]) / f"{name}.log").read_text()
    found = re.findall(r"info (evaluation )?step=(\d+) loss=([\d.]+)", text)
    steps = [float(loss) for evaluation, step, loss in found if not evaluation]
    windows = [statistics.mean(steps[at:at + WINDOW]) for at in range(0, len(steps), WINDOW)]
    return windows + [float(loss) for evaluation, step, loss in found if evaluation], len(steps)
seeds = range(1, int(sys.argv[2]) + 1)
fp32, bf16 = ([losses(f"{precision}-{seed}") for seed in seeds] for precision in ("fp32", "bf16"))
steps, rows = fp32[0][1], len(fp32[0][0])
windows = -(-steps // WINDOW)
if steps < WINDOW or rows == windows or any(run[1] != steps or len(run[0]) != rows for run in fp32 + bf16):
    sys.exit(f"losses of {[run[1] for run in fp32 + bf16]} steps in the logs, or unlike evaluations")
names = [f"steps to {min(WINDOW * (i + 1), steps)}" for i in range(windows)] + [f"evaluation {i + 1}" for i in range(rows - windows)]
print(f"{'mean of ' + str(len(seeds)) + ' seeds':22} {'fp32':>8} {'its sd':>8} {'bf16 - fp32':>12} {'its sd':>8}  least, most")
off = []
for i, name in enumerate(names):
    a, less = [run[0][i] for run in fp32], [b[0][i] - a[0][i] for a, b in zip(fp32, bf16)]
    off.append(statistics.mean(less))
    print(f"{name:22} {statistics.mean(a):8.4f} {statistics.stdev(a):8.4f} {off[-1]:+12.4f} {statistics.stdev(less):8.4f}  "
          f"{min(less):+.4f}, {max(less):+.4f}")
smoothed, last = max(map(abs, off[:windows])), abs(off[-1])
print(f"bf16 is off by {smoothed:.4f} nat at most over {WINDOW} steps, and by {last:.4f} in the last evaluation, in the mean of "
      f"{len(seeds)} seeds; tolerance {TOLERANCE}")
sys.exit(smoothed > TOLERANCE or last > TOLERANCE)
PY
