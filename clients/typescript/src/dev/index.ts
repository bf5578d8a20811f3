/** A node of one's own, for development and tests. */
/// <reference types="node" preserve="true" />
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { Socket } from "node:net";
import { createInterface } from "node:readline";

/** How a local node is started. */
export interface LocalNodeOptions {
  /** The binary: a path, or a name that is looked up in `PATH`. If it is not set the one that `TURNSTILE_BIN` names, or `"turnstile"`. */
  binary?: string | undefined;
  /** Where it listens, `host:port`; port 0 takes a free one. `"127.0.0.1:0"` if it is not set. */
  listen?: string | undefined;
  /** How long it may take until it serves, in seconds: 10 if it is not set. */
  timeoutSeconds?: number | undefined;
}

/** A node that keeps nothing on disk. It ends by `close`, at the end of an `await using` block, and with this process. */
export interface LocalNode extends AsyncDisposable {
  /** Where it serves, `host:port`. */
  readonly address: string;
  /** Its process. */
  readonly pid: number;
  /** Ends it, and waits until it has ended. */
  close(): Promise<void>;
}

/** How long it may take to end in order. */
const ENDS_WITHIN_MS = 10_000;

/**
 * Starts `turnstile node --memory` and waits until it serves. Settings of the environment (`TURNSTILE_*`) are not for it.
 *
 * @throws Error when there is no such binary, or the node ends or is silent before it serves; the message has what it said.
 */
export async function startLocalNode(options: LocalNodeOptions = {}): Promise<LocalNode> {
  const { binary = process.env["TURNSTILE_BIN"] ?? "turnstile", listen = "127.0.0.1:0", timeoutSeconds = 10 } = options;
  // Its standard input ends with this process, however that ends.
  const child = spawn(binary, ["node", "--memory", "--listen", listen, "--until-input-ends"], {
    stdio: ["pipe", "pipe", "pipe"],
    env: Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith("TURNSTILE_"))),
  });
  try {
    const address = await readyAddress(child, binary, timeoutSeconds);
    // It must not keep this process: that ends when its own work is done, and the node with it.
    child.unref();
    child.stdout.resume();
    child.stderr.resume();
    for (const stream of child.stdio) if (stream instanceof Socket) stream.unref();
    const close = () => end(child);
    return { address, pid: child.pid ?? 0, close, [Symbol.asyncDispose]: close };
  } catch (error) {
    await end(child);
    throw error;
  }
}

async function readyAddress(
  child: ChildProcess & { stdout: NodeJS.ReadableStream; stderr: NodeJS.ReadableStream },
  binary: string,
  timeoutSeconds: number,
): Promise<string> {
  let said = "";
  child.stderr.on("data", (chunk: Buffer) => (said = (said + chunk.toString()).slice(-4096)));
  const lines = createInterface({ input: child.stdout });
  let timer: NodeJS.Timeout | undefined;
  try {
    return await new Promise<string>((resolve, reject) => {
      timer = setTimeout(() => {
        reject(new Error(`the node did not serve within ${timeoutSeconds} s: ${said.trim()}`));
      }, timeoutSeconds * 1000);
      child.once("error", (error: NodeJS.ErrnoException) => {
        const why =
          error.code === "ENOENT" ? `there is no such program${binary.includes("/") ? "" : " in PATH"}` : error.message;
        reject(new Error(`can't start ${JSON.stringify(binary)}: ${why}`, { cause: error }));
      });
      child.once("close", (code) => {
        reject(new Error(`the node ended with exit code ${String(code)}: ${said.trim()}`));
      });
      lines.once("line", (line) => {
        try {
          resolve(addressIn(line));
        } catch (error) {
          reject(new Error(`the node said ${JSON.stringify(line)} and not where it listens`, { cause: error }));
        }
      });
    });
  } finally {
    clearTimeout(timer);
    lines.close();
  }
}

function addressIn(line: string): string {
  const ready: unknown = JSON.parse(line);
  if (typeof ready === "object" && ready !== null && "listening" in ready && typeof ready.listening === "string") {
    return ready.listening;
  }
  throw new TypeError("listening is missing");
}

async function end(child: ChildProcess): Promise<void> {
  if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
  const ended = once(child, "exit");
  child.ref();
  child.kill("SIGTERM");
  const timer = setTimeout(() => child.kill("SIGKILL"), ENDS_WITHIN_MS);
  await ended;
  clearTimeout(timer);
}
