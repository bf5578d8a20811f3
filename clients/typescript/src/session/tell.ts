import { setTimeout as sleep } from "node:timers/promises";

import { ClosedError, UnavailableError } from "../errors.js";
import { problemOfCall } from "./problem.js";
import type { NodeChannel } from "./service.js";

/** How long one node has to answer a call. */
const ANSWERS_WITHIN_MS = 1000;

/** How long a call is tried, over all nodes. */
const TOLD_WITHIN_MS = 10_000;

/** The pause before the next try. */
const TOLD_AGAIN_AFTER_MS = 100;

/** Who knows the nodes. */
export interface Told {
  /** Whether none is told of anything any more. */
  readonly isOver: boolean;
  /** The one to be asked now. */
  node(): NodeChannel;
  /** That one did not answer, or could not serve. */
  unanswered(node: NodeChannel, why: string): void;
}

/** Makes a call, which may be made twice, to one node after the other until one has answered it. */
export async function tell<T>(nodes: Told, call: (node: NodeChannel, withinMs: number) => Promise<T>): Promise<T> {
  const until = Date.now() + TOLD_WITHIN_MS;
  for (;;) {
    if (nodes.isOver) throw new ClosedError();
    const node = nodes.node();
    try {
      return await call(node, ANSWERS_WITHIN_MS);
    } catch (error) {
      const problem = problemOfCall(error);
      if (problem.code !== "UNAVAILABLE" && problem.code !== "DEADLINE_EXCEEDED") throw problem;
      if (Date.now() >= until) throw unavailable(`no node could be told within ${TOLD_WITHIN_MS} ms`, problem);
      nodes.unanswered(node, problem.message);
      await sleep(TOLD_AGAIN_AFTER_MS);
    }
  }
}

/** No node answers. */
export function unavailable(message: string, cause?: unknown): UnavailableError {
  const error = new UnavailableError(message, { code: "UNAVAILABLE", reason: "NO_NODE", retryAfterSeconds: 1 });
  if (cause !== undefined) error.cause = cause;
  return error;
}
