#!/usr/bin/env node
// Runs the eca binary of this platform. npm installs it as an optional dependency, chosen by os
// and cpu, so that nothing is downloaded or compiled at install.
'use strict';

const { spawn } = require('node:child_process');
const { closeSync, openSync } = require('node:fs');

// binary returns the path of this platform's binary.
function binary() {
  const name = `@ecakit/eca-${process.platform}-${process.arch}`;
  const { optionalDependencies = {} } = require('./package.json');
  if (!(name in optionalDependencies)) {
    throw new Error(`there is no binary for ${process.platform} on ${process.arch}; build one with Go and put it on the PATH: https://github.com/ecakit/ecakit`);
  }
  try {
    return require.resolve(`${name}/bin/eca${process.platform === 'win32' ? '.exe' : ''}`);
  } catch {
    throw new Error(`the package ${name} is not installed; install without --omit=optional, and with a lockfile that lists it`);
  }
}

// interruptsReachAll reports whether Ctrl-C interrupts the binary as well. A terminal and
// Windows' console signal all their processes, and eca takes a second interrupt for haste.
function interruptsReachAll() {
  if (process.platform === 'win32') return true;
  try {
    closeSync(openSync('/dev/tty', 'r'));
    return true;
  } catch {
    return false;
  }
}

// run gives the binary the arguments and the standard streams, passes signals on, and ends this
// process the way the binary ended.
function run(args) {
  return new Promise((resolve, reject) => {
    const child = spawn(binary(), args, { stdio: 'inherit' });
    const listeners = Object.entries({
      SIGINT: () => interruptsReachAll() || child.kill('SIGINT'),
      SIGTERM: () => child.kill('SIGTERM'),
      SIGHUP: () => child.kill('SIGHUP'),
    });
    for (const [signal, listener] of listeners) process.on(signal, listener);
    child.on('error', reject);
    child.on('exit', (code, signal) => {
      for (const [name, listener] of listeners) process.off(name, listener);
      if (signal) process.kill(process.pid, signal);
      process.exitCode = code ?? 1;
      resolve();
    });
  });
}

module.exports = { run };

if (require.main === module) {
  const failed = (error) => {
    console.error(`eca: ${error.message}`);
    process.exitCode = 1;
  };
  run(process.argv.slice(2)).catch(failed);
}
