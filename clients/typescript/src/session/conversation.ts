/**
 * The one session of a client: speaks with one node at a time, and takes those who wait along to the next when that is gone.
 *
 * Promises: one answer for each acquire, whichever nodes die; a grant that may be too old is not handed out, but given back and asked for again.
 * Must not: decide who is served.
 */
import { randomBytes } from "node:crypto";

import { create, type MessageInitShape } from "@bufbuild/protobuf";

import type { Ask } from "../ask.js";
import type { Usage } from "../connection.js";
import { fromDuration } from "../duration.js";
import { ClosedError, throttleError, type ThrottleError } from "../errors.js";
import {
  SessionRequestSchema,
  type Failed,
  type Granted,
  type SessionResponse,
} from "../gen/turnstile/v1/throttle_pb.js";
import type { Reconciled } from "../permit.js";
import { parseGranted } from "./granted.js";
import { Nodes } from "./nodes.js";
import { problemOf } from "./problem.js";
import type { NodeChannel, SessionStream } from "./service.js";
import { SessionPermit, type PermitEnds } from "./session_permit.js";
import { Stamps } from "./stamps.js";
import { toReconciled } from "./reconciled.js";
import { tell, type Told } from "./tell.js";
import { acquireAt, tightestBound, type Throttled, type Waiting } from "./waiting.js";

/** How long a node has to answer. */
const ANSWERS_WITHIN_MS = 1000;

/** Who has waited for a node for so long goes to the first that answers with its age. */
const AGED_AFTER = 1_000_000_000n;

/** How long a session on which nobody waits stays open for the next: a process that has nothing else to do can end after that. */
const LINGERS_MS = 100;

type Message = MessageInitShape<typeof SessionRequestSchema>["message"];

/** How an acquire ended. */
export type Answer = SessionPermit | Throttled;

/** Where the conversation is: nobody waits, a node is about to answer, answers, or the next one is about to be asked. */
type State =
  | { readonly is: "idle" | "closed" }
  | { readonly is: "opening"; readonly stream: SessionStream; readonly timer: NodeJS.Timeout }
  | { readonly is: "open"; readonly stream: SessionStream }
  | { readonly is: "pausing"; readonly timer: NodeJS.Timeout };

