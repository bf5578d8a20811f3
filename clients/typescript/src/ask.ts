/**
 * What a caller asks for, parsed once: what is wrong throws a TypeError (another type) or a RangeError (another value) that names the field, before
 * anything is sent.
 */
import { randomBytes } from "node:crypto";

import type {
  AcquireOptions,
  Algorithm,
  Connection,
  Dimension,
  OnUnreachable,
  RateLimit,
  TryOptions,
  Usage,
} from "./connection.js";
import { nanosOf } from "./duration.js";

const MAX_U32 = 0xffff_ffff;
const MAX_NAME_BYTES = 256;
const MAX_LIMITS = 8;
const MAX_MARGIN_SECONDS = 60;
const MAX_WAIT_SECONDS = 30 * 24 * 3600;
const MAX_WINDOW_SECONDS = 7 * 24 * 3600;
const MILLISECOND = 1_000_000n;

const DIMENSIONS: readonly Dimension[] = ["units", "tokens", "input_tokens", "output_tokens"];
const ALGORITHMS: readonly Algorithm[] = [
  "sliding_window",
  "token_bucket",
  "leaky_bucket",
  "gcra_virtual",
  "gcra_continuous",
];

const ON_UNREACHABLE: readonly OnUnreachable[] = ["closed", "open"];
const LIMIT_FIELDS: readonly (keyof RateLimit)[] = [
  "requestCount",
  "windowSeconds",
  "dimension",
  "algorithm",
  "deliveryBoundSeconds",
  "guardSeconds",
];
const TRY_OPTIONS: readonly (keyof TryOptions)[] = [
  "signal",
  "niceness",
  "cost",
  "tokens",
  "inputTokens",
  "outputTokens",
  "requestId",
];
const WAIT_OPTIONS: readonly (keyof AcquireOptions)[] = [...TRY_OPTIONS, "timeoutSeconds", "maxWaitSeconds"];

/** A limit that can be sent. */
export interface ParsedLimit {
  readonly count: number;
  readonly windowNanos: bigint;
  readonly dimension: Dimension;
  readonly algorithm: Algorithm;
  readonly deliveryBoundNanos: bigint | undefined;
  readonly guardNanos: bigint | undefined;
}

/** What a request takes. */
export interface ParsedCost {
  readonly units: number;
  readonly tokens: number | undefined;
  readonly inputTokens: number;
  readonly outputTokens: number;
}

/** A request that can be sent. */
export interface Ask {
  readonly platform: string;
  readonly connection: string;
  readonly limits: readonly ParsedLimit[];
  readonly niceness: number;
  readonly cost: ParsedCost;
  readonly timeoutNanos: bigint | undefined;
  readonly maxWaitNanos: bigint | undefined;
  /** 16 bytes. */
  readonly requestId: Uint8Array;
  /** Whether the caller has chosen the id. */
  readonly isIdChosen: boolean;
  readonly signal: AbortSignal | undefined;
}

/** Parses a connection and what is said beyond it by who waits. */
export function parseAsk(connection: Connection, options: AcquireOptions = {}): Ask {
  return parse(connection, options, WAIT_OPTIONS);
}

/** Parses a connection and what is said beyond it by a try. */
export function parseTry(connection: Connection, options: TryOptions = {}): Ask {
  return parse(connection, options, TRY_OPTIONS);
}

/** Options, none of which may be one that nobody would look at. */
export function parseOptions(options: unknown, known: readonly string[]): Record<string, unknown> {
  const said = object("options", options);
  refuseUnknown("options", said, known);
  return said;
}

