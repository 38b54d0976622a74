"""Press "Try it out" and "Execute" in `/docs`, in a real browser: each order works as it stands."""

from collections.abc import Iterator

import pytest

from tests.contract.browser import Page, open_browser
from tests.contract.conformance import operations
from tests.processes import Gateway, run_gateway

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

ORDERS = [
    name for name, (method, path, _) in operations().items() if method == "post" and "/admin/" not in path
]
EXECUTE = """
(async () => {
  const until = async (find) => {
    for (let tries = 0; tries < 600; tries += 1) {
      const found = find();
      if (found) return found;
      await new Promise((done) => setTimeout(done, 50));
    }
    throw new Error(`not found: ${find}`);
  };
  const operation = await until(() => document.querySelector("#operations-Images-%s.is-open"));
  (await until(() => operation.querySelector(".try-out__btn"))).click();
  (await until(() => operation.querySelector(".execute"))).click();
  const status = await until(() => operation.querySelector(".live-responses-table .response .response-col_status"));
  return `${status.textContent.trim()} ${status.parentElement.textContent.slice(0, 1000)}`;
})()
"""


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with run_gateway(tmp_path_factory.mktemp("docs"), sandbox="true") as gateway:
        yield gateway


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with open_browser(tmp_path_factory.mktemp("browser")) as page:
        if page is None:
            pytest.skip("chromium is not installed")
        yield page


@pytest.mark.parametrize("name", ORDERS)
def test_an_order_is_executed_unchanged(page: Page, gateway: Gateway, name: str) -> None:
    page.open("about:blank")
    page.open(f"{gateway.url}/docs#/Images/{name}")

    assert page.run(EXECUTE % name)[:3] == "200"
