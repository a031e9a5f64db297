#!/usr/bin/env node
// Makes the npm packages: one with eca.js and the sf plugin, and one for each platform with its
// binary. Commands, flags and version are those that the binary states.
//
//     hook/sf-plugin/pack.js DIR BINARIES
//
// BINARIES has a folder for each platform, like linux_amd64, with eca or eca.exe in it; this
// platform's must be among them. The tarballs are written into DIR.
'use strict';

const { execFileSync } = require('node:child_process');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');

// Go's names, and npm's for the same.
const systems = { linux: 'linux', darwin: 'darwin', windows: 'win32' };
const processors = { amd64: 'x64', arm64: 'arm64' };

const [to, binaries] = process.argv.slice(2).map((name) => path.resolve(name));
if (!binaries) {
  console.error('usage: hook/sf-plugin/pack.js DIR BINARIES');
  process.exit(2);
}
const platforms = fs.readdirSync(binaries).sort().map((folder) => {
  const [goos, goarch] = folder.split('_');
  return { os: systems[goos], cpu: processors[goarch], file: path.join(binaries, folder, goos === 'windows' ? 'eca.exe' : 'eca') };
});
const here = platforms.find((p) => p.os === process.platform && p.cpu === process.arch);
if (!here) {
  console.error(`pack.js: ${binaries} has no binary for this platform, ${process.platform} on ${process.arch}`);
  process.exit(1);
}
const description = JSON.parse(execFileSync(here.file, ['describe', '--json'], { encoding: 'utf8' }));
const version = description.version.replace(/^(?!v\d)/, '0.0.0-').replace(/^v/, '').replace(/\+.*/, '');

const staged = fs.mkdtempSync(path.join(os.tmpdir(), 'eca-npm-'));
try {
  const template = JSON.parse(fs.readFileSync(path.join(__dirname, 'package.json')));
  const { license, homepage, repository } = template;
  const optionalDependencies = {};
  for (const { os, cpu, file } of platforms) {
    const name = `${template.name}-${os}-${cpu}`;
    optionalDependencies[name] = version;
    pack(
      { name, version, description: `The eca binary for ${os} on ${cpu}, for ${template.name}`, license, homepage, repository, os: [os], cpu: [cpu], preferUnplugged: true, files: ['bin'] },
      { [`bin/${path.basename(file)}`]: file },
    );
  }
  const manifest = path.join(staged, 'oclif.manifest.json');
  fs.writeFileSync(manifest, json({ version, commands: commands(description) }));
  pack({ ...template, version, optionalDependencies }, {
    'oclif.manifest.json': manifest,
    'eca.js': path.join(__dirname, 'eca.js'),
    'commands.js': path.join(__dirname, 'commands.js'),
    'README.md': path.join(__dirname, 'README.md'),
  });
} finally {
  fs.rmSync(staged, { recursive: true });
}

// pack makes a tarball of a package with these files.
function pack(manifest, files) {
  const dir = path.join(staged, manifest.name);
  const all = { ...files, LICENSE: path.join(__dirname, '../../LICENSE') };
  for (const [name, from] of Object.entries(all)) {
    const file = path.join(dir, name);
    fs.mkdirSync(path.dirname(file), { recursive: true });
    fs.copyFileSync(from, file);
    fs.chmodSync(file, name.startsWith('bin/') || name === 'eca.js' ? 0o755 : 0o644);
  }
  fs.writeFileSync(path.join(dir, 'package.json'), json(manifest));
  execFileSync('npm', ['pack', '--silent', '--ignore-scripts', '--pack-destination', to], { cwd: dir, stdio: ['ignore', 'ignore', 'inherit'], shell: process.platform === 'win32' });
}

function json(value) {
  return JSON.stringify(value, null, 2) + '\n';
}

// commands turns eca's description into the commands of an oclif manifest.
function commands(description) {
  return Object.fromEntries(
    description.commands.map((command) => {
      const id = `eca:${command.name}`;
      return [id, {
        id,
        aliases: (command.aliases ?? []).map((alias) => `eca:${alias}`),
        hiddenAliases: [],
        hidden: command.hidden,
        strict: !command.args?.some((arg) => arg.multiple),
        summary: command.summary,
        description: command.description,
        args: values(command.args ?? [], (arg) => ({ description: arg.help })),
        flags: values(command.flags, (flag) => ({
          summary: flag.help,
          char: flag.short,
          aliases: flag.aliases,
          env: flag.variable,
          ...(flag.boolean ? { type: 'boolean' } : { type: 'option', multiple: flag.multiple, helpValue: flag.placeholder }),
        })),
      }];
    }),
  );
}

function values(all, rest) {
  return Object.fromEntries(
    all.map((value) => [value.name, {
      name: value.name,
      hidden: value.hidden,
      required: value.required,
      options: value.options,
      default: value.default,
      ...rest(value),
    }]),
  );
}
