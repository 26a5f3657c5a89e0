/**
 * A simulation of NATS within one process: `broker.ts` is its server, `key_value_store.ts` its store, `transport.ts`
 * a client's connection, and `faults.ts` decides about faults on the way.
 */
import { checkFunction, checkInteger, checkKnown, checkMethods, checkNumber, disown, show } from "../data/checks.ts";
import { type Clock, type Random, systemClock, systemRandom, token } from "../ports/clock.ts";
import type { EventLog } from "../ports/event_log.ts";
import type { KeyValueStore } from "../ports/key_value_store.ts";
import type { ServerInfo, Transport } from "../ports/transport.ts";
import { Broker } from "./broker.ts";
import type { StoreStorage } from "./bucket_entries.ts";
import { type Faults, FaultSource } from "./faults.ts";
import { MemoryEventLog } from "./event_log.ts";
import { MemoryKeyValueStore } from "./key_value_store.ts";
import { OutageSchedule } from "./outage_schedule.ts";
import { seededRandom } from "./seeded_random.ts";
import type { LogStorage } from "./stream_storage.ts";
import { MemoryProcess } from "./memory_process.ts";
import { MemoryTransport } from "./transport.ts";
import { RestingClock } from "../ports/resting_clock.ts";

/** Options of a {@link MemoryNetwork}. */
export interface MemoryNetworkOptions {
  /** Clock of the network and of every app on it; default: the machine's clock. */
  clock?: Clock | undefined;
  /** Returns random numbers, from 0 to below 1; default: random numbers of the operating system. */
  random?: Random | undefined;
  /** A safe integer that makes the random numbers of apps and faults repeatable; excludes `random`. */
  seed?: number | undefined;
  /** Random faults of the network; default: none. */
  faults?: Faults | undefined;
  /**
   * Number of servers over which the connections are spread in turn; each connection goes on to the next server when it
   * reconnects; default 1.
   */
  servers?: number | undefined;
  /** Maximum size of a message, headers included, in bytes; default 1 MiB, as on nats-server. */
  maxPayload?: number | undefined;
}

/**
 * Options of {@link MemoryNetwork.connect}.
 *
 * @internal
 */
interface MemoryConnectOptions {
  /**
   * Name by which methods such as {@link MemoryNetwork.cut} find the connection: the id of an app. A later connection
   * with the same name takes over the name. Default: none.
   */
  name?: string | undefined;
  /** Called with errors that callbacks of subscriptions throw; default: logs them to the console. */
  onError?: ((error: unknown) => void) | undefined;
}

/**
 * Storage of the streams and buckets of a {@link MemoryNetwork}, which outlives the network.
 *
 * @internal
 */
export interface NetworkStorage {
  readonly streams: LogStorage;
  readonly buckets: StoreStorage;
}

/**
 * A connection to a {@link MemoryNetwork}.
 *
 * @internal
 */
export interface MemoryConnection extends Transport {
  /**
   * The network's store, reached over this connection: it rejects with `UNAVAILABLE` while the connection is cut,
   * `CLOSED` once it is closed.
   */
  readonly store: KeyValueStore;
  /** The network's streams, reached over this connection. */
  readonly log: EventLog;
  /** Clock of the program that uses the connection. Its timers go on when the connection is closed. */
  readonly programClock: Clock;
  /**
   * This method and the following ones act on this connection, as the methods of {@link MemoryNetwork} with the same
   * names act on an app.
   */
  cut(): void;
  restore(): void;
  pause(): void;
  resume(): void;
  kill(): void;
  skew(ms: number): void;
}

/**
 * Joins apps of one process to one cluster, without a server: for tests, and for programs that need no second
 * process. The network delivers messages as NATS does, rejects messages that NATS rejects, and stores entries as
 * JetStream KV does.
 *
 * With `faults` it fails as NATS can fail; with a `seed` and a `VirtualClock` it fails in the same way each time, and
 * without waiting. {@link MemoryNetwork.cut}, {@link MemoryNetwork.pause} and {@link MemoryNetwork.kill} affect one
 * app.
 *
 * @example
 * ```ts
 * import { catga, query, unwrap } from "@catga/catga";
 * import { MemoryNetwork } from "@catga/catga/testing";
 *
 * const Whoami = query<void, string>("Whoami");
 * const network = new MemoryNetwork();
 * await using _server = await catga({ network, id: "a", handlers: Whoami.handle((_, ctx) => ctx.node) });
 * await using client = await catga({ network, id: "b" });
 * console.log(unwrap(await client.send(Whoami))); // a
 * ```
 *
 * @example
 * ```ts
 * import { catga, query } from "@catga/catga";
 * import { MemoryNetwork, VirtualClock } from "@catga/catga/testing";
 *
 * const Whoami = query<void, string>("Whoami");
 * const clock = new VirtualClock();
 * const network = new MemoryNetwork({ clock, seed: 42, faults: { delay: 50, drop: 0.01 } });
 * const [server, client] = await clock.until(Promise.all([
 *   catga({ network, id: "server", handlers: Whoami.handle((_, ctx) => ctx.node) }),
 *   catga({ network, id: "client" }),
 * ]));
 * network.pause("server");
 * const asked = client.send(Whoami, undefined, { timeout: 1_000 });
 * console.log((await clock.until(asked)).error?.code); // TIMEOUT
 * network.heal();
 * await clock.until(Promise.all([server.drain(), client.drain()]));
 * ```
 * @decides who is connected, cut off, frozen or killed
 */
