"""The page as a person sees it: headless Chromium at phone and desktop width."""
import shutil

import pytest
from fixture import write_run

from yardstick.cli import main
from yardstick.report import FIGURES, make_report

driver_path, browser_path = shutil.which("chromedriver"), shutil.which("chromium")


def test_every_figure_is_made(tmp_path):
    page = make_report(write_run(tmp_path))
    for name, *_ in FIGURES:
        assert (page.parent / f"{name}.png").stat().st_size > 5000, name
        assert f'id="{name}"' in page.read_text()


def test_wrong_folder_says_so(tmp_path, capsys):
    assert main(["report", str(tmp_path)]) == 2
    assert "not a run folder" in capsys.readouterr().err


@pytest.fixture
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


@pytest.mark.parametrize("width", [375, 1280])
def test_page_in_a_browser(tmp_path, browser, width):
    page = make_report(write_run(tmp_path))
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", dict(width=width, height=900, deviceScaleFactor=1, mobile=width < 600))
    browser.get(page.as_uri())
    assert browser.get_log("browser") == []
    images = browser.execute_script("return [...document.images].map(i => [i.naturalWidth, i.getBoundingClientRect().width, i.alt])")
    assert len(images) == len(FIGURES)
    for natural, shown, alt in images:
        assert natural > 300 and shown > 250 and alt
    too_wide = "return [...document.querySelectorAll('body, body > *')].filter(e => e.scrollWidth > innerWidth && getComputedStyle(e).overflowX == 'visible').map(e => e.outerHTML.slice(0, 80))"
    assert browser.execute_script(too_wide) == []
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width
    assert float(browser.execute_script("return parseFloat(getComputedStyle(document.body).fontSize)")) >= 15
