// The dashboard as people use it: sign in, create, push, edit, scale, roll back, read logs, see why a deploy failed.
// Then every page by light, by dark and on a small screen: pictures, no serious fault by axe, nothing wider than the screen.
//   test.mjs BINARY [FOLDER-FOR-PICTURES]
import assert from 'node:assert/strict';
import fs from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { World, eventually } from './world.mjs';

const [binary, pictures = ''] = process.argv.slice(2);
const AXE = fs.readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const only = process.env.ONLY ? new RegExp(process.env.ONLY) : null;
let passed = 0;
const failures = [];

async function check(name, test, seconds = 300) {
  const began = Date.now();
  let timer;
  try {
    await Promise.race([test(), new Promise((_, fail) => { timer = setTimeout(() => fail(new Error(`no end within ${seconds} s`)), seconds * 1000); })]);
    passed++;
    console.log(`ok      ${name} (${((Date.now() - began) / 1000).toFixed(1)} s)`);
  } catch (error) {
    failures.push(name);
    console.log(`FAILED  ${name}: ${error.message}`);
    if (page && pictures) await page.screenshot({ path: path.join(pictures, `failed-${failures.length}.png`) }).catch(() => {});
  } finally {
    clearTimeout(timer);
  }
}

const world = await World.start(binary);
for (const signal of ['SIGINT', 'SIGTERM']) {
  process.on(signal, async () => {
    await world.end().catch(error => console.log(error.message));
    process.exit(1);
  });
}
let page;
const complaints = [];
const browser = await world.browser();
const context = await browser.newContext({ viewport: { width: 1280, height: 860 }, reducedMotion: 'reduce' });
page = await context.newPage();
page.setDefaultTimeout(60000);
page.on('dialog', dialog => dialog.accept());
page.on('console', message => { if (['error', 'warning'].includes(message.type()) && !/status of (4\d\d|503)/.test(message.text())) complaints.push(`${page.url()}: ${message.text()}`); });
page.on('pageerror', error => complaints.push(`${page.url()}: ${error.message}`));
page.on('request', request => { if (!request.url().startsWith(world.url) && !request.url().startsWith('data:')) complaints.push(`asks ${request.url()}`); });
const go = to => page.goto(world.url + to, { waitUntil: 'load' });
const text = selector => page.locator(selector).innerText();
const sees = (selector, wanted, seconds = 60) => eventually(`${selector} shows ${wanted}`, async () => {
  const shown = await text(selector);
  if (shown.includes(wanted)) return true;
  throw new Error(`it shows ${shown.slice(0, 600)}`);
}, seconds);

let folder;

