/**
 * The stream of a client: to one node at a time, and to the next when that is gone.
 *
 * Promises: `opened` before anything is heard of a node, and `left` once when it is gone; a process in which nobody waits can end.
 * Must not: know who waits, or for what.
 */
import { create, type MessageInitShape } from "@bufbuild/protobuf";

import { SessionRequestSchema, type SessionResponse } from "../gen/turnstile/v1/throttle_pb.js";
import type { Nodes } from "./nodes.js";
import type { SessionStream } from "./service.js";
import type { UnderWay } from "./under_way.js";

/** How long a node has to answer. */
const ANSWERS_WITHIN_MS = 1000;

/** How long a session on which nobody waits stays open for the next: a process that has nothing else to do can end after that. */
const LINGERS_MS = 100;

/** What a client says in a session. */
export type Message = MessageInitShape<typeof SessionRequestSchema>["message"];

/** Who speaks over the link. */
export interface Speaker {
  /** Whether somebody waits. */
  readonly isWaiting: boolean;
  /** A node answers: it is to be asked for everything. */
  opened(): void;
  /** The node says something. */
  heard(response: SessionResponse): void;
  /** The session has ended, and what was said in it with it. `wasOpen` says whether its node had answered. */
  left(wasOpen: boolean): void;
}

/** Where it is: nobody waits, a node is about to answer, answers, or the next one is about to be asked. */
type State =
  | { readonly is: "idle" | "closed" }
  | { readonly is: "opening"; readonly stream: SessionStream; readonly timer: NodeJS.Timeout }
  | { readonly is: "open"; readonly stream: SessionStream }
  | { readonly is: "pausing"; readonly timer: NodeJS.Timeout };

export class Link {
  readonly #nodes: Nodes;
  readonly #speaker: Speaker;
  readonly #underWay: UnderWay;
  #state: State = { is: "idle" };
  #session = 0;
  #lingering: NodeJS.Timeout | undefined;

  /** `underWay` is told of sessions that were ended, until their nodes have read what was said in them. */
  constructor(nodes: Nodes, speaker: Speaker, underWay: UnderWay) {
    this.#nodes = nodes;
    this.#speaker = speaker;
    this.#underWay = underWay;
  }

  /** How many sessions there were: what is held of one ended with it. */
  get session(): number {
    return this.#session;
  }

  /** Whether no node is spoken with, nor about to be. */
  get isIdle(): boolean {
    return this.#state.is === "idle" || this.#state.is === "closed";
  }

  /** Whether a node answers at present. */
  get isOpen(): boolean {
    return this.#state.is === "open";
  }

  /** Whether it has ended for good. */
  get isClosed(): boolean {
    return this.#state.is === "closed";
  }

  /** Somebody waits: a node is to be found, if none is spoken with. */
  want(): void {
    clearTimeout(this.#lingering);
    if (this.#state.is === "idle") this.#open();
  }

  /** Nobody waits any more. */
  linger(): void {
    clearTimeout(this.#lingering);
    // The stream holds the process until then, the timer does not.
    this.#lingering = setTimeout(() => {
      this.#rest();
    }, LINGERS_MS).unref();
  }

  /** Says it to the node, with the time of our clock; nothing when there is none: it will be asked for everything. */
  say(message: Message): void {
    if (this.#state.is !== "open") return;
    const stampNanos = process.hrtime.bigint();
    this.#state.stream.write(
      create(SessionRequestSchema, message === undefined ? { stampNanos } : { stampNanos, message }),
    );
  }

  /** The present node is of no use: the next one is asked, if somebody waits. */
  leave(why: string): void {
    const state = this.#state;
    if (state.is !== "opening" && state.is !== "open") return;
    this.#end();
    state.stream.cancel();
    const pauseMs = this.#nodes.leave(why);
    const next = () => {
      if (this.#speaker.isWaiting) this.#open();
      else this.#state = { is: "idle" };
    };
    this.#state = { is: "pausing", timer: setTimeout(next, pauseMs) };
    this.#speaker.left(state.is === "open");
    if (!this.#speaker.isWaiting) this.#rest();
  }

  /** Ends it for good. */
  close(): void {
    this.#rest();
    this.#state = { is: "closed" };
  }

  #open(): void {
    const stream = this.#nodes.current().session();
    // Events of a stream that was left mean nothing any more.
    const isPresent = () =>
      (this.#state.is === "opening" || this.#state.is === "open") && this.#state.stream === stream;
    const gone = (why: string) => {
      if (isPresent()) this.leave(why);
    };
    stream.on("metadata", () => {
      if (isPresent()) this.#opened(stream);
    });
    stream.on("data", (response: SessionResponse) => {
      if (isPresent()) this.#speaker.heard(response);
    });
    stream.on("error", (error) => {
      gone(error.message);
    });
    stream.on("end", () => {
      gone("it ended the session");
    });
    const silent = () => {
      gone(`no answer within ${ANSWERS_WITHIN_MS} ms`);
    };
    this.#state = { is: "opening", stream, timer: setTimeout(silent, ANSWERS_WITHIN_MS) };
  }

  #opened(stream: SessionStream): void {
    if (this.#state.is === "opening") clearTimeout(this.#state.timer);
    this.#state = { is: "open", stream };
    this.#nodes.answers();
    this.#speaker.opened();
  }

  /** Ends the session on which nobody waits. Whatever is held of it is told of by calls of their own. */
  #rest(): void {
    const state = this.#state;
    this.#end();
    if (state.is === "opening") state.stream.cancel();
    if (state.is === "open") this.#endInOrder(state.stream);
    this.#state = { is: "idle" };
    this.#speaker.left(state.is === "open");
  }

  /** A node ends its side when it has read all of ours. */
  #endInOrder(stream: SessionStream): void {
    this.#underWay.add(new Promise((resolve) => stream.once("status", resolve)));
    stream.end();
  }

  /** Ends what belongs to the present session, but for its stream. */
  #end(): void {
    this.#session += 1;
    clearTimeout(this.#lingering);
    if (this.#state.is === "opening" || this.#state.is === "pausing") clearTimeout(this.#state.timer);
  }
}
