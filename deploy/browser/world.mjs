// A daemon of its own, a key, working copies of small apps, and a browser.
import { execFile, spawn } from 'node:child_process';
import fs from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { chromium } from 'playwright-core';

const run = promisify(execFile);
const HELLO = new URL('../../crates/sarsen-e2e/tests/apps/hello/', import.meta.url).pathname;

export async function eventually(what, look, seconds = 60) {
  const end = Date.now() + seconds * 1000;
  let last = 'not yet';
  while (Date.now() < end) {
    try {
      const found = await look();
      if (found) return found;
    } catch (error) {
      last = error.message;
    }
    await new Promise(done => setTimeout(done, 100));
  }
  throw new Error(`${what}: ${last} (${seconds} s)`);
}

function freePort() {
  return new Promise((done, fail) => {
    const server = net.createServer();
    server.once('error', fail);
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address();
      server.close(() => done(port));
    });
  });
}

export class World {
  static async start(binary) {
    const world = new World();
    world.binary = binary;
    world.folder = fs.mkdtempSync(path.join(os.tmpdir(), 'sarsen-browser-'));
    const at = name => path.join(world.folder, name);
    [world.ssh, world.http, world.web] = [await freePort(), await freePort(), await freePort()];
    world.url = `http://127.0.0.1:${world.web}`;
    fs.writeFileSync(at('sarsen.toml'), `data_dir = "${at('data')}"
domain = "browser.test"
control.socket = "${at('socket')}"
ssh.listen = ["127.0.0.1:${world.ssh}"]
ssh.public_host = "127.0.0.1"
http.listen = ["127.0.0.1:${world.http}"]
web.listen = "127.0.0.1:${world.web}"
`);
    await run('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', at('key')]);
    world.env = { PATH: process.env.PATH, HOME: world.folder, SARSEN_SOCKET: at('socket'), GIT_CONFIG_NOSYSTEM: '1',
      GIT_SSH_COMMAND: `ssh -i ${at('key')} -F none -o IdentitiesOnly=yes -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR` };
    world.log = at('daemon.log');
    const log = fs.openSync(world.log, 'a');
    world.daemon = spawn('setpriv', ['--pdeathsig', 'KILL', '--', binary, 'serve', '--config', at('sarsen.toml')], { stdio: ['ignore', log, log], env: world.env });
    await eventually('the daemon is ready', () => {
      if (world.daemon.exitCode !== null) throw new Error(`it ended\n${fs.readFileSync(world.log, 'utf8')}`);
      return fs.readFileSync(world.log, 'utf8').includes(' ready');
    });
    await world.sarsen(['ssh-keys:add', 'ada'], fs.readFileSync(at('key.pub')));
    return world;
  }

  // A command on the host.
  sarsen(words, input = '') {
    return this.program(this.binary, words, { input });
  }

  program(name, words, { input = '', cwd = this.folder, fails = false } = {}) {
    return new Promise((done, fail) => {
      const child = spawn(name, words, { cwd, env: this.env, stdio: 'pipe' });
      let output = '';
      child.stdout.on('data', data => { output += data; });
      child.stderr.on('data', data => { output += data; });
      child.on('error', fail);
      // Whoever has ended reads no more.
      child.stdin.on('error', () => {});
      child.on('close', code => {
        if ((code !== 0) === fails) done(output);
        else fail(new Error(`${name} ${words.join(' ')}: exit ${code}\n${output}`));
      });
      child.stdin.end(input);
    });
  }

  // A working copy of the small web server with these files besides.
  async code(name, files = {}) {
    const folder = path.join(this.folder, `code-${name}`);
    fs.cpSync(HELLO, folder, { recursive: true });
    await this.git(folder, 'init', '-q', '-b', 'main');
    await this.git(folder, 'remote', 'add', 'sarsen', `ssh://dokku@127.0.0.1:${this.ssh}/${name}`);
    await this.change(folder, files);
    return folder;
  }

  async change(folder, files) {
    for (const [file, text] of Object.entries(files)) fs.writeFileSync(path.join(folder, file), text);
    await this.git(folder, 'add', '-A');
    await this.git(folder, '-c', 'user.name=Ada', '-c', 'user.email=ada@example.com', 'commit', '-q', '--allow-empty', '-m', `Change ${Object.keys(files).join(', ') || 'nothing'}`);
  }

  git(folder, ...words) {
    return this.program('git', words, { cwd: folder });
  }

  push(folder, options) {
    return this.program('git', ['push', '-q', 'sarsen', 'main'], { cwd: folder, ...options });
  }

  // What an app answers through the router.
  async get(app, path = '/') {
    const { default: http } = await import('node:http');
    return new Promise((done, fail) => {
      const request = http.get({ host: '127.0.0.1', port: this.http, path, headers: { host: `${app}.browser.test` }, agent: false }, response => {
        let body = '';
        response.on('data', data => { body += data; });
        response.on('end', () => done({ status: response.statusCode, body }));
      });
      request.on('error', fail);
    });
  }

  async browser() {
    this.chromium ??= await chromium.launch({
      executablePath: process.env.CHROMIUM || '/usr/bin/chromium',
      args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--disable-dev-shm-usage', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'],
    });
    return this.chromium;
  }

  async login() {
    const output = await this.sarsen(['dashboard:login']);
    return output.match(/http\S+/)[0];
  }

  async end() {
    await this.chromium?.close();
    for (const app of (await this.sarsen(['--quiet', 'apps:list']).catch(() => '')).split('\n').filter(Boolean)) {
      await this.sarsen(['apps:destroy', '--force', app]).catch(error => console.error(error.message));
    }
    if (this.daemon && this.daemon.exitCode === null) {
      const ended = new Promise(done => this.daemon.once('exit', done));
      this.daemon.kill('SIGTERM');
      await Promise.race([ended, new Promise(done => setTimeout(done, 15000))]);
      this.daemon.kill('SIGKILL');
    }
    const owner = fs.existsSync(path.join(this.folder, 'data/owner')) ? fs.readFileSync(path.join(this.folder, 'data/owner'), 'utf8').trim() : '';
    if (owner) {
      for (const [list, remove] of [[['ps', '-aq'], ['rm', '-fv']], [['volume', 'ls', '-q'], ['volume', 'rm', '-f']], [['network', 'ls', '-q'], ['network', 'rm']], [['images', '-q'], ['rmi', '-f']]]) {
        const { stdout } = await run('docker', [...list, '--filter', `label=com.sarsen.owner=${owner}`]);
        const ids = [...new Set(stdout.split('\n').filter(Boolean))];
        if (ids.length) await run('docker', [...remove, ...ids]).catch(error => console.error(error.message));
      }
    }
    fs.rmSync(this.folder, { recursive: true, force: true });
  }
}
