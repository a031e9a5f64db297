// Tests what eca.js does around a binary, with a script in its place.
'use strict';

const assert = require('node:assert');
const { spawn, spawnSync } = require('node:child_process');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { after, test } = require('node:test');

const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'eca-npm-test-'));
after(() => fs.rmSync(dir, { recursive: true }));
const program = path.join(dir, 'eca.js');
fs.copyFileSync(path.join(__dirname, 'eca.js'), program);
const name = `@ecakit/eca-${process.platform}-${process.arch}`;
const declare = (optionalDependencies) => fs.writeFileSync(path.join(dir, 'package.json'), JSON.stringify({ optionalDependencies }));
const binary = path.join(dir, 'node_modules', name, 'bin/eca');

const skip = process.platform === 'win32' && 'the script needs sh';

test('without a binary', () => {
  declare({});
  let ended = spawnSync(process.execPath, [program], { encoding: 'utf8' });
  assert.match(ended.stderr, /^error: there is no binary for \w+ on \w+\nhint: build one with Go/);
  assert.strictEqual(ended.status, 1);
  declare({ [name]: '1.0.0' });
  ended = spawnSync(process.execPath, [program], { encoding: 'utf8' });
  assert.match(ended.stderr, /^error: the package \S+ is not installed\nhint: install without --omit=optional.*\n$/);
  assert.strictEqual(ended.status, 1);

  fs.mkdirSync(path.dirname(binary), { recursive: true });
  fs.writeFileSync(binary, '#!/bin/sh\neval "$1"\n', { mode: 0o755 });
});

test('arguments, streams and exit code pass', { skip }, () => {
  const ended = spawnSync(process.execPath, [program, 'cat; echo "$2"; echo aside >&2; exit 7', 'a  b'], { input: 'in\n', encoding: 'utf8' });
  assert.deepStrictEqual([ended.stdout, ended.stderr, ended.status], ['in\na  b\n', 'aside\n', 7]);
});

test('a signal that ends the binary ends its caller', { skip }, () => {
  assert.strictEqual(spawnSync(process.execPath, [program, 'kill -KILL $$']).signal, 'SIGKILL');
});

// Says how many signals arrive within a second. A shell would take two for one.
const counting = `exec '${process.execPath}' -e 'let n = 0; for (const s of ["SIGINT", "SIGTERM"]) process.on(s, () => n++); console.log("ready"); setTimeout(() => console.log("signals: " + n + "."), 1000)'`;

for (const signal of ['SIGINT', 'SIGTERM']) {
  test(`${signal} reaches the binary once, without a terminal`, { skip }, async () => {
    assert.match(await signalled(spawn(process.execPath, [program, counting], { detached: true }), (child) => child.kill(signal)), /signals: 1\./);
  });
}

test('Ctrl-C reaches the binary', { skip: skip || spawnSync('script', ['-V']).status !== 0 && 'script of util-linux is not here' }, async () => {
  const quoted = [process.execPath, program, counting].map((word) => `'${word.replaceAll("'", `'\\''`)}'`).join(' ');
  assert.match(await signalled(spawn('script', ['-qec', quoted, '/dev/null']), (child) => child.stdin.write('\x03')), /signals: [12]\./);
});

// signalled sends a signal once the script is ready, and returns all that it prints.
function signalled(child, send) {
  return new Promise((resolve, reject) => {
    let output = '';
    child.stdout.on('data', (data) => {
      if (output === '') send(child);
      output += data;
    });
    child.on('error', reject);
    child.on('close', () => resolve(output));
  });
}
