import assert from "node:assert/strict";
import { once } from "node:events";
import { cp, readFile, symlink, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { delimiter, join, relative, resolve } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

import { TURNSTILE, environment, firstLine, folder, kill, run, start, startNode, until } from "./support/processes.js";

const HERE = fileURLToPath(new URL("../..", import.meta.url));
const TSC = join(HERE, "node_modules/typescript/bin/tsc");

test("the packed package installs into an empty project, and what the README shows works", async (t) => {
  const clone = await folder(t);
  const source = join(clone, "clients/typescript");
  const isSource = (path: string) => !/^(node_modules|dist|build)$/.test(relative(HERE, path));
  await cp(HERE, source, { recursive: true, filter: isSource });
  const project = await folder(t);
  await writeFile(join(project, "first.mjs"), await example("first.mjs"));

  await t.test("the first program, by the README's words", async () => {
    const env = await quietNpm(await folder(t));
    let lines: string[] = [];
    for (const command of await commands()) {
      const { stdout } = await run("sh", ["-c", command.replaceAll("/path/to/turnstile", clone)], {
        cwd: project,
        env,
      });
      lines = stdout.trim().split("\n");
    }
    assert.equal(lines.length, 7);
    // Three at once, of whatever niceness has arrived by then; after that the urgent ones go before the others.
    assert.match(lines[3] ?? "", /^1\.\d s /);
    assert.match(lines[6] ?? "", /^2\.\d s nightly export/);
    assert.equal(lines.slice(0, 6).filter((line) => line.includes("somebody who waits")).length, 2);
  });

  await t.test("what is packed", async () => {
    const { stdout } = await run("tar", ["-tzf", join(source, "turnstile-client-0.1.0.tgz")]);
    const files = stdout.trim().split("\n");
    for (const file of files) assert.match(file, /^package\/(dist\/.*\.(js|d\.ts)|README\.md|LICENSE|package\.json)$/);
    for (const part of ["index", "testing/index", "dev/index"]) assert.ok(files.includes(`package/dist/${part}.d.ts`));
    assert.ok(files.includes("package/LICENSE"));
  });

  await t.test("the workers, and the types of callers with strict settings and nothing else", async () => {
    const called: string[] = [];
    const platforms = createServer((request, response) => {
      called.push(request.url ?? "");
      response.setHeader("content-type", "application/json").end("{}");
    }).listen(0, "127.0.0.1");
    t.after(() => {
      platforms.close().closeAllConnections();
    });
    await once(platforms, "listening");
    const { port } = platforms.address() as AddressInfo;
    // The program as it stands, but for who answers at the platforms' addresses.
    const workers = (await example("workers.ts")).replaceAll(/"https:\/\/([\w.]+)\//g, `"http://127.0.0.1:${port}/$1/`);
    await writeFile(join(project, "workers.mts"), workers);
    await writeFile(
      join(project, "callers.mts"),
      `import { acquire, throttle, type Connection } from "@turnstile/client";
      import { startLocalNode } from "@turnstile/client/dev";
      import { FakeTurnstile } from "@turnstile/client/testing";
      export async function call(slack: Connection, signal?: AbortSignal, maxWaitSeconds?: number): Promise<string> {
        const count: number = await throttle(slack, async () => Promise.resolve(1), { signal, maxWaitSeconds });
        await using node = await startLocalNode();
        await using fake = new FakeTurnstile();
        await using permit = await acquire(slack, { signal });
        return node.address + permit.requestId + fake.nowSeconds + count;
      }`,
    );
    await Promise.all([
      compile(project, "--module", "nodenext", "workers.mts", "callers.mts"),
      compile(project, "--module", "esnext", "--moduleResolution", "bundler", "--noEmit", "callers.mts"),
    ]);
    const node = await startNode(t);
    const options = { cwd: project, env: environment({ TURNSTILE_NODES: node.address }), timeout: 20_000 };
    const { stdout } = await run(process.execPath, ["workers.mjs"], options);
    assert.deepEqual(stdout.trim().split("\n").sort(), ["github 2", "notion 2", "slack 2"]);
    assert.deepEqual(called.sort(), [
      "/api.github.com/user/repos",
      "/api.notion.com/v1/users",
      "/slack.com/api/conversations.list",
    ]);
  });

  await t.test("a test with the fake", async () => {
    await writeFile(join(project, "posts.test.mjs"), await example("posts.test.mjs"));
    const { stdout } = await run(process.execPath, ["--test", "--test-reporter=tap", "posts.test.mjs"], {
      cwd: project,
    });
    assert.match(stdout, /^# pass 1$/m);
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

  await t.test("a local node ends with the process that has started it, however that ends", async () => {
    const program = `import { startLocalNode } from "@turnstile/client/dev";
      const node = await startLocalNode();
      console.log(node.address);
      setInterval(() => {}, 1000);`;
    const options = { cwd: project, env: environment({ TURNSTILE_BIN: TURNSTILE }) };
    const child = start(t, process.execPath, ["--input-type=module", "-e", program], options);
    const address = await firstLine(child);
    assert.ok(await answers(address));
    await kill(child, "SIGKILL");
    await until("the node has ended, too", async () => !(await answers(address)));
  });

  await t.test("a missing binary is named", async () => {
    const program = `import { startLocalNode } from "@turnstile/client/dev";
      const say = (error) => console.log(error.message);
      await startLocalNode({ binary: "no-such-turnstile" }).catch(say);
      await startLocalNode().catch(say);`;
    const options = { cwd: project, env: environment({ TURNSTILE_BIN: "/nowhere/turnstile" }) };
    const { stdout } = await run(process.execPath, ["--input-type=module", "-e", program], options);
    assert.deepEqual(stdout.trim().split("\n"), [
      'can\'t start "no-such-turnstile": there is no such program in PATH',
      'can\'t start "/nowhere/turnstile": there is no such program',
    ]);
  });
});

/** The code block of the README that follows the name of this file. */
async function example(name: string): Promise<string> {
  const readme = await readFile(join(HERE, "README.md"), "utf8");
  const [, code] = readme.slice(readme.search(new RegExp(`\`${name}\`.*:\\n`))).split(/^```\w*$/m);
  assert.ok(code !== undefined, `the README has no ${name}`);
  return code;
}

/** Compiles with settings that forgive nothing, without any that say where types are. */
async function compile(project: string, ...args: string[]): Promise<void> {
  const strict = ["--strict", "--exactOptionalPropertyTypes", "--skipLibCheck", "false", "--skipDefaultLibCheck"];
  const tsc = [TSC, ...strict, "--target", "es2022", ...args];
  await run(process.execPath, tsc, { cwd: project }).catch((error: unknown) => {
    throw new Error((error as { stdout: string }).stdout, { cause: error });
  });
}

/** The commands of the README's first program. */
async function commands(): Promise<string[]> {
  const readme = await readFile(join(HERE, "README.md"), "utf8");
  const chapter = readme.slice(readme.indexOf("## First program"), readme.indexOf("`first.mjs`:"));
  const found = [...chapter.matchAll(/^\$ (.*)$/gm)].map(([, command = ""]) => command);
  assert.equal(found.at(-1), "node first.mjs");
  return found;
}

/** An environment whose `PATH` has the binary under test as `turnstile`, and in which npm asks only for what it has to. */
async function quietNpm(bin: string): Promise<NodeJS.ProcessEnv> {
  if (TURNSTILE.includes("/")) await symlink(resolve(TURNSTILE), join(bin, "turnstile"));
  const npm = { npm_config_prefer_offline: "true", npm_config_audit: "false", npm_config_fund: "false" };
  return environment({ ...npm, PATH: [bin, process.env["PATH"] ?? ""].join(delimiter) });
}

/** Whether a node serves there. */
async function answers(address: string): Promise<boolean> {
  return await fetch(`http://${address}/metrics`).then(
    (response) => response.ok,
    () => false,
  );
}