export class MemoryNetwork {
  /** The clock of the network and of every app on it. */
  readonly clock: Clock;
  /** The source of random numbers of this network. */
  readonly random: Random;
  /**
   * The store that all connections share, reached directly: over no connection that could be cut.
   *
   * @internal
   */
  readonly store: MemoryKeyValueStore;
  /**
   * The streams that all connections share, reached directly, and methods that damage them.
   *
   * @internal
   */
  readonly log: MemoryEventLog;
  /**
   * True: the network stands for a file. One app at a time is connected; it has no other nodes, and all earlier apps
   * have ended.
   *
   * @internal
   */
  isFile = false;
  readonly #maxPayload: number;
  readonly #servers: readonly ServerInfo[];
  readonly #source: FaultSource;
  readonly #outages: OutageSchedule;
  readonly #broker: Broker;
  readonly #named = new Map<string, MemoryConnection>();
  /** Names of killed apps: their connections are not kept, because a connection refers to all that its app held. */
  readonly #killed = new Set<string>();
  /** Open connections, and closed ones whose last messages have not arrived yet; without killed ones. */
  readonly #connected = new Set<MemoryTransport>();
  #count = 0;
  /**
   * Clock of the store, the log and messages in transit. While the network has no connection, this clock rests, so
   * that no timer runs.
   */
  readonly #serverClock: RestingClock;

