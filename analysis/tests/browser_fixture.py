"""Pages in headless Chromium, as wide as a phone or a screen."""
import shutil

import pytest

driver_path, browser_path = shutil.which("chromedriver"), shutil.which("chromium")
TOO_WIDE = """return [...document.querySelectorAll("body *")].filter(e => {
  for (let up = e.parentElement; up; up = up.parentElement) if (getComputedStyle(up).overflowX != "visible") return false;
  return e.getBoundingClientRect().right > arguments[0] + 0.5;
}).map(e => e.outerHTML.slice(0, 80))"""


@pytest.fixture(scope="module")
def browser():
    if not driver_path or not browser_path:
        pytest.skip("chromium and chromium-driver are not installed")
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = browser_path
    for flag in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    chrome = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver_path))
    yield chrome
    chrome.quit()


def show(browser, page, width):
    """Opens a page so many pixels wide; below 600 as a phone does, which heeds the page's viewport."""
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", dict(width=width, height=900, deviceScaleFactor=1, mobile=width < 600))
    browser.get(page.as_uri())


def wider_than(browser, width):
    """What reaches beyond the width, but for what scrolls within itself, and the page itself if it scrolls sideways."""
    assert browser.execute_script("return innerWidth") == width
    page = browser.execute_script("return document.documentElement.scrollWidth")
    return browser.execute_script(TOO_WIDE, width) + ([f"the page is {page} wide"] if page > width else [])