const story = [
  ['whoever is not signed in is told how to', async () => {
    await go('/');
    await sees('main', 'dashboard:login');
  }],
  ['a link signs in, once', async () => {
    const link = await world.login();
    await page.goto(link);
    await sees('main', 'There is no app yet');
    const other = await (await browser.newContext()).newPage();
    other.setDefaultTimeout(60000);
    await other.goto(link);
    assert.match(await other.innerText('main'), /dashboard:login/);
    await other.context().close();
  }],
  ['an app is created and says how to push to it', async () => {
    await page.keyboard.press('g');
    await page.keyboard.press('n');
    await page.waitForURL('**/new');
    await page.locator('form[action="/do/create"] input[name=name]').fill('shop');
    await page.getByRole('button', { name: 'Create the app' }).click();
    await page.waitForURL('**/apps/shop*');
    const command = await text('pre.cmd >> nth=0');
    assert.match(command, new RegExp(`git remote add \\S+ ssh://\\S+@127\\.0\\.0\\.1:${world.ssh}/shop`), command);
  }],
  ['a push is watched while it happens', async () => {
    folder = await world.code('shop', {
      Procfile: 'web: perl server.pl\nworker: perl -e "$|=1; while (1) { print qq(working\\n); sleep 2 }"\n',
      'app.json': JSON.stringify({ cron: [{ command: 'echo cleaned', schedule: '0 3 * * *' }] }),
      Dockerfile: `FROM sarsen/base:bookworm\nWORKDIR /app\nCOPY . .\nRUN for n in 1 2 3 4 5 6; do printf "\\033[32mstep $n\\033[0m of six\\n"; sleep 1; done # ${Date.now()}\nCMD ["perl", "server.pl"]\n`,
    });
    const pushed = world.push(folder);
    await go('/');
    await page.getByRole('link', { name: 'Watch' }).click();
    await page.waitForURL('**/deploys/*');
    assert.equal(await page.locator('.log[data-stream]').count(), 1, 'it is under way');
    await sees('.log', 'step 2 of six');
    await page.screenshot({ path: path.join(pictures || world.folder, 'live-deploy.png') });
    await pushed;
    await sees('#deploy', 'succeeded');
    await sees('.log', 'step 6 of six');
    await world.sarsen(['ps:scale', 'shop', 'worker=1']);
    assert.ok(await page.locator('.log .fg2').count() > 0, 'colours');
    assert.equal(await page.locator('.phases .running').count(), 0);
    assert.match((await world.get('shop')).body, /^hello from/);
  }],
  ['a log is searched with the keyboard', async () => {
    await page.keyboard.press('/');
    await page.keyboard.type('of six');
    await sees('[data-find-count]', 'line');
    await page.keyboard.press('Enter');
    assert.equal(await page.locator('.log .l.at').count(), 1);
    const [download] = await Promise.all([page.waitForEvent('download'), page.getByText('Download the log').click()]);
    assert.match(fs.readFileSync(await download.path(), 'utf8'), /step 6 of six|step 6/);
  }],
  ['config is edited: shown as a difference first, hidden afterwards, revealed on demand', async () => {
    await go('/apps/shop/config');
    await page.fill('textarea', 'GREETING=good day\nSECRET=hunter2\n');
    await page.getByRole('button', { name: 'Review the changes' }).click();
    await sees('.diff', '+ GREETING=good day');
    await page.getByRole('button', { name: 'Save and restart now' }).click();
    await eventually('the app has the value', async () => (await world.get('shop', '/env/GREETING')).body.includes('good day'));
    await go('/apps/shop/config');
    assert.ok(!(await page.content()).includes('hunter2'), 'values are hidden');
    await page.locator('#var-SECRET').getByRole('button', { name: 'Reveal' }).click();
    await sees('#var-SECRET', 'hunter2');
    assert.match(await world.sarsen(['events']), /config:get shop/);
    await go('/apps/shop/config');
    const shown = await page.inputValue('textarea');
    assert.ok(shown.includes('SECRET=•') && !shown.includes('hunter2'), shown);
    await page.fill('textarea', shown.replace(/GREETING=.*/, 'GREETING=hello'));
    await page.getByRole('button', { name: 'Review the changes' }).click();
    await sees('.diff', 'GREETING');
    assert.ok(!(await text('.diff')).includes('SECRET'), 'a masked line stays as it is');
    await page.getByRole('button', { name: 'Save for the next deploy' }).click();
    await sees('main', 'GREETING');
    assert.equal((await world.sarsen(['config:get', 'shop', 'SECRET'])).trim(), 'hunter2');
    assert.equal((await world.sarsen(['config:get', 'shop', 'GREETING'])).trim(), 'hello');
    assert.match((await world.get('shop', '/env/GREETING')).body, /good day/);
  }],
  ['processes are scaled', async () => {
    await go('/apps/shop');
    await page.getByRole('button', { name: 'One web more' }).click();
    await eventually('two web processes', async () => /web\.2/.test(await world.sarsen(['ps:report', 'shop'])) || (await (async () => { await go('/apps/shop'); return text('#processes'); })()).includes('web.2'));
    // The config that waits since the test before came with it: all containers are new.
    await eventually('the deploy is over', async () => !/running/.test(await world.sarsen(['builds:list', 'shop'])));
    await go('/apps/shop/scale');
    await page.locator('#formation input[name=web]').fill('1');
    await page.getByRole('button', { name: 'Scale', exact: true }).click();
    await eventually('one web process', async () => (await world.sarsen(['ps:scale', 'shop'])).match(/web:\s*1/));
    await go('/apps/shop/scale');
    await page.locator('form[action$="/do/limit"]').first().locator('input[name=memory]').fill('256m');
    await page.getByRole('button', { name: 'Limit' }).first().click();
    await eventually('the limit', async () => (await world.sarsen(['resource:limit', '--process-type', 'web', 'shop'])).includes('256'));
  }],
  ['a deploy that fails says why, and the old release serves', async () => {
    await world.change(folder, { Dockerfile: 'FROM sarsen/base:bookworm\nRUN echo about to break && cat /no/such/file\n' });
    await world.push(folder, { fails: true });
    await go('/apps/shop/deploys');
    await page.locator('#builds-table tbody a').first().click();
    await sees('#deploy', 'failed');
    await page.locator('.notice.bad').waitFor();
    assert.equal(await page.locator('.phases .failed').count(), 1);
    assert.equal((await world.get('shop')).status, 200);
  }],
  ['a release is rolled back', async () => {
    await world.change(folder, { Dockerfile: 'FROM sarsen/base:bookworm\nWORKDIR /app\nCOPY . .\nCMD ["perl", "server.pl"]\n', 'version.txt': 'two\n' });
    await world.push(folder);
    assert.match((await world.get('shop')).body, /hello from two/);
    await go('/apps/shop');
    await page.locator('#feed').getByRole('button', { name: /Roll back/ }).first().click();
    await eventually('the version before', async () => !(await world.get('shop')).body.includes('two'));
    await eventually('the page tells', async () => { await go('/apps/shop'); return /back/i.test(await text('#feed .what >> nth=0')); });
    await page.locator('#feed').getByRole('link', { name: /Changes of v\d+/ }).first().click();
    await sees('main', 'From v');
  }],
  ['a domain is added and removed', async () => {
    await go('/apps/shop/domains');
    await page.fill('form[action$="/do/domain-add"] input[name=domain]', 'shop.example.com');
    await page.getByRole('button', { name: 'Add', exact: true }).click();
    await sees('main', 'shop.example.com');
    assert.match(await world.sarsen(['domains:report', 'shop']), /shop\.example\.com/);
    await page.fill('form[action$="/do/domain-add"] input[name=domain]', 'not a domain');
    await page.getByRole('button', { name: 'Add', exact: true }).click();
    await sees('main', 'not a domain');
    await go('/apps/shop/domains');
    await page.getByRole('button', { name: 'Remove shop.example.com' }).click();
    await eventually('it is gone', async () => !(await world.sarsen(['domains:report', 'shop'])).includes('shop.example.com'));
  }],
  ['logs are tailed', async () => {
    await go('/apps/shop/logs');
    await world.get('shop', '/seen-in-the-log');
    await sees('.log', '/seen-in-the-log');
    await page.getByRole('link', { name: /^worker/ }).first().click();
    await sees('.log', 'working');
    assert.ok(!(await text('.log')).includes('seen-in-the-log'), 'one source only');
  }],
  ['a command runs once, with its output as it comes', async () => {
    await go('/apps/shop/run');
    await page.fill('input[name=command]', "sh -c 'for n in 1 2 3 4; do echo line $n; sleep 1; done'");
    await page.getByRole('button', { name: 'Run', exact: true }).click();
    await page.waitForURL('**/runs/*');
    await sees('.log', 'line 2');
    await sees('#run', 'done');
    await sees('.log', 'line 4');
  }],
  ['a scheduled task runs now', async () => {
    await go('/apps/shop/cron');
    await sees('main', 'echo cleaned');
    await page.getByRole('button', { name: 'Run now' }).click();
    await eventually('how it ended', async () => { await go('/apps/shop/cron'); return (await text('#tasks')).includes('exit 0'); });
  }],
  ['maintenance, lock, and a property', async () => {
    await go('/apps/shop/settings');
    await page.getByRole('button', { name: 'Begin maintenance' }).click();
    await sees('main', 'In maintenance');
    assert.equal((await world.get('shop')).status, 503);
    await page.getByRole('button', { name: 'End maintenance' }).click();
    await eventually('it serves', async () => (await world.get('shop')).status === 200);
  }],
  ['without script everything is there, too', async () => {
    const plain = await browser.newContext({ javaScriptEnabled: false, storageState: await context.storageState() });
    const bare = await plain.newPage();
    bare.setDefaultTimeout(60000);
    await bare.goto(`${world.url}/apps/shop`);
    assert.match(await bare.innerText('#processes'), /web/);
    await bare.goto(`${world.url}/apps/shop/deploys`);
    await bare.locator('#builds-table tbody a').first().click();
    assert.ok((await bare.locator('.log').innerText()).length > 20, 'the log is in the page');
    await bare.goto(`${world.url}/apps/shop/scale`);
    await bare.locator('#formation input[name=worker]').fill('0');
    await bare.getByRole('button', { name: 'Scale', exact: true }).click();
    await eventually('no worker', async () => (await world.sarsen(['ps:scale', 'shop'])).match(/worker:\s*0/));
    await bare.goto(`${world.url}/apps/shop/logs`);
    assert.match(await bare.innerText('.log'), /\w/);
    await plain.close();
  }],
];

