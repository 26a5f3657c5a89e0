/** The options of `catga()`: their meanings, ranges, defaults and checks. */
import type { AttachedStore, StoreBody } from "../contract/nodes/attached_store.ts";
import { type Behavior, checkBehaviors } from "../contract/declaration/behavior.ts";
import { checkRoute, checkTimes, MAX_CONCURRENCY } from "../contract/declaration/contract.ts";
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
import { CONCURRENCY, HEARTBEAT, RETRIES, TIMEOUT } from "../contract/declaration/defaults.ts";
import type { AppBehaviorCode } from "../contract/declaration/program_types.ts";
import { type Handlers, isHandler } from "../contract/declaration/handler.ts";
import type { Logger } from "../contract/nodes/observer.ts";
import { checkCodec, type PayloadCodec } from "../contract/declaration/payload_codec.ts";
import type { Route } from "../contract/nodes/node_info.ts";
import type { MemoryNetwork } from "../memory/network.ts";
import type { ConnectionOptions, NatsConnection } from "../nats/open.ts";
import { INHERITED_HEADERS } from "../contract/calls/send_options.ts";
import { consoleWarnings } from "./logging.ts";

/** The option `file` of `catga()` as an object. */
export interface FileOptions {
  /** Path of the file. Its folder must exist; SQLite keeps files beside it. */
  readonly path: string;
  /**
   * When a write counts as stored: `"disk"`, when it survives a power failure; `"process"`, when it survives the end of
   * this process, also by SIGKILL. Default: `"disk"`.
   */
  readonly durability?: "disk" | "process" | undefined;
}

/** Options of `catga()`. All options may be left out. */
export interface CatgaOptions {
  /** A module namespace (`import * as orders`), a handler, or an array of these. Default: none. */
  handlers?: Handlers | undefined;
  /**
   * A NATS URL, several URLs, nats.js options, or an open connection, which Catga then never closes. Default: none;
   * then the app runs in memory, and what it has stored (durable messages, runs, entities) ends with it. With an
   * explicit `undefined`, as from a variable that is not set, the app also runs in memory, and logs a warning.
   */
  nats?: string | readonly string[] | ConnectionOptions | NatsConnection | undefined;
  /**
   * Path of a file in which the app keeps what it stores (durable messages, runs, entities, locks, results of ids):
   * then nothing is lost when the process ends, and no server runs. One process at a time uses a file. An object also
   * says when a write counts as stored. Excludes `nats` and `network`. Default: none.
   */
  file?: string | FileOptions | undefined;
  /**
   * Databases of the program, made by `sqlStore` of `@catga/catga/sql`: this node publishes what their outboxes have,
   * or takes over when the node that does dies. Default: none.
   */
  sql?: readonly AttachedStore[] | undefined;
  /** A network in memory, which makes one cluster of several apps of one process, for tests. Default: none. */
  network?: MemoryNetwork | undefined;
  /** Name that separates applications on one NATS: 1 to 64 letters, digits, `-` and `_`. Default: `"default"`. */
  namespace?: string | undefined;
  /**
   * The service that this node is a replica of: of an event's handlers, one node of each service runs them. 1 to 64
   * letters, digits, `-` and `_`. Default: `"app"`.
   */
  service?: string | undefined;
  /**
   * This node's id, unique in its namespace: 1 to 64 letters, digits, `-` and `_`. Default: 10 random letters and
   * digits.
   */
  id?: string | undefined;
  /** Metadata that other nodes see. Over NATS, Catga adds `address`, and `host` unless it is given. Default: none. */
  metadata?: Readonly<Record<string, string>> | undefined;
  /**
   * The NATS client to use: `"deno"`, Catga's own, or `"official"`, `@nats-io/transport-deno` (both in Deno only), or
   * `"node"`, `@nats-io/transport-node`. Default: `"deno"` in Deno, else `"node"`.
   */
  transport?: "deno" | "node" | "official" | undefined;
  /**
   * True: SIGTERM and SIGINT drain the app, then end the process; in Deno, SIGTERM ends it with exit code 143. Default:
   * `false`.
   */
  signals?: boolean | undefined;
  /** Timeout of a send, in ms, retries included: 1 to 2^31 - 1. Default: 30,000. */
  timeout?: number | undefined;
  /** Number of further attempts of a send after the first: 0 to 1,000. Default: 3. */
  retries?: number | undefined;
  /** The routing strategy, which chooses the node for a send. Default: `"round-robin"`. */
  route?: Route | undefined;
  /**
   * Maximum number of handlers that run at once for other nodes: 1 to 65,536. Further messages wait, 65,536 at most. A
   * request that cannot begin before its deadline is refused with `OVERLOADED`. Default: 1,024.
   */
  concurrency?: number | undefined;
  /**
   * Ttl of the record by which other nodes know this node, in ms: 3,000 to 2^31 - 1; in a cluster of n > 32 nodes the
   * record has n / 32 times this ttl. The node writes its record again after a third of the ttl; in a cluster of more
   * than 32 nodes, at the latest when 5/9 of `heartbeat` are left until the record expires. Default: 30,000.
   */
  heartbeat?: number | undefined;
  /**
   * Circuit breaker for each other node: after `failures` failed deliveries to it in a row (1 to 1,000,000; default: 5)
   * this node sends it no requests for `cooldown` ms (1 to 2^31 - 1; default: 5,000); then one request decides whether
   * the breaker closes. An error that a handler returns is not a failed delivery.
   */
  breaker?: { failures?: number | undefined; cooldown?: number | undefined } | undefined;
  /** Behaviors around every handler, and around sends if they have a `send`, outermost first. Default: none. */
  behaviors?: readonly Behavior<AppBehaviorCode>[] | undefined;
  /**
   * Names of headers that the messages which a handler sends inherit from the message that it handles, like the headers
   * of the trace: 32 names at most, each of 1 to 64 lower-case letters, digits, `-`, `_` and `.`. A header given to the
   * send itself replaces the inherited one. Default: none.
   */
  carry?: readonly string[] | undefined;
  /**
   * True: when a handler of a durable message throws, the error, stack included, is stored with the message, for people
   * who may read the log: in retries, dead letters, the dashboard. An error of a read model is not stored: it is in
   * `health()` of its node. A sender never gets these errors. Default: `true`.
   */
  causes?: boolean | undefined;
  /**
   * Encodes the bytes of payloads, results and states on the wire between nodes and in the store, for encryption or
   * compression; all nodes of a namespace must have the same codec. With a codec, messages may have 0.7 of the server's
   * `max_payload`. Default: none.
   */
  codec?: PayloadCodec | undefined;
  /** Destination of the app's log. Default: warnings and errors go to the console. */
  logger?: Logger | undefined;
  /**
   * Number of NATS servers that keep a copy of each bucket and stream (nodes, shared state, log, entities): 1 to 5.
   * Default: 1.
   */
  replicas?: number | undefined;
}

