/** The emulator of platforms: counts calls as they would, and answers 429 to those over the limit. */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { TestContext } from "node:test";

import type { ConnectionWithLimit } from "../../src/index.js";
import { TURNSTILE, firstLine, folder, start } from "./processes.js";

export interface Platform {
  /** Where a connection is called. */
  url(of: ConnectionWithLimit): string;
  /** What it has counted. */
  report(): Promise<{ accepted: number; refused: number; duplicates: number }>;
}

export async function startPlatform(t: TestContext, of: ConnectionWithLimit): Promise<Platform> {
  const file = join(await folder(t), "connections.toml");
  const { requestCount, windowSeconds } = of.rateLimit;
  const limit = `{ requests = ${requestCount}, window_seconds = ${windowSeconds} }`;
  const entry = `platform = "${of.platform}"\nconnection = "${of.connection}"\nlimits = [${limit}]\n`;
  await writeFile(file, `[[connection]]\n${entry}`);
  const child = start(t, TURNSTILE, ["platform", "--limits", file]);
  const { listening } = JSON.parse(await firstLine(child)) as { listening: string };
  return {
    url: ({ platform, connection }) => `http://${listening}/${platform}/${connection}`,
    report: async () => {
      const response = await fetch(`http://${listening}/_report`);
      type Report = Awaited<ReturnType<Platform["report"]>>;
      const { connections } = (await response.json()) as { connections: Report[] };
      const [report] = connections;
      if (report === undefined) throw new Error("the platform reports no connection");
      return report;
    },
  };
}