const failing = async () => {
  const { stdout } = { stdout: await world.sarsen(['builds:list', '--format', 'json', 'shop']) };
  const builds = JSON.parse(stdout);
  return (builds.find(build => build.status === 'failed') ?? builds[0]).id;
};

// Every page, with the names of its pictures.
const pages = async () => [
  ['apps', '/'], ['new', '/new'], ['app', '/apps/shop'], ['deploys', '/apps/shop/deploys'], ['deploy-failed', `/apps/shop/deploys/${await failing()}`],
  ['logs', '/apps/shop/logs'], ['config', '/apps/shop/config'], ['domains', '/apps/shop/domains'], ['scale', '/apps/shop/scale'], ['addons', '/apps/shop/addons'],
  ['cron', '/apps/shop/cron'], ['storage', '/apps/shop/storage'], ['run', '/apps/shop/run'], ['settings', '/apps/shop/settings'], ['compare', '/apps/shop/compare?a=1&b=2'],
  ['fresh', '/apps/fresh'], ['host', '/host'], ['plugins', '/host/plugins'], ['keys', '/host/keys'], ['audit', '/host/audit'], ['nowhere', '/nowhere'],
];

async function look(name, to) {
  for (const [kind, colorScheme, width] of [['light', 'light', 1280], ['dark', 'dark', 1280], ['narrow', 'light', 360]]) {
    await page.setViewportSize({ width, height: width === 360 ? 740 : 860 });
    await page.emulateMedia({ colorScheme, reducedMotion: 'reduce' });
    const answer = await go(to);
    assert.equal(answer.status(), name === 'nowhere' ? 404 : 200, to);
    if (pictures) await page.screenshot({ path: path.join(pictures, `${name}-${kind}.png`), fullPage: true });
    const wide = await page.evaluate(() => document.documentElement.scrollWidth);
    assert.ok(wide <= width, `${kind}: ${wide} px wide`);
    const found = await page.evaluate(`${AXE}; axe.run({ resultTypes: ['violations'] })`);
    const serious = found.violations.filter(one => ['serious', 'critical'].includes(one.impact));
    assert.deepEqual(serious.map(one => `${kind}: ${one.id} at ${one.nodes[0].target} ${one.nodes[0].failureSummary}`), []);
  }
}