export class Conversation implements PermitEnds, Told {
  readonly #nodes: Nodes;
  #state: State = { is: "idle" };
  /** How many sessions there were: what is held of one ended with it. */
  #session = 0;
  readonly #waiting = new Map<string, Waiting>();
  /** Ids of which an acquire was cancelled in this session: until the node says that it has ended, answers are that one's. */
  readonly #leaving = new Map<string, number>();
  readonly #stamps = new Stamps(this.#waiting, () => {
    this.#say(undefined);
  });
  #lingering: NodeJS.Timeout | undefined;

  constructor(addresses: readonly string[]) {
    this.#nodes = new Nodes(addresses);
  }

  /** Begins to wait. `leave` takes it out of the queue, and then it never settles. */
  acquire(
    ask: Ask,
    mode: Waiting["mode"],
    beganAt: bigint,
    isAged: boolean,
  ): { answer: Promise<Answer>; leave: () => void } {
    let waiting: Waiting | undefined;
    const answer = new Promise<Answer>((resolve, reject) => {
      const deliveryBound = tightestBound(ask);
      waiting = { ask, mode, beganAt, isAged, id: ask.requestId, deliveryBound, resolve, reject };
      this.#begin(waiting);
    });
    return {
      answer,
      leave: () => {
        if (waiting !== undefined) this.#leave(waiting);
      },
    };
  }

  /** Whether a node answers at present. */
  get isOpen(): boolean {
    return this.#state.is === "open";
  }

  close(): void {
    if (this.#state.is === "closed") return;
    const state = this.#state;
    // Everybody who waits leaves by name: a stream that is only half closed would be waited for.
    for (const waiting of [...this.#waiting.values()]) {
      this.#leave(waiting);
      waiting.reject(new ClosedError());
    }
    this.#stop();
    if (state.is === "opening") state.stream.cancel();
    if (state.is === "open") state.stream.end();
    this.#state = { is: "closed" };
    this.#nodes.close();
  }

  done(permit: SessionPermit): void {
    // What was held ended with its session.
    if (permit.session === this.#session) this.#say({ case: "done", value: { requestId: permit.id } });
  }

  /** Whether it has ended for good. */
  get isClosed(): boolean {
    return this.#state.is === "closed";
  }

  /** A call of its own found that a node is of no use. With a session the session knows best. */
  unanswered(node: NodeChannel): void {
    if (this.#state.is === "idle" && this.#nodes.current() === node) this.#nodes.leave();
  }

  /** The node that is spoken with, or that is next. */
  node(): NodeChannel {
    return this.#nodes.current();
  }

  async giveBack(permit: SessionPermit): Promise<void> {
    if (permit.session === this.#session && this.isOpen) {
      this.#say({ case: "giveBack", value: { requestId: permit.id } });
    } else {
      await tell(this, async (node, withinMs) => {
        await node.release(permit.grant.token, withinMs);
      });
    }
  }

  async reconcile(permit: SessionPermit, usage: Usage): Promise<Reconciled> {
    const wire = { $typeName: "turnstile.v1.Usage" as const, ...usage };
    const response = await tell(this, (node, withinMs) => node.reconcile(permit.grant.token, wire, withinMs));
    return toReconciled(response);
  }

  #begin(waiting: Waiting): void {
    if (this.#state.is === "closed") {
      waiting.reject(new ClosedError());
      return;
    }
    const key = hex(waiting.id);
    if (this.#waiting.has(key)) {
      const message = `requestId is ${JSON.stringify(key)}: a request with this id waits in this process`;
      waiting.reject(
        throttleError(message, { code: "ALREADY_EXISTS", reason: "REQUEST_ID_IN_USE", field: "requestId" }),
      );
      return;
    }
    this.#waiting.set(key, waiting);
    clearTimeout(this.#lingering);
    if (this.#state.is === "idle") this.#open();
    else if (this.#state.is === "open") this.#ask(waiting);
  }

  #leave(waiting: Waiting): void {
    const key = hex(waiting.id);
    if (this.#waiting.get(key) !== waiting) return;
    this.#forget(key);
    if (this.#state.is !== "open") return;
    this.#leaving.set(key, (this.#leaving.get(key) ?? 0) + 1);
    this.#say({ case: "cancel", value: { requestId: waiting.id } });
  }

  #forget(key: string): void {
    this.#waiting.delete(key);
    if (this.#waiting.size > 0) return;
    this.#stamps.stop();
    clearTimeout(this.#lingering);
    // The stream holds the process until then, the timer does not.
    this.#lingering = setTimeout(() => {
      this.#rest();
    }, LINGERS_MS).unref();
  }

  /** Ends the session on which nobody waits. Whatever is held of it is told of by calls of their own. */
  #rest(): void {
    const state = this.#state;
    if (this.#waiting.size > 0 || state.is === "closed" || state.is === "idle") return;
    this.#stop();
    if (state.is === "opening") state.stream.cancel();
    if (state.is === "open") state.stream.end();
    this.#state = { is: "idle" };
  }

  /** Ends what belongs to the present session, but for its stream. */
  #stop(): void {
    this.#session += 1;
    this.#leaving.clear();
    this.#stamps.stop();
    clearTimeout(this.#lingering);
    if (this.#state.is === "opening" || this.#state.is === "pausing") clearTimeout(this.#state.timer);
  }

  #open(): void {
    const stream = this.#nodes.current().session();
    // Events of a stream that was left mean nothing any more.
    const isPresent = () =>
      (this.#state.is === "opening" || this.#state.is === "open") && this.#state.stream === stream;
    const gone = () => {
      if (isPresent()) this.#gone();
    };
    stream.on("metadata", () => {
      if (isPresent()) this.#opened(stream);
    });
    stream.on("data", (response: SessionResponse) => {
      if (isPresent()) this.#hear(response);
    });
    stream.on("error", gone);
    stream.on("end", gone);
    this.#state = { is: "opening", stream, timer: setTimeout(gone, ANSWERS_WITHIN_MS) };
  }

  #opened(stream: SessionStream): void {
    if (this.#state.is === "opening") clearTimeout(this.#state.timer);
    this.#state = { is: "open", stream };
    // Who began first goes first, and all by one reading of the clock: so they keep their order.
    const now = process.hrtime.bigint();
    const byAge = [...this.#waiting.values()].sort((a, b) =>
      a.beganAt < b.beganAt ? -1 : a.beganAt > b.beganAt ? 1 : 0,
    );
    for (const waiting of byAge) this.#ask(waiting, now);
  }

  /** The present node is of no use: the next one is asked, if somebody waits. */
  #gone(): void {
    const state = this.#state;
    this.#stop();
    if (state.is === "opening" || state.is === "open") state.stream.cancel();
    const pauseMs = this.#nodes.leave();
    if (this.#waiting.size === 0) {
      this.#state = { is: "idle" };
      return;
    }
    const now = process.hrtime.bigint();
    for (const waiting of this.#waiting.values()) {
      // Who has hardly begun has lost nothing by a node that was not there, and an owner need not settle for it.
      waiting.isAged ||= state.is === "open" || now - waiting.beganAt > AGED_AFTER;
    }
    const next = () => {
      if (this.#waiting.size > 0) this.#open();
      else this.#state = { is: "idle" };
    };
    this.#state = { is: "pausing", timer: setTimeout(next, pauseMs) };
  }

  #ask(waiting: Waiting, now = process.hrtime.bigint()): void {
    const value = acquireAt(waiting, now);
    this.#say(waiting.mode === "wait" ? { case: "acquire", value } : { case: "tryAcquire", value });
    this.#stamps.startFor(waiting);
  }

  #say(message: Message): void {
    if (this.#state.is !== "open") return;
    const stampNanos = process.hrtime.bigint();
    this.#state.stream.write(
      create(SessionRequestSchema, message === undefined ? { stampNanos } : { stampNanos, message }),
    );
  }

  #hear({ requestId, message }: SessionResponse): void {
    const key = hex(requestId);
    if (this.#leaving.has(key)) {
      this.#hearOfLeaver(key, message);
      return;
    }
    const waiting = this.#waiting.get(key);
    // Of a permit that has ended, then.
    if (waiting === undefined) return;
    switch (message.case) {
      case "granted":
        this.#granted(key, waiting, message.value);
        break;
      case "throttled":
        this.#nodes.serves();
        this.#forget(key);
        waiting.resolve({ retryAfterNanos: message.value.retryAfter ? fromDuration(message.value.retryAfter) : 0n });
        break;
      case "failed":
        this.#failed(key, waiting, message.value);
        break;
      case "ended":
      case "reconciled":
        // Of the grant before, which came too late.
        break;
      case undefined:
        this.#gone();
    }
  }

  /** A grant that crossed a cancel goes back at the node; the end is what the cancel is answered with. */
  #hearOfLeaver(key: string, message: SessionResponse["message"]): void {
    const isEnd =
      message.case === "ended" || (message.case === "failed" && toProblem(message.value).reason === "UNKNOWN_REQUEST");
    if (!isEnd) return;
    const left = (this.#leaving.get(key) ?? 1) - 1;
    if (left > 0) this.#leaving.set(key, left);
    else this.#leaving.delete(key);
  }

  #granted(key: string, waiting: Waiting, message: Granted): void {
    const grant = parseGranted(message);
    if (grant === undefined) {
      this.#gone();
      return;
    }
    this.#nodes.serves();
    const permit = new SessionPermit(this, this.#session, waiting.id, grant);
    if (!permit.isStale) {
      this.#forget(key);
      waiting.resolve(permit);
      return;
    }
    // An operator's limits may have a tighter bound than those that the caller stated.
    waiting.deliveryBound = grant.deliveryBound;
    waiting.isAged = true;
    this.#say({ case: "giveBack", value: { requestId: waiting.id } });
    this.#ask(waiting);
  }

  #failed(key: string, waiting: Waiting, failed: Failed): void {
    const problem = toProblem(failed);
    if (problem.code === "UNAVAILABLE") {
      this.#gone();
      return;
    }
    this.#nodes.serves();
    this.#forget(key);
    if ((problem.code === "ALREADY_EXISTS" || problem.code === "ABORTED") && !waiting.ask.isIdChosen) {
      // Granted through a session that broke before it said so, or taken over there: it is another request from now on.
      waiting.id = randomBytes(16);
      this.#begin(waiting);
    } else {
      waiting.reject(problem);
    }
  }
}

function toProblem(failed: Failed): ThrottleError {
  return problemOf(failed.code, failed.message, failed.statusDetails);
}

function hex(id: Uint8Array): string {
  return Buffer.from(id.buffer, id.byteOffset, id.byteLength).toString("hex");
}
