// Open a page in a Chromium without a window, wait until it is drawn, and save all of it as an image.
//
// node shoot.cjs CHROMIUM URL WIDTH IMAGE
const puppeteer = require('puppeteer-core');

async function shoot([executablePath, url, width, path]) {
  const browser = await puppeteer.launch({ executablePath, args: process.getuid() === 0 ? ['--no-sandbox'] : [] });
  try {
    const page = await browser.newPage();
    await page.setViewport({ width: Number(width), height: 900 });
    page.setDefaultTimeout(90_000);
    await page.goto(url);
    await page.waitForSelector('[data-drawn], [data-failed]');
    const reason = await page.$eval('html', (html) => html.dataset.failed);
    if (reason) {
      throw new Error(reason);
    }
    await page.waitForNetworkIdle();
    await page.screenshot({ path, fullPage: true });
  } finally {
    await browser.close();
  }
}

shoot(process.argv.slice(2)).catch((error) => {
  console.error(error);
  process.exitCode = 1;
});
