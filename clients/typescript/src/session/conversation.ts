/**
 * The one session of a client: speaks for all who wait, with whichever node the link has.
 *
 * Promises: one answer for each acquire, whichever nodes die; a grant that may be too old is not handed out, but given back and asked for again.
 * Must not: decide who is served.
 */
import { randomBytes } from "node:crypto";

import type { Ask } from "../ask.js";
import type { Usage } from "../connection.js";
import { fromDuration } from "../duration.js";
import { ClosedError, NotOpenError, throttleError, type ThrottleError } from "../errors.js";
import type { Failed, Granted, SessionResponse } from "../gen/turnstile/v1/throttle_pb.js";
import type { Reconciled } from "../permit.js";
import { parseGranted } from "./granted.js";
import { Link, type Speaker } from "./link.js";
import { Nodes } from "./nodes.js";
import { problemOf } from "./problem.js";
import { toReconciled } from "./reconciled.js";
import type { NodeChannel } from "./service.js";
import { SessionPermit, type PermitEnds } from "./session_permit.js";
import { Stamps } from "./stamps.js";
import { tell, type Told } from "./tell.js";
import { inTurn } from "./turns.js";
import { UnderWay } from "./under_way.js";
import { acquireAt, tightestBound, type Answers, type Waiting } from "./waiting.js";

/** Who has waited for a node for so long goes to the first that answers with its age. */
const AGED_AFTER = 1_000_000_000n;

/** How long a close waits for nodes to hear what was said before it. */
const CLOSES_WITHIN_MS = 1000;

