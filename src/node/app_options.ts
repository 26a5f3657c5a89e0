/** The options of `catga()`: their meanings, ranges, defaults and checks. */
import { type Behavior, checkBehaviors } from "../contract/behavior.ts";
import { checkRoute, checkTimes, MAX_CONCURRENCY } from "../contract/contract.ts";
import {
  checkBoolean,
  checkInteger,
  checkKnown,
  checkMethods,
  checkNumber,
  checkStrings,
  checkToken,
  MAX_TIMEOUT,
  show,
} from "../data/checks.ts";
import { CONCURRENCY, HEARTBEAT, RETRIES, TIMEOUT } from "../contract/defaults.ts";
import type { AppBehaviorCode } from "../contract/program_types.ts";
import type { Handlers } from "../contract/handler.ts";
import type { Logger } from "../contract/observer.ts";
import { checkCodec, type PayloadCodec } from "../contract/payload_codec.ts";
import type { Route } from "../contract/node_info.ts";
import type { MemoryNetwork } from "../memory/network.ts";
import type { ConnectionOptions, NatsConnection } from "../nats/open.ts";
import { INHERITED_HEADERS } from "../contract/send_options.ts";
import { consoleWarnings } from "./logging.ts";

/** Options of `catga()`. All of them may be left out. */
export interface CatgaOptions {
  /** A module namespace (`import * as orders`), a handler, or an array of these; none. */
  handlers?: Handlers | undefined;
  /**
   * A NATS URL, URLs, nats.js options, or an open connection, which Catga then never closes; none: in memory.
   * `undefined`, as that of a variable that is not set, is in memory too, with a warning.
   */
  nats?: string | readonly string[] | ConnectionOptions | NatsConnection | undefined;
  /** A network in memory: several apps of one process as one cluster, for tests; none. */
  network?: MemoryNetwork | undefined;
  /** Keeps applications apart on one NATS: 1 to 64 letters, digits, `-` and `_`; `"default"`. */
  namespace?: string | undefined;
  /**
   * The service that this node is a replica of, named like a namespace: one node of each service gets an event;
   * `"app"`.
   */
  service?: string | undefined;
  /** This node's id, named like a namespace and unique in it; 10 random letters and digits. */
  id?: string | undefined;
  /** Metadata that other nodes see; over NATS its `address`, and its `host` unless given, are added; none. */
  metadata?: Readonly<Record<string, string>> | undefined;
  /**
   * Client of nats.js: `"deno"`, Catga's own, `"official"`, `@nats-io/transport-deno` (both in Deno only), or `"node"`,
   * `@nats-io/transport-node`; `"deno"` in Deno, else `"node"`.
   */
  transport?: "deno" | "node" | "official" | undefined;
  /** SIGTERM and SIGINT drain the app, then end the process, in Deno SIGTERM by its exit code, 143; `false`. */
  signals?: boolean | undefined;
  /** Timeout of a send, retries included, in ms: 1 to 2^31 - 1; 30,000. */
  timeout?: number | undefined;
  /** Number of further attempts after the first: 0 to 1,000; 3. */
  retries?: number | undefined;
  /** The strategy that chooses a node for a send; `"round-robin"`. */
  route?: Route | undefined;
  /**
   * Number of handlers that run at once for other nodes: 1 to 65,536; further messages wait, 65,536 at most. 1,024. A
   * request that cannot begin before its deadline is refused with `OVERLOADED`.
   */
  concurrency?: number | undefined;
  /**
   * Ttl of a membership record, in ms: 3,000 to 2^31 - 1; n / 32 times as long in a cluster of n > 32 nodes. It is
   * refreshed at a third of that. 30,000.
   */
  heartbeat?: number | undefined;
  /**
   * After `failures` failed deliveries in a row (1 to 1,000,000; 5) nothing is sent to a node for `cooldown` ms (1 to
   * 2^31 - 1; 5,000); then one request decides whether it is sent to again. An error that a handler answers is not a
   * failed delivery.
   */
  breaker?: { failures?: number | undefined; cooldown?: number | undefined } | undefined;
  /** Behaviors around every handler, and around sends when they have a `send`, outermost first; none. */
  behaviors?: readonly Behavior<AppBehaviorCode>[] | undefined;
  /**
   * Headers that go on with everything that a handler sends with its context, as those of the trace do: 32 names at
   * most, each of 1 to 64 lower-case letters, digits, `-`, `_` and `.`. A header of the send itself wins; none.
   */
  carry?: readonly string[] | undefined;
  /**
   * `true` keeps the error that a handler of a durable message throws with the message, stack included, for those who
   * may read the log: retries, dead letters, the dashboard; that of a read model is in `health()` of its node. A caller
   * never gets it; `true`.
   */
  causes?: boolean | undefined;
  /**
   * Bytes to bytes around payloads, results and states, on the wire between nodes and in the store, such as encryption;
   * the same for all nodes of a namespace. Messages may then have 0.7 of the server's `max_payload`. None.
   */
  codec?: PayloadCodec | undefined;
  /** Destination of its log; warnings and errors to the console. */
  logger?: Logger | undefined;
  /** Number of NATS servers that keep each bucket and stream: nodes, shared state, log, entities; 1 to 5; 1. */
  replicas?: number | undefined;
}