  /**
   * Creates a network without connections. Throws a `TypeError` or `RangeError` for an invalid option.
   */
  /** `storage` (internal): keeps the streams and buckets of the network; default: they are in memory. */
  constructor(options: MemoryNetworkOptions = {}, storage?: NetworkStorage) {
    checkKnown("MemoryNetwork", options, OPTIONS);
    const { clock = systemClock, random, seed, faults = {}, servers = 1, maxPayload = 1_048_576 } = options;
    checkInteger("maxPayload", maxPayload, 1, Number.MAX_SAFE_INTEGER);
    checkInteger("servers", servers, 1, Number.MAX_SAFE_INTEGER);
    checkMethods("clock", clock, ["now", "monotonic", "after", "soon"]);
    if (random !== undefined) checkFunction("random", random);
    if (random !== undefined && seed !== undefined) {
      throw new TypeError("random and seed exclude each other: give one of them");
    }
    this.clock = clock;
    this.random = random === undefined ? seed === undefined ? systemRandom() : seededRandom(seed) : checked(random);
    // faults have random numbers of their own, so that changing the faults does not change those of the apps
    this.#source = new FaultSource(seed === undefined ? this.random : seededRandom(seed ^ FAULT_SEED));
    this.#serverClock = new RestingClock(clock);
    this.log = new MemoryEventLog(this.#serverClock, this.#source, storage?.streams);
    this.#outages = new OutageSchedule(this.#serverClock, this.#source, this.log);
    this.#maxPayload = maxPayload;
    const clustered = servers > 1;
    this.#servers = Array.from(
      { length: servers },
      () => Object.freeze({ id: `memory-${token(this.random, 8)}`, clustered }),
    );
    this.#broker = new Broker(clock, this.random, this.#source, this.#serverClock);
    this.store = new MemoryKeyValueStore(this.#serverClock, this.#source, storage?.buckets);
    this.faults = faults;
  }

  /** The present faults. Setting this property replaces all of them. */
  get faults(): Faults {
    return this.#source.faults;
  }

  /**
   * Replaces all faults. Throws a `TypeError` or `RangeError` if they are invalid; `falseBounce` needs several
   * servers.
   */
  set faults(faults: Faults) {
    if ((faults?.falseBounce ?? 0) > 0 && this.#servers.length < 2) {
      throw new RangeError("falseBounce: a single server never bounces falsely; give the network servers: 2 or more");
    }
    this.#source.faults = faults;
    this.#outages.refresh();
  }

  /** Ends all faults: cut connections are restored, frozen processes and logs go on. */
  heal(): void {
    this.faults = {};
    this.log.end("noLeader");
    this.log.end("noQuorum");
    this.log.end("full");
    for (const victim of this.#outages.victims) {
      victim.resume();
      victim.restore();
    }
  }

  /**
   * Makes a new connection, in the state `connected`. An app on this network makes its own connection.
   *
   * @internal
   */
  connect(options: MemoryConnectOptions = {}): MemoryConnection {
    if (this.isFile) {
      this.store.processEnded();
      this.log.processEnded();
    }
    const first = this.#count++;
    const transport = new MemoryTransport(this.#broker, {
      maxPayload: this.#maxPayload,
      servers: this.#servers.map((_, i) => this.#servers[(first + i) % this.#servers.length]),
      onError: options.onError ?? ((error) => console.error("a subscription's callback threw:", error)),
    });
    const connection: MemoryConnection = Object.assign(transport, {
      store: this.store.through(transport),
      log: this.log.through(transport),
      kill: () => {
        MemoryTransport.prototype.kill.call(transport);
        this.#left(transport);
        if (name === undefined || this.#named.get(name) !== connection) return;
        this.#named.delete(name);
        this.#killed.add(name);
      },
      // the connection is removed only after it is closed, because messages in transit need its timers until then
      close: () => MemoryTransport.prototype.close.call(transport).finally(() => this.#left(transport)),
    });
    const { name } = options;
    if (name !== undefined) {
      this.#named.set(name, connection);
      this.#killed.delete(name);
    }
    this.#outages.add(transport);
    this.#connected.add(transport);
    this.#serverClock.wake();
    transport.onStatus(({ state }) => {
      if (state !== "closed") return;
      this.#outages.delete(transport);
      if (name !== undefined && this.#named.get(name) === connection) this.#named.delete(name);
    });
    return connection;
  }

  #left(transport: MemoryTransport): void {
    this.#outages.delete(transport);
    this.#connected.delete(transport);
    if (this.#connected.size === 0) this.#serverClock.rest();
  }

  /**
   * Breaks the connection of the app with this id: the connection becomes `disconnected`, messages to and from the app
   * are lost, and other apps do not see it. Does nothing if the connection is cut already. Throws a `TypeError` if no
   * app on this network has this id.
   */
  cut(app: string): void {
    this.#find(app).cut();
  }

  /**
   * Restores the connection of the app with this id after a cut, to another server if the network has several. The
   * connection of a frozen app is restored when the app goes on.
   */
  restore(app: string): void {
    this.#find(app).restore();
  }

  /**
   * Freezes an app as SIGSTOP does: no message, no answer of the store and no timer reaches it, and it sends nothing;
   * other apps see it, but get no answer. Only code that uses {@link MemoryNetwork.clockOf} is frozen: code with
   * another clock goes on.
   */
  pause(app: string): void {
    this.#find(app).pause();
  }

  /** Lets the frozen app with this id go on: all messages, answers and timers that it has missed reach it now, late. */
  resume(app: string): void {
    this.#find(app).resume();
  }

  /**
   * Ends an app as SIGKILL does: its subscriptions vanish, no message and no timer reaches it, its store never answers,
   * and it sends nothing from now on; messages sent before still arrive. Its pending promises never settle, including
   * that of `drain`. Another app may take its id.
   */
  kill(app: string): void {
    this.#find(app).kill();
  }

  /**
   * Sets the wall clock of the app with this id to the network's plus `ms`, which may be negative; 0 ends the
   * difference.
   */
  skew(app: string, ms: number): void {
    checkNumber("skew: ms", ms, -MAX_SKEW, MAX_SKEW, "ms");
    this.#find(app).skew(ms);
  }

  /**
   * Returns the clock of the app with this id, for its handlers: the clock's timers wait while the app is frozen, and
   * never fire once it is dead.
   */
  clockOf(app: string): Clock {
    return this.#find(app).programClock;
  }

  #find(app: string): Controls {
    const found = this.#named.get(app);
    if (found) return found;
    if (this.#killed.has(app)) return controlsOfDead(this.clock, this.random);
    const others = [...this.#named.keys()].join(", ") || "none";
    throw new TypeError(`no app ${JSON.stringify(app)} is on this network; there are ${others}`);
  }
}

/** Controls of an app: of its connection and of its clock. */
type Controls = Pick<MemoryConnection, "cut" | "restore" | "pause" | "resume" | "kill" | "skew" | "programClock">;

/** Makes the controls of an app that is dead: nothing reaches it, and the timers of its clock never fire. */
function controlsOfDead(clock: Clock, random: Random): Controls {
  const process = new MemoryProcess(clock, random);
  process.kill();
  const nothing = () => {};
  const moves = { cut: nothing, restore: nothing, pause: nothing, resume: nothing, kill: nothing };
  return { ...moves, skew: (ms) => void (process.skew = ms), programClock: process.clock };
}

/** Maximum difference of wall clocks: a hundred years, in ms. */
const MAX_SKEW = 3_155_760_000_000;
const OPTIONS: ReadonlySet<string> = new Set<keyof MemoryNetworkOptions>([
  ...["clock", "random", "seed", "faults", "servers", "maxPayload"] as const,
]);

/**
 * Wraps a program's source of random numbers, so that an invalid number throws: names are made from the numbers, and
 * must differ.
 */
function checked(random: Random): Random {
  return () => {
    const drawn = random();
    if (typeof drawn === "number" && drawn >= 0 && drawn < 1) return drawn;
    disown(drawn);
    throw new TypeError(`random must return a number from 0 on and below 1; got ${show(drawn)}`);
  };
}

/** Changes the seed for faults, so that their random numbers differ from the apps' numbers. */
const FAULT_SEED = 0x5eed_fa17;
