#!/usr/bin/env bash
# Whether training in bf16 follows training in fp32: 500 steps of a small mixture of experts on real text, the same seed and batches.
#   scripts/precision.sh OUT [PROGRAM [CORPUS]] [KEY=VALUE ...]
# PROGRAM (or $SWITCHYARD, default build/openmp/switchyard) may be built for a GPU; CORPUS (default corpus/quickstart-8) is made where
# it is not given. OUT must be new, a KEY none that is set below; THREADS is the number of threads. A third run, in fp32 with another seed, shows what chance alone moves. Ends with 1 where bf16 is off by more than the tolerance:
# the mean training loss of each 50 steps, and the last evaluation, by 0.02 nat. Nine minutes on one busy core.
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
train fp32
train bf16 train.precision=bf16
train other-seed train.seed=2

step "losses"
grep -oE 'switchyard [0-9].*backend=[^ ]+' "$out/bf16.log"
python3 - "$out" <<'PY'
import pathlib, re, sys
WINDOW, TOLERANCE = 50, 0.02
def losses(name):
    """Means of so many training losses, and the losses of evaluations."""
    text = (pathlib.Path(sys.argv[1]) / f"{name}.log").read_text()
    found = re.findall(r"info (evaluation )?step=(\d+) loss=([\d.]+)", text)
    steps = [float(loss) for evaluation, step, loss in found if not evaluation]
    windows = [sum(part) / len(part) for part in (steps[at:at + WINDOW] for at in range(0, len(steps), WINDOW))]
    return windows, [float(loss) for evaluation, step, loss in found if evaluation], len(steps)
fp32, bf16, other = map(losses, ("fp32", "bf16", "other-seed"))
if not fp32[2] == bf16[2] == other[2] >= WINDOW or not fp32[1]:
    sys.exit(f"losses of {fp32[2]}, {bf16[2]} and {other[2]} steps in the logs")
print(f"{'':22} {'fp32':>8} {'bf16':>8} {'- fp32':>8} {'other seed - fp32':>18}")
names = [f"steps to {min(WINDOW * (i + 1), fp32[2])}" for i in range(len(fp32[0]))] + [f"evaluation {i + 1}" for i in range(len(fp32[1]))]
rows = list(zip(names, fp32[0] + fp32[1], bf16[0] + bf16[1], other[0] + other[1]))
for name, a, b, c in rows:
    print(f"{name:22} {a:8.4f} {b:8.4f} {b - a:+8.4f} {c - a:+18.4f}")
smoothed = max(abs(b - a) for _, a, b, _ in rows[:len(fp32[0])])
last = abs(bf16[1][-1] - fp32[1][-1])
print(f"bf16 is off by {smoothed:.4f} nat at most over {WINDOW} steps, and by {last:.4f} in the last evaluation; tolerance {TOLERANCE}")
sys.exit(smoothed > TOLERANCE or last > TOLERANCE)
PY