export class Conversation implements PermitEnds, Speaker, Told {
  readonly #nodes: Nodes;
  readonly #link: Link;
  readonly #waiting = new Map<string, Waiting>();
  /** Ids that were cancelled or given back in this session, and how often: until the node has said as often that they have ended, answers are theirs. */
  readonly #ending = new Map<string, number>();
  readonly #stamps = new Stamps(this.#waiting, () => {
    this.#link.say(undefined);
  });
  readonly #underWay = new UnderWay();
  #closing: Promise<void> | undefined;
  #isOver = false;

  constructor(addresses: readonly string[]) {
    this.#nodes = new Nodes(addresses);
    this.#link = new Link(this.#nodes, this, this.#underWay);
  }

  /**
   * Begins to wait. The returned function takes it out of the queue, and then it has no answer.
   *
   * @throws ClosedError or RequestIdReusedError when it can't begin.
   */
  acquire(ask: Ask, mode: Waiting["mode"], answers: Answers): () => void {
    if (this.isClosed) throw new ClosedError();
    const key = hex(ask.requestId);
    if (this.#waiting.has(key)) {
      const message = `requestId is ${JSON.stringify(key)}: a request with this id waits in this process`;
      throw throttleError(message, { code: "ALREADY_EXISTS", reason: "REQUEST_ID_IN_USE", field: "requestId" });
    }
    const beganAt = process.hrtime.bigint();
    const waiting: Waiting = {
      ask,
      mode,
      beganAt,
      answers,
      id: ask.requestId,
      deliveryBound: tightestBound(ask),
      isAged: false,
      permit: undefined,
    };
    this.#begin(waiting);
    return () => {
      this.#leave(waiting);
    };
  }

  /** Whether a node answers at present. */
  get isOpen(): boolean {
    return this.#link.isOpen;
  }

  get isClosed(): boolean {
    return this.#link.isClosed;
  }

  get isWaiting(): boolean {
    return this.#waiting.size > 0;
  }

  /** Why no node serves, as far as that is known. */
  get trouble(): string | undefined {
    return this.#nodes.trouble;
  }

  /** Whether no node is told of anything any more. */
  get isOver(): boolean {
    return this.#isOver;
  }

  /** Ends what waits, and resolves when the nodes have heard what was said before; a process may end behind it. */
  async close(): Promise<void> {
    this.#closing ??= this.#close();
    await this.#closing;
  }

  done(permit: SessionPermit): void {
    if (this.#isOfNow(permit)) this.#link.say({ case: "done", value: { requestId: permit.id } });
  }

  async giveBack(permit: SessionPermit): Promise<void> {
    if (this.#isOfNow(permit) && this.isOpen) {
      this.#sayEnd("giveBack", permit.id);
      return;
    }
    try {
      await this.#tell((node, withinMs) => node.release(permit.grant.token, withinMs));
    } catch (error) {
      // Its window has passed, and has taken the slot away already.
      if (!(error instanceof NotOpenError)) throw error;
    }
  }

  async reconcile(permit: SessionPermit, usage: Usage): Promise<Reconciled> {
    const wire = { $typeName: "turnstile.v1.Usage" as const, ...usage };
    const response = await this.#tell((node, withinMs) => node.reconcile(permit.grant.token, wire, withinMs));
    return toReconciled(response);
  }

  /** The node that is spoken with, or that is next. */
  node(): NodeChannel {
    return this.#nodes.current();
  }

  /** A call of its own found that a node is of no use. With a session the session knows best. */
  unanswered(node: NodeChannel, why: string): void {
    if (this.#link.isIdle && this.#nodes.current() === node) this.#nodes.leave(why);
  }

  opened(): void {
    // Who began first goes first, and all by one reading of the clock: so they keep their order.
    const now = process.hrtime.bigint();
    const byAge = [...this.#waiting.values()].sort((a, b) =>
      a.beganAt < b.beganAt ? -1 : a.beganAt > b.beganAt ? 1 : 0,
    );
    for (const waiting of byAge) if (waiting.permit === undefined) this.#ask(waiting, now);
  }

  left(wasOpen: boolean): void {
    this.#ending.clear();
    this.#stamps.stop();
    const now = process.hrtime.bigint();
    for (const waiting of this.#waiting.values()) {
      // Who has hardly begun has lost nothing by a node that was not there, and an owner need not settle for it.
      waiting.isAged ||= wasOpen || now - waiting.beganAt > AGED_AFTER;
    }
  }

  heard({ requestId, message }: SessionResponse): void {
    const key = hex(requestId);
    if (this.#ending.has(key)) {
      this.#heardBeforeEnd(key, message);
      return;
    }
    const waiting = this.#waiting.get(key);
    // Of a permit that has ended, then.
    if (waiting === undefined) return;
    switch (message.case) {
      case "granted":
        this.#granted(waiting, message.value);
        break;
      case "throttled":
        this.#nodes.serves();
        this.#forget(waiting);
        waiting.answers.throttled(message.value.retryAfter ? fromDuration(message.value.retryAfter) : 0n);
        break;
      case "failed":
        this.#failed(waiting, message.value);
        break;
      case "ended":
      case "reconciled":
        // Nobody has asked for it.
        break;
      case undefined:
        this.#link.leave("it says what this client does not know");
    }
  }

  async #close(): Promise<void> {
    // Everybody who waits leaves by name: a stream that is only half closed would be waited for.
    for (const waiting of [...this.#waiting.values()]) {
      this.#leave(waiting);
      waiting.answers.failed(new ClosedError());
    }
    this.#link.close();
    await this.#underWay.over(CLOSES_WITHIN_MS);
    this.#isOver = true;
    this.#nodes.close();
  }

  /** Makes a call of its own, for which a close waits. */
  async #tell<T>(call: (node: NodeChannel, withinMs: number) => Promise<T>): Promise<T> {
    const told = tell(this, call);
    this.#underWay.add(told);
    return await told;
  }

  #begin(waiting: Waiting): void {
    this.#waiting.set(hex(waiting.id), waiting);
    this.#link.want();
    if (this.isOpen) this.#ask(waiting);
  }

  #ask(waiting: Waiting, now = process.hrtime.bigint()): void {
    const value = acquireAt(waiting, now);
    this.#link.say(waiting.mode === "wait" ? { case: "acquire", value } : { case: "tryAcquire", value });
    this.#stamps.startFor(waiting);
  }

  #leave(waiting: Waiting): void {
    const key = hex(waiting.id);
    if (this.#waiting.get(key) !== waiting) return;
    if (waiting.permit !== undefined) {
      returnUnused(waiting.permit);
    } else if (this.isOpen) {
      this.#sayEnd("cancel", waiting.id);
    }
    this.#forget(waiting);
  }

  /** Either is answered by one end, in the order in which they were said. */
  #sayEnd(end: "cancel" | "giveBack", requestId: Uint8Array): void {
    const key = hex(requestId);
    this.#ending.set(key, (this.#ending.get(key) ?? 0) + 1);
    this.#link.say({ case: end, value: { requestId } });
  }

  #forget(waiting: Waiting): void {
    this.#waiting.delete(hex(waiting.id));
    if (this.isWaiting) return;
    this.#stamps.stop();
    this.#link.linger();
  }

  /** A grant that crossed a cancel goes back at the node: nobody takes it here. */
  #heardBeforeEnd(key: string, message: SessionResponse["message"]): void {
    const isEnd =
      message.case === "ended" || (message.case === "failed" && toProblem(message.value).reason === "UNKNOWN_REQUEST");
    if (!isEnd) return;
    const left = (this.#ending.get(key) ?? 1) - 1;
    if (left > 0) this.#ending.set(key, left);
    else this.#ending.delete(key);
  }

  #granted(waiting: Waiting, message: Granted): void {
    const grant = parseGranted(message);
    if (grant === undefined) {
      this.#link.leave("it sent a grant that lacks what it must have");
      return;
    }
    this.#nodes.serves();
    const permit = new SessionPermit(this, this.#link.session, waiting.id, grant);
    waiting.permit = permit;
    inTurn(() => this.#start(waiting, permit));
  }

  /** Its turn has come: it starts, unless it has left or its grant may be too old by now. */
  #start(waiting: Waiting, permit: SessionPermit): boolean {
    if (this.#waiting.get(hex(waiting.id)) !== waiting || waiting.permit !== permit) return false;
    if (permit.isStale) {
      // An operator's limits may have a tighter bound than those that the caller stated.
      waiting.deliveryBound = permit.grant.deliveryBound;
      waiting.isAged = true;
      waiting.permit = undefined;
      returnUnused(permit);
      if (this.isOpen) this.#ask(waiting);
      return false;
    }
    this.#forget(waiting);
    waiting.answers.granted(permit);
    return true;
  }

  #failed(waiting: Waiting, failed: Failed): void {
    const problem = toProblem(failed);
    // An owner that does not answer is the trouble of those who ask for its connections: the node serves all others.
    if (problem.code === "UNAVAILABLE" && problem.reason !== "OWNER_UNAVAILABLE") {
      this.#link.leave(problem.message);
      return;
    }
    this.#nodes.serves();
    this.#forget(waiting);
    if ((problem.code === "ALREADY_EXISTS" || problem.code === "ABORTED") && !waiting.ask.isIdChosen) {
      // Granted through a session that broke before it said so, or taken over there: it is another request from now on.
      waiting.id = randomBytes(16);
      this.#begin(waiting);
    } else {
      waiting.answers.failed(isHeld(problem) ? alreadyGranted() : problem);
    }
  }

  /** Whether it is held of the present session: what was held of another ended with that. */
  #isOfNow(permit: SessionPermit): boolean {
    return permit.session === this.#link.session;
  }
}

/** Gives back what nobody takes. Where no node can be told the slot stays used, which its window ends. */
function returnUnused(permit: SessionPermit): void {
  permit.giveBack().catch(() => undefined);
}

/** What waits under this id in this process was refused here: at the node it is one that has its slot, and whose call is not over. */
function isHeld({ reason }: ThrottleError): boolean {
  return reason === "REQUEST_ID_IN_USE";
}

function alreadyGranted(): ThrottleError {
  const message = "a request of this id has its slot, and its call is not over";
  return throttleError(message, { code: "ALREADY_EXISTS", reason: "ALREADY_GRANTED" });
}

function toProblem(failed: Failed): ThrottleError {
  return problemOf(failed.code, failed.message, failed.statusDetails);
}

function hex(id: Uint8Array): string {
  return Buffer.from(id.buffer, id.byteOffset, id.byteLength).toString("hex");
}
