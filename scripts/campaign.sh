#!/usr/bin/env bash
# Long campaigns, of which CI runs a small share.
#   scripts/campaign.sh kill [TRIALS]      kill -9 of a random process at a random moment, then resume on another layout (50)
#   scripts/campaign.sh watchdog [TRIALS] a random rank of a random layout stopped or killed at a random moment: the message, the code,
#                                          resume on another layout (50)
#   scripts/campaign.sh sweep [TRIALS]     kill -9 of a random process of a sweep of 12 tasks, then the sweep again (3)
#   scripts/campaign.sh layouts            whole runs on 1 to 8 ranks through the command line, digests compared
#   scripts/campaign.sh schedules [TRIALS] random layouts and schedules with random delays before every task, digests compared (200)
#   scripts/campaign.sh powercut [TRIALS]  a run on an ext4 image, copied at a random moment as a power cut leaves it, and
#                                          resumed there (20); as root with loop devices, else skipped
#   scripts/campaign.sh damage [CASES]     files of every kind damaged by seed, and every command that reads them (2000)
#   scripts/campaign.sh damage 300 --kind placement   of one kind of file
#   scripts/campaign.sh damage --case SEED one of these cases again; what the commands print is shown
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
what=${1:-}
shift || true
[ -x build/openmp/switchyard ] || fail "build/openmp/switchyard is missing" "scripts/test.sh builds it"
step "campaign $what"
case $what in
  kill | sweep) .venv/bin/python scripts/campaign.py "$what" --program build/openmp/switchyard --trials "${1:-$([ "$what" = sweep ] && echo 3 || echo 50)}" ;;
  watchdog) .venv/bin/python scripts/campaign_watchdog.py --program build/openmp/switchyard --trials "${1:-50}" ;;
  layouts | schedules) .venv/bin/python scripts/campaign_layouts.py "$what" --program build/openmp/switchyard --trials "${1:-200}" ;;
  powercut) .venv/bin/python scripts/powercut.py --program build/openmp/switchyard --trials "${1:-20}" ;;
  damage) .venv/bin/python scripts/damage/run.py --program build/openmp/switchyard "$@" ;;
  *) fail "unknown campaign '$what'" "one of: kill watchdog sweep layouts schedules powercut damage" ;;
esac