function parse(connection: unknown, options: unknown, known: readonly string[]): Ask {
  const said = object("connection", connection);
  const extra = parseOptions(options, known);
  const niceness = extra["niceness"] ?? said["niceness"];
  const requestId = extra["requestId"];
  return {
    platform: name("platform", said["platform"]),
    connection: name("connection", said["connection"]),
    limits: limits(said),
    niceness: integer("niceness", niceness, 0),
    cost: {
      units: integer("cost", extra["cost"] ?? 1, 1),
      tokens: maybe(extra["tokens"], (value) => integer("tokens", value, 0)),
      inputTokens: integer("inputTokens", extra["inputTokens"] ?? 0, 0),
      outputTokens: integer("outputTokens", extra["outputTokens"] ?? 0, 0),
    },
    timeoutNanos: maybe(extra["timeoutSeconds"], timeout),
    maxWaitNanos: maybe(extra["maxWaitSeconds"], (value) => span("maxWaitSeconds", value, 0, MAX_WAIT_SECONDS)),
    requestId: requestId === undefined ? randomBytes(16) : parseRequestId(requestId),
    isIdChosen: requestId !== undefined,
    signal: maybe(extra["signal"], signal),
  };
}

/** Parses what `tryThrottle` is told, which may also say what becomes of a call when no node answers. */
export function parseTryThrottle(connection: Connection, options: unknown): { ask: Ask; onUnreachable: OnUnreachable } {
  const said = object("options", options);
  return {
    ask: parse(connection, said, [...TRY_OPTIONS, "onUnreachable"]),
    onUnreachable: oneOf("onUnreachable", said["onUnreachable"] ?? "closed", ON_UNREACHABLE),
  };
}

/** Parses what a call has taken. */
export function parseUsage(usage: Usage): Usage {
  const said = object("usage", usage);
  const parsed: Usage = {};
  for (const field of ["tokens", "inputTokens", "outputTokens"] as const) {
    if (said[field] !== undefined) parsed[field] = integer(field, said[field], 0);
  }
  if (Object.keys(parsed).length === 0) {
    throw new TypeError("usage is empty: it must have tokens, inputTokens or outputTokens");
  }
  return parsed;
}

/** The callable that is to run. */
export function parseFunction(fn: unknown): void {
  if (typeof fn !== "function") throw new TypeError(`fn is ${show(fn)}: it must be a function`);
}

/** How late a grant of this limit may be: what was said, or the default of the nodes. */
export function deliveryBoundOf(limit: ParsedLimit): bigint {
  const part = limit.windowNanos / 100n;
  const least = 20n * MILLISECOND;
  const most = 100n * MILLISECOND;
  return limit.deliveryBoundNanos ?? (part < least ? least : part > most ? most : part);
}

function limits(said: Record<string, unknown>): ParsedLimit[] {
  const { rateLimit: one, rateLimits: several } = said;
  if (one !== undefined && several !== undefined) {
    throw new TypeError("rateLimits is set beside rateLimit: a connection has one of them");
  }
  if (several === undefined) return [limit("rateLimit", one)];
  if (!Array.isArray(several)) throw new TypeError(`rateLimits is ${show(several)}: it must be an array`);
  if (several.length < 1 || several.length > MAX_LIMITS) {
    throw new RangeError(`rateLimits has ${several.length} limits: it must have 1 to ${MAX_LIMITS}`);
  }
  return several.map((each: unknown, place) => limit(`rateLimits[${place}]`, each));
}

function limit(field: string, value: unknown): ParsedLimit {
  const said = object(field, value);
  refuseUnknown(field, said, LIMIT_FIELDS);
  const at = (part: keyof RateLimit) => `${field}.${part}`;
  const margin = (part: "deliveryBoundSeconds" | "guardSeconds") =>
    maybe(said[part], (value) => span(at(part), value, 0, MAX_MARGIN_SECONDS));
  return {
    count: integer(at("requestCount"), said["requestCount"], 1),
    windowNanos: span(at("windowSeconds"), said["windowSeconds"], 0.001, MAX_WINDOW_SECONDS),
    dimension: oneOf(at("dimension"), said["dimension"] ?? "units", DIMENSIONS),
    algorithm: oneOf(at("algorithm"), said["algorithm"] ?? "sliding_window", ALGORITHMS),
    deliveryBoundNanos: margin("deliveryBoundSeconds"),
    guardNanos: margin("guardSeconds"),
  };
}