/** The options that have a default, each as given or by its default. */
export function withDefaults(options: CatgaOptions) {
  const { failures = 5, cooldown = 5_000 } = options.breaker ?? {};
  return {
    namespace: options.namespace ?? "default",
    service: options.service ?? "app",
    timeout: options.timeout ?? TIMEOUT,
    retries: options.retries ?? RETRIES,
    route: options.route ?? "round-robin",
    concurrency: options.concurrency ?? CONCURRENCY,
    heartbeat: options.heartbeat ?? HEARTBEAT,
    breaker: { failures, cooldown },
    behaviors: options.behaviors ?? [],
    carry: options.carry ?? [],
    causes: options.causes ?? true,
    logger: options.logger ?? consoleWarnings,
    replicas: options.replicas ?? 1,
  };
}

/** Check of each option that was given, by its name. */
const CHECKS: {
  readonly [Name in keyof CatgaOptions]-?: (name: Name, value: NonNullable<CatgaOptions[Name]>) => void;
} = {
  // checked by those who read them
  ...{ handlers() {}, nats() {}, network() {} },
  namespace: checkToken,
  service: checkToken,
  id: checkToken,
  metadata: checkStrings,
  transport(name, value) {
    if (value !== "deno" && value !== "node" && value !== "official") {
      throw new TypeError(`${name} must be "deno", "node" or "official"; got ${show(value)}`);
    }
  },
  signals: checkBoolean,
  timeout: (_, timeout) => checkTimes("", { timeout }),
  retries: (_, retries) => checkTimes("", { retries }),
  route: checkRoute,
  concurrency: (name, value) => checkInteger(name, value, 1, MAX_CONCURRENCY),
  heartbeat: (name, value) => checkNumber(name, value, 3_000, MAX_TIMEOUT, "ms"),
  breaker(name, value) {
    checkKnown(name, value, BREAKER_OPTIONS);
    if (value.failures !== undefined) checkInteger("breaker.failures", value.failures, 1, 1_000_000);
    if (value.cooldown !== undefined) checkNumber("breaker.cooldown", value.cooldown, 1, MAX_TIMEOUT, "ms");
  },
  behaviors: checkBehaviors,
  carry: checkCarry,
  causes: checkBoolean,
  codec: checkCodec,
  logger: (name, value) => checkMethods(name, value, ["debug", "info", "warn", "error"]),
  replicas: (name, value) => checkInteger(name, value, 1, 5),
};

/** The names of the options. */
export const OPTIONS: ReadonlySet<string> = new Set(Object.keys(CHECKS));
const BREAKER_OPTIONS = new Set(["failures", "cooldown"]);

/** Throws a `TypeError` or `RangeError` for an invalid option: it says the option, the value, and what it should be. */
export function checkOptions(options: CatgaOptions): void {
  checkKnown("catga", options, OPTIONS);
  if (options.nats !== undefined && options.network !== undefined) {
    throw new TypeError("nats and network exclude each other: give one of them");
  }
  for (const [name, check] of Object.entries(CHECKS)) {
    const value = options[name as keyof CatgaOptions];
    if (value !== undefined) check(name as never, value as never); // each check takes the value of its own option
  }
}

function checkCarry(_: string, carry: readonly string[]): void {
  if (!Array.isArray(carry)) throw new TypeError(`carry must be an array of names of headers; got ${show(carry)}`);
  if (carry.length > MAX_CARRIED) {
    throw new RangeError(`carry takes ${MAX_CARRIED} names of headers at most; got ${carry.length}`);
  }
  carry.forEach((name, index) => {
    const at = `carry[${index}]`;
    if (typeof name !== "string" || !/^[a-z0-9][a-z0-9._-]{0,63}$/.test(name)) {
      throw new TypeError(`${at} must be 1 to 64 lower-case letters, digits, "-", "_" and "."; got ${show(name)}`);
    }
    if (INHERITED_HEADERS.includes(name)) throw new TypeError(`${at}: ${name} goes on by itself`);
    if (/^(?:nats|catga)-/.test(name)) throw new TypeError(`${at}: ${name} is reserved`);
  });
}

const MAX_CARRIED = 32;