const began = Date.now();
try {
  if (pictures) fs.mkdirSync(pictures, { recursive: true });
  for (const [name, test] of story) if (!only || only.test(name) || story.findIndex(([other]) => other === name) < 4) await check(name, test);
  // A second and a third app, and some traffic, so that lists are lists.
  await check('more apps', async () => {
    await world.sarsen(['apps:create', 'fresh']);
    const blog = await world.code('blog', {});
    await world.push(blog);
    for (let n = 0; n < 60; n++) await world.get(n % 3 ? 'shop' : 'blog', n % 20 ? '/' : '/health');
  });
  const all = await pages();
  for (const [name, to] of all) await check(`page ${name}`, () => look(name, to), 180);
  await page.setViewportSize({ width: 1280, height: 860 });
  await page.emulateMedia({ colorScheme: 'light' });
  await check('the filter and the order of the list', async () => {
    await go('/');
    await page.keyboard.press('/');
    await page.keyboard.type('blo');
    assert.equal(await page.locator('#apps tbody tr:visible').count(), 1);
    await page.fill('[data-filter]', '');
    await page.locator('#apps th button').first().click();
    await page.locator('#apps th button').first().click();
    assert.equal(await page.locator('#apps tbody tr th').first().innerText(), 'shop');
  });
  await check('an app is destroyed only by its name', async () => {
    await go('/apps/fresh/settings');
    await page.locator('form[action$="/do/destroy"] input[name=confirm]').fill('fresh');
    await page.getByRole('button', { name: 'Destroy fresh' }).click();
    await eventually('it is gone', async () => !(await world.sarsen(['apps:list'])).includes('fresh'));
  });
  await check('signing out ends it', async () => {
    await go('/');
    await page.getByRole('button', { name: 'Sign out' }).click();
    await go('/apps/shop');
    await sees('main', 'dashboard:login');
  });
  await check('no complaint in the console, no request elsewhere', async () => assert.deepEqual([...new Set(complaints)], []));
} catch (error) {
  failures.push('the test itself');
  console.log(`FAILED  the test itself: ${error.stack}`);
} finally {
  if (failures.length) console.log(fs.readFileSync(world.log, 'utf8').split('\n').slice(-40).join('\n'));
  await world.end().catch(error => { failures.push('tidying up'); console.log(`FAILED  tidying up: ${error.message}`); });
}
console.log(`took ${Math.round((Date.now() - began) / 1000)} s`);
console.log(`${passed} passed, ${failures.length} failed`);
process.exit(failures.length ? 1 : 0);
