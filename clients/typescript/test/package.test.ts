import assert from "node:assert/strict";
import { mkdir, readFile, symlink, writeFile } from "node:fs/promises";
import { delimiter, join, resolve } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

import { TURNSTILE, environment, folder, run, startNode } from "./support/processes.js";

const HERE = fileURLToPath(new URL("../..", import.meta.url));

test("the packed package installs into an empty project, and what the README shows works", async (t) => {
  const project = await folder(t);
  const { stdout: packed } = await run("npm", ["pack", "--json", "--pack-destination", project], { cwd: HERE });
  const [archive] = JSON.parse(packed.slice(packed.indexOf("["))) as { filename: string; files: { path: string }[] }[];
  assert.ok(archive !== undefined);
  for (const { path } of archive.files) assert.match(path, /^(dist\/|README\.md$|LICENSE$|package\.json$)/);
  await run("npm", ["init", "-y"], { cwd: project });
  const install = ["install", "--prefer-offline", "--no-audit", "--no-fund", `./${archive.filename}`];
  await run("npm", install, { cwd: project });

  await t.test("the first program", async () => {
    await writeFile(join(project, "first.mjs"), await example("first.mjs"));
    const { stdout } = await run(process.execPath, ["first.mjs"], {
      cwd: project,
      env: await pathWithTurnstile(project),
    });
    const lines = stdout.trim().split("\n");
    assert.equal(lines.length, 7);
    // Three at once, of whatever niceness has arrived by then; after that the urgent ones go before the others.
    assert.match(lines[3] ?? "", /^1\.\d s /);
    assert.match(lines[6] ?? "", /^2\.\d s nightly export/);
    assert.equal(lines.slice(0, 6).filter((line) => line.includes("somebody who waits")).length, 2);
  });

  await t.test("the types of the workers", async () => {
    await writeFile(join(project, "workers.mts"), await example("workers.ts"));
    const tsc = join(HERE, "node_modules/typescript/bin/tsc");
    const types = ["--types", "node", "--typeRoots", join(HERE, "node_modules/@types")];
    const flags = ["--noEmit", "--strict", "--target", "es2022", "--lib", "es2022,esnext.disposable"];
    await run(process.execPath, [tsc, ...flags, "--module", "nodenext", ...types, "workers.mts"], { cwd: project });
  });

  await t.test("a process that waits for nothing ends, also with a permit that it has forgotten", async () => {
    const node = await startNode(t);
    const program = `import { acquire, throttle } from "@turnstile/client";
      const slack = { platform: "slack", connection: "acme", niceness: 0, rateLimit: { requestCount: 2, windowSeconds: 60 } };
      await throttle(slack, () => 0);
      const permit = await acquire(slack);
      process.on("exit", () => console.log(permit.requestId.length));`;
    const env = environment({ TURNSTILE_NODES: `127.0.0.1:1,${node.address}` });
    const options = { cwd: project, env, timeout: 10_000 };
    const { stdout } = await run(process.execPath, ["--input-type=module", "-e", program], options);
    assert.equal(stdout, "32\n");
  });

  await t.test("a missing binary is named", async () => {
    const program = `import { startLocalNode } from "@turnstile/client/dev";
      await startLocalNode({ binary: "no-such-turnstile" }).catch((error) => console.log(error.message));`;
    const { stdout } = await run(process.execPath, ["--input-type=module", "-e", program], { cwd: project });
    assert.equal(stdout, 'can\'t start "no-such-turnstile": there is no such program in PATH\n');
  });
});

/** The code block of the README that follows the name of this file. */
async function example(name: string): Promise<string> {
  const readme = await readFile(join(HERE, "README.md"), "utf8");
  const code = readme.slice(readme.indexOf(`\`${name}\`:\n`)).split(/^```\w*$/m)[1];
  assert.ok(code !== undefined, `the README has no ${name}`);
  return code;
}

/** An environment whose `PATH` has the binary under test as `turnstile`. */
async function pathWithTurnstile(project: string): Promise<NodeJS.ProcessEnv> {
  const bin = join(project, "bin");
  await mkdir(bin);
  if (TURNSTILE.includes("/")) await symlink(resolve(TURNSTILE), join(bin, "turnstile"));
  return environment({ PATH: [bin, process.env["PATH"] ?? ""].join(delimiter) });
}
