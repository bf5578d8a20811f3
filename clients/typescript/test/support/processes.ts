/** Real processes for tests: each ends with its test. */
import { execFile, spawn, type ChildProcessByStdio } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer, type AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { Readable, Writable } from "node:stream";
import type { TestContext } from "node:test";
import { promisify } from "node:util";

/** The binary under test. */
export const TURNSTILE = process.env["TURNSTILE_BIN"] ?? "turnstile";

/** Has a node end with the tests, also when those are killed. */
const UNTIL_INPUT_ENDS = "--until-input-ends";

/** The environment without settings of nodes, with these variables. */
export function environment(extra: Record<string, string> = {}): NodeJS.ProcessEnv {
  const rest = Object.entries(process.env).filter(([name]) => !/^(TURNSTILE|NODE_TEST)_/.test(name));
  return { ...Object.fromEntries(rest), ...extra };
}

export type Child = ChildProcessByStdio<Writable, Readable, null>;

/** How a process is started. */
export interface StartOptions {
  env?: NodeJS.ProcessEnv;
  /** Whether its standard error is ours. */
  tellsErrors?: boolean;
}

/** Starts a process that ends with the test at the latest. */
export function start(t: TestContext, program: string, args: string[], options: StartOptions = {}): Child {
  const { env = environment(), tellsErrors = false } = options;
  const child = spawn(program, args, { stdio: ["pipe", "pipe", tellsErrors ? "inherit" : "ignore"], env });
  t.after(async () => {
    await kill(child, "SIGKILL");
  });
  return child;
}

/** Has a process ended, and waits until it has. */
export async function kill(child: Child, signal: NodeJS.Signals): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return;
  const ended = once(child, "exit");
  child.kill(signal);
  await ended;
}

/** The first line that a process says. */
export async function firstLine(child: Child): Promise<string> {
  const lines = createInterface({ input: child.stdout });
  const ended = once(child, "exit").then(() => {
    throw new Error(`it ended with exit code ${String(child.exitCode)} before it said anything`);
  });
  ended.catch(() => undefined);
  const [line] = (await Promise.race([once(lines, "line"), ended])) as [string];
  lines.close();
  child.stdout.resume();
  return line;
}

/** A node. */
export interface TestNode {
  readonly child: Child;
  readonly id: string;
  readonly address: string;
}

/** A node that stands alone, by default at a free port. */
export async function startNode(t: TestContext, listen = "127.0.0.1:0"): Promise<TestNode> {
  return await ready(start(t, TURNSTILE, ["node", "--memory", "--listen", listen, UNTIL_INPUT_ENDS]));
}

/** A cluster of three, founded without a hold. */
export async function startCluster(t: TestContext): Promise<TestNode[]> {
  const peers = (await freePorts(3)).map((port) => `127.0.0.1:${port}`);
  const nodes = peers.map(async (peer) => {
    const data = await folder(t);
    const args = ["node", "--data", data, "--listen", "127.0.0.1:0", "--peer-listen", peer, UNTIL_INPUT_ENDS];
    return await ready(
      start(t, TURNSTILE, [...args, "--peers", peers.join(","), "--expect", "3", "--cold-start-hold", "0s"]),
    );
  });
  return await Promise.all(nodes);
}

/** The node that owns a connection. */
export async function ownerOf(nodes: TestNode[], platform: string, connection: string): Promise<TestNode> {
  const [first] = nodes;
  const said = await run(TURNSTILE, ["owner", platform, connection, "--node", first?.address ?? ""]);
  const owner = nodes.find((node) => said.stdout.includes(node.id));
  if (owner === undefined) throw new Error(`nobody owns ${platform}/${connection}: ${said.stdout}`);
  return owner;
}

/** How many sessions a node has. */
export async function sessionsOf(address: string): Promise<number> {
  const response = await fetch(`http://${address}/metrics`);
  const found = /^turnstile_sessions (\d+)/m.exec(await response.text());
  return Number(found?.[1]);
}

/** How many wait for a connection. */
export async function waitersOf(address: string, of: { platform: string; connection: string }): Promise<number> {
  const response = await fetch(`http://${address}/v1/connections/${of.platform}/${of.connection}`);
  const { waiting } = (await response.json()) as { waiting: { count: number }[] };
  return waiting.reduce((sum, { count }) => sum + count, 0);
}

/** Runs a program to its end. */
export async function run(
  program: string,
  args: string[],
  options: { cwd?: string; env?: NodeJS.ProcessEnv; timeout?: number } = {},
) {
  return await promisify(execFile)(program, args, { env: environment(), ...options });
}

/** A folder that is gone after the test. */
export async function folder(t: TestContext): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), "turnstile-client-"));
  t.after(async () => {
    await rm(path, { recursive: true, force: true });
  });
  return path;
}

/** Ports of this machine that nobody listens at. */
export async function freePorts(count: number): Promise<number[]> {
  const servers = await Promise.all(
    Array.from({ length: count }, async () => {
      const server = createServer().listen(0, "127.0.0.1");
      await once(server, "listening");
      return server;
    }),
  );
  const ports = servers.map((server) => (server.address() as AddressInfo).port);
  await Promise.all(servers.map((server) => promisify(server.close.bind(server))()));
  return ports;
}

/** Waits until something is so. */
export async function until(what: string, isSo: () => boolean | Promise<boolean>, withinMs = 20_000): Promise<void> {
  const end = Date.now() + withinMs;
  while (!(await isSo())) {
    if (Date.now() > end) throw new Error(`it took longer than ${withinMs} ms until ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

async function ready(child: Child): Promise<TestNode> {
  const { node, listening } = JSON.parse(await firstLine(child)) as { node: string; listening: string };
  return { child, id: node, address: listening };
}
