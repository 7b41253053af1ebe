// Drives Chromium for pytest: one JSON request a line on standard input, one answer a line on standard output.
//   {"id", "on": "browser"|NAME, "selector"?, "call", "with": [...]}   calls a method of a page, or of a locator on it
//   {"id", "on": "browser", "call": "open", "with": [NAME, contextOptions]}     a new page with its own cookies
// Besides the methods of playwright's Page, Locator, Keyboard ("keyboard.press") and Mouse ("mouse.move"):
//   "requests": the URLs that the page asked for; "errors": what it said on its console or threw.
import { createInterface } from 'node:readline';
import { chromium } from 'playwright-core';

const POLL_MS = 40;
const FLAGS = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
  '--disable-component-update', '--disable-sync'];

const browser = await chromium.launch({
  executablePath: process.env.TEST_CHROMIUM ?? '/usr/bin/chromium', headless: true, args: FLAGS,
});
const pages = new Map();

async function open(name, options) {
  const context = await browser.newContext({ acceptDownloads: true, ...options });
  const page = await context.newPage();
  const entry = { context, page, requests: [], errors: [] };
  page.on('request', (request) => entry.requests.push(request.url()));
  page.on('websocket', (socket) => entry.requests.push(socket.url()));
  page.on('console', (message) => message.type() === 'error' && entry.errors.push(message.text()));
  page.on('pageerror', (error) => entry.errors.push(String(error)));
  pages.set(name, entry);
}

async function download(page, selector) {
  const [file] = await Promise.all([page.waitForEvent('download'), page.locator(selector).click()]);
  return { name: file.suggestedFilename(), path: await file.path() };
}

/** Playwright's own waitForFunction evaluates in the page, which its content security policy forbids. */
async function waitUntil(page, expression, limitMs) {
  const end = Date.now() + limitMs;
  while (!await page.evaluate(expression)) {
    if (Date.now() > end) {
      throw new Error(`not true within ${limitMs} ms`);
    }
    await new Promise((resolve) => { setTimeout(resolve, POLL_MS); });
  }
}

async function carryOut({ on, selector, call, with: values = [] }) {
  if (on === 'browser') {
    return call === 'open' ? open(...values) : browser.version();
  }
  const entry = pages.get(on);
  if (call === 'requests' || call === 'errors') {
    return entry[call];
  }
  if (call === 'closePage') {
    pages.delete(on);
    return entry.context.close();
  }
  if (call === 'download') {
    return download(entry.page, selector);
  }
  if (call === 'waitUntil') {
    return waitUntil(entry.page, ...values);
  }
  const [first, second] = call.split('.');
  const target = selector ? entry.page.locator(selector) : second ? entry.page[first] : entry.page;
  const result = await target[second ?? first](...values);
  return ['goto', 'reload'].includes(call) || Buffer.isBuffer(result) ? null : result;
}

for await (const line of createInterface({ input: process.stdin })) {
  const request = JSON.parse(line);
  let answer;
  try {
    answer = { result: (await carryOut(request)) ?? null };
  } catch (error) {
    answer = { error: error.message };
  }
  process.stdout.write(`${JSON.stringify({ id: request.id, ...answer })}\n`);
}
await browser.close();
