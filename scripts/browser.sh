#!/usr/bin/env bash
# Chromium and its driver, for the test that opens the report in a browser (skipped, visibly, where they are missing).
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
step "browser for the report's test"
command -v chromedriver >/dev/null && command -v chromium >/dev/null && exit 0
[ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null || fail "chromium is missing" "install chromium and chromium-driver"
quiet build/log/apt-update.log apt-get update
quiet build/log/browser.log env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends chromium chromium-driver