function name(field: string, value: unknown): string {
  if (typeof value !== "string") throw new TypeError(`${field} is ${show(value)}: it must be a string`);
  const bytes = Buffer.byteLength(value);
  if (bytes < 1 || bytes > MAX_NAME_BYTES) {
    throw new RangeError(`${field} has ${bytes} bytes of UTF-8: it must have 1 to ${MAX_NAME_BYTES}`);
  }
  if (value.includes("\0")) throw new RangeError(`${field} is ${show(value)}: it must not contain NUL`);
  // Half a character would be replaced on the way, and two names could become one.
  if (/\p{Surrogate}/u.test(value)) throw new RangeError(`${field} is ${show(value)}: it must be well-formed Unicode`);
  return value;
}

function integer(field: string, value: unknown, least: number): number {
  if (typeof value !== "number") throw new TypeError(`${field} is ${show(value)}: it must be a number`);
  if (!Number.isInteger(value) || value < least || value > MAX_U32) {
    throw new RangeError(`${field} is ${value}: it must be an integer from ${least} to ${MAX_U32}`);
  }
  return value;
}

function span(field: string, value: unknown, least: number, most: number): bigint {
  if (typeof value !== "number") throw new TypeError(`${field} is ${show(value)}: it must be a number of seconds`);
  if (!(value >= least && value <= most)) {
    throw new RangeError(`${field} is ${value}: it must be ${least} to ${most} seconds`);
  }
  return nanosOf(value);
}

function timeout(value: unknown): bigint {
  const nanos = span("timeoutSeconds", value, 0, MAX_WAIT_SECONDS);
  if (nanos === 0n) throw new RangeError(`timeoutSeconds is ${show(value)}: it must be more than 0 seconds`);
  return nanos;
}

function oneOf<T extends string>(field: string, value: unknown, known: readonly T[]): T {
  if (typeof value !== "string") throw new TypeError(`${field} is ${show(value)}: it must be a string`);
  const found = known.find((each) => each === value);
  if (found === undefined) throw new RangeError(`${field} is ${show(value)}: it must be one of ${known.join(", ")}`);
  return found;
}

function parseRequestId(value: unknown): Uint8Array {
  if (typeof value !== "string") throw new TypeError(`requestId is ${show(value)}: it must be a string`);
  if (!/^([0-9a-f]{32}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12})$/i.test(value)) {
    throw new RangeError(`requestId is ${show(value)}: it must be a UUID or 32 hexadecimal digits`);
  }
  return Buffer.from(value.replaceAll("-", ""), "hex");
}

function signal(value: unknown): AbortSignal {
  if (!(value instanceof AbortSignal)) throw new TypeError(`signal is ${show(value)}: it must be an AbortSignal`);
  return value;
}

function maybe<T>(value: unknown, parse: (value: unknown) => T): T | undefined {
  return value === undefined ? undefined : parse(value);
}

function object(field: string, value: unknown): Record<string, unknown> {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new TypeError(`${field} is ${show(value)}: it must be an object`);
  }
  return value as Record<string, unknown>;
}

/** A name with a typo would be no limit, or no timeout, and nobody would notice. */
function refuseUnknown(field: string, said: Record<string, unknown>, known: readonly string[]): void {
  const unknown = Object.keys(said).find((name) => !known.includes(name));
  if (unknown === undefined) return;
  throw new TypeError(`${field}.${unknown} is unknown here: it must be one of ${known.join(", ")}`);
}

function show(value: unknown): string {
  if (typeof value === "string") return JSON.stringify(value);
  if (Array.isArray(value)) return "an array";
  if (typeof value === "object" && value !== null) return "an object";
  return typeof value === "function" ? "a function" : String(value);
}