/** Returns the options that have a default, each with its given value or its default. */
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
    // a file is on one machine, whatever the same program asks of NATS
    replicas: options.file === undefined ? options.replicas ?? 1 : 1,
  };
}

/** By option: the check of its value, called if the option was given. */
const CHECKS: {
  readonly [Name in keyof CatgaOptions]-?: (name: Name, value: NonNullable<CatgaOptions[Name]>) => void;
} = {
  // the code that uses these options checks them
  ...{ handlers() {}, nats() {}, network() {} },
  file(name, value) {
    const { path, durability } = typeof value === "string" ? { path: value } : value as Partial<FileOptions>;
    if (typeof value !== "string") checkKnown(name, value, FILE_OPTIONS);
    if (typeof path !== "string" || path === "" || path.includes("\0")) {
      throw new TypeError(`${name} must be the path of a file, as "shop.db"; got ${show(path)}`);
    }
    if (durability !== undefined && durability !== "disk" && durability !== "process") {
      throw new TypeError(`${name}.durability must be "disk" or "process"; got ${show(durability)}`);
    }
  },
  sql(name, value) {
    const isStore = (store: unknown) => typeof (store as Partial<AttachedStore>)?.["~store"] === "object";
    if (!Array.isArray(value) || !value.every(isStore)) {
      throw new TypeError(`${name} must be an array of what sqlStore(…) gives; got ${show(value)}`);
    }
    const names = value.map((store) => (store["~store"] as StoreBody).name);
    const twice = names.find((each, i) => names.indexOf(each) < i);
    if (twice !== undefined) {
      throw new TypeError(`${name}: two stores are named ${show(twice)}: give each a name, as sqlStore(…, { name })`);
    }
  },
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

/** The names of all options of `catga()`. */
export const OPTIONS: ReadonlySet<string> = new Set(Object.keys(CHECKS));
const FILE_OPTIONS = new Set(["path", "durability"]);
const BREAKER_OPTIONS = new Set(["failures", "cooldown"]);

/**
 * Throws a `TypeError` or `RangeError` for an invalid option; its message has the option, the value, and the valid
 * values.
 */
export function checkOptions(options: CatgaOptions): void {
  if (isHandler(options)) {
    throw new TypeError(
      `catga takes an object of options; got a handler of ${options.contract.name}: give { handlers }`,
    );
  }
  checkKnown("catga", options, OPTIONS);
  const [first, second] = (["nats", "network", "file"] as const).filter((name) => options[name] !== undefined);
  if (second !== undefined) throw new TypeError(`${first} and ${second} exclude each other: give one of them`);
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
    if (INHERITED_HEADERS.includes(name)) throw new TypeError(`${at}: ${name} is passed on without it: leave it out`);
    if (/^(?:nats|catga)-/.test(name)) {
      throw new TypeError(
        `${at}: ${name} is reserved: choose a name without the prefixes nats- and catga-`,
      );
    }
  });
}

const MAX_CARRIED = 32;
