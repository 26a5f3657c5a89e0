/** A cluster's network within one process: what a NATS server is between processes. */
import { type Clock, type Random, systemClock, systemRandom, token } from "../ports/clock.ts";
import type { KeyValueStore } from "../ports/key_value_store.ts";
import type { ServerInfo, Transport } from "../ports/transport.ts";
import { Broker } from "./broker.ts";
import { type Faults, FaultSource } from "./faults.ts";
import { MemoryKeyValueStore } from "./kv_store.ts";
import { OutageSchedule } from "./outages.ts";
import { seededRandom } from "./seeded_random.ts";
import { MemoryTransport } from "./transport.ts";

/** Options of a {@link MemoryNetwork}. */
export interface MemoryNetworkOptions {
  /** The time of every app on it; that of this machine. */
  clock?: Clock;
  /** Where it takes chance from; the operating system. */
  random?: Random;
  /** A safe integer that chance, that of the apps and of the faults, is made from; with it there is no `random`. */
  seed?: number;
  /** What goes wrong; nothing. */
  faults?: Faults;
  /** How many servers the connections are spread over, in turn, each going to the next when it is made anew; 1. */
  servers?: number;
  /** The largest message, headers included, in bytes; 1 MiB, as nats-server has it. */
  maxPayload?: number;
}

/**
 * Options of {@link MemoryNetwork.connect}.
 *
 * @internal
 */
export interface MemoryConnectOptions {
  /** What the network's controls may call it, until another one has the name: an app's id. */
  name?: string;
  /** Gets what callbacks of subscriptions throw; the console. */
  onError?: (error: unknown) => void;
}

/**
 * A connection to a {@link MemoryNetwork}.
 *
 * @internal
 */
export interface MemoryConnection extends Transport {
  /** The network's store as this connection reaches it: `UNAVAILABLE` while it is cut, `CLOSED` after it. */
  readonly store: KeyValueStore;
  /** As {@link MemoryNetwork.cut}, and so on. */
  cut(): void;
  restore(): void;
  pause(): void;
  resume(): void;
  kill(): void;
}

/**
 * Joins apps of one process to one cluster, without a server: for tests, and for programs that need no second process.
 * It delivers as NATS does, refuses what NATS refuses, and shares entries as JetStream KV does.
 *
 * With `faults` it goes wrong as NATS can go wrong; with a `seed` and a `VirtualClock` it does so in the same way each
 * time, and at once. {@link MemoryNetwork.cut}, {@link MemoryNetwork.pause} and {@link MemoryNetwork.kill} do it to one app.
 *
 * @example
 * ```ts
 * import { catga, MemoryNetwork, query, unwrap } from "@catga/catga";
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
 * import { catga, MemoryNetwork, query, VirtualClock } from "@catga/catga";
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
 */
export class MemoryNetwork {
  /** The time of everything on this network. */
  readonly clock: Clock;
  /** Where this network takes chance from. */
  readonly random: Random;
  /**
   * The store that all connections share, reached over no connection that could be cut.
   *
   * @internal
   */
  readonly store: KeyValueStore;
  readonly #maxPayload: number;
  readonly #servers: readonly ServerInfo[];
  readonly #source: FaultSource;
  readonly #outages: OutageSchedule;
  readonly #broker: Broker;
  readonly #store: MemoryKeyValueStore;
  readonly #named = new Map<string, MemoryConnection>();
  #count = 0;

  /**
   * Makes a network that nobody is connected to. Throws a `RangeError` for a `maxPayload` or `servers` that is no positive
   * integer, and a `TypeError` or `RangeError` for a seed or faults that are none.
   */
  constructor(options: MemoryNetworkOptions = {}) {
    const { clock = systemClock, random, seed, faults = {}, servers = 1, maxPayload = 1_048_576 } = options;
    if (!Number.isSafeInteger(maxPayload) || maxPayload < 1) {
      throw new RangeError(`maxPayload is a number of bytes, at least 1; got ${maxPayload}`);
    }
    if (!Number.isSafeInteger(servers) || servers < 1) {
      throw new RangeError(`servers is how many there are, at least 1; got ${servers}`);
    }
    if (random !== undefined && seed !== undefined) {
      throw new TypeError("random and seed exclude each other: give one of them");
    }
    this.clock = clock;
    this.random = random ?? (seed === undefined ? systemRandom() : seededRandom(seed));
    // dice of their own, so that switching faults does not change what apps draw
    this.#source = new FaultSource(seed === undefined ? this.random : seededRandom(seed ^ FAULT_DICE));
    this.#outages = new OutageSchedule(clock, this.#source);
    this.#maxPayload = maxPayload;
    const clustered = servers > 1;
    this.#servers = Array.from(
      { length: servers },
      () => Object.freeze({ id: `memory-${token(this.random, 8)}`, clustered }),
    );
    this.#broker = new Broker(clock, this.random, this.#source);
    this.#store = this.store = new MemoryKeyValueStore(clock, this.#source);
    this.faults = faults;
  }

  /** What goes wrong from now on; to be set as a whole. */
  get faults(): Faults {
    return this.#source.faults;
  }

  /** Throws a `TypeError` or `RangeError` for what are no faults, or cannot be: `falseBounce` needs several servers. */
  set faults(faults: Faults) {
    if ((faults.falseBounce ?? 0) > 0 && this.#servers.length < 2) {
      throw new RangeError("falseBounce: a single server knows who is there; give the network servers: 2 or more");
    }
    this.#source.faults = faults;
    this.#outages.refresh();
  }

  /** No more faults: nothing goes wrong from now on, cut connections come back, frozen processes go on. */
  heal(): void {
    this.faults = {};
    for (const victim of this.#outages.victims) {
      victim.resume();
      victim.restore();
    }
  }

  /**
   * A new connection, in the state `connected`. An app makes its own.
   *
   * @internal
   */
  connect(options: MemoryConnectOptions = {}): MemoryConnection {
    const first = this.#count++;
    const transport = new MemoryTransport(this.#broker, {
      maxPayload: this.#maxPayload,
      servers: this.#servers.map((_, i) => this.#servers[(first + i) % this.#servers.length]),
      onError: options.onError ?? ((error) => console.error("a subscription's callback threw:", error)),
    });
    const connection: MemoryConnection = Object.assign(transport, {
      store: this.#store.through(transport),
      kill: () => {
        MemoryTransport.prototype.kill.call(transport);
        this.#outages.delete(transport);
      },
    });
    const { name } = options;
    if (name !== undefined) this.#named.set(name, connection);
    this.#outages.add(transport);
    transport.onStatus(({ state }) => {
      if (state !== "closed") return;
      this.#outages.delete(transport);
      if (name !== undefined && this.#named.get(name) === connection) this.#named.delete(name);
    });
    return connection;
  }

  /**
   * Breaks the connection of an app, told by its id: it becomes `disconnected`, what it sends and what is sent to it
   * vanishes, and for the others it is not there. Nothing when it was so already. An id that no app here has is a
   * `TypeError`.
   */
  cut(app: string): void {
    this.#find(app).cut();
  }

  /** Mends a connection that was cut: `connected`, to the next server; that of a frozen app when it goes on. */
  restore(app: string): void {
    this.#find(app).restore();
  }

  /**
   * Freezes an app as SIGSTOP does: no message, no answer of the store and no timer comes to it, and nothing that it
   * sends leaves it; for the others it is there, and does not answer. Its code must take the time from
   * {@link MemoryNetwork.clockOf}, or goes on.
   */
  pause(app: string): void {
    this.#find(app).pause();
  }

  /** Lets a frozen app go on: everything that it has missed comes to it now, late. */
  resume(app: string): void {
    this.#find(app).resume();
  }

  /**
   * Ends an app as SIGKILL does: its subscriptions vanish, no message and no timer comes to it, its store never answers,
   * and nothing that it does from now on reaches anybody; what had left it still arrives. What waits in it waits for
   * ever, its `drain` too. Another app may have its id.
   */
  kill(app: string): void {
    this.#find(app).kill();
  }

  /** The time as an app has it: its timers wait while it is frozen, and never fire when it is dead. For its handlers. */
  clockOf(app: string): Clock {
    return this.#find(app).clock;
  }

  #find(app: string): MemoryConnection {
    const found = this.#named.get(app);
    if (found) return found;
    const others = [...this.#named.keys()].join(", ") || "none";
    throw new TypeError(`no app ${JSON.stringify(app)} is on this network; there are ${others}`);
  }
}

/** Sets the faults' random numbers apart from those of the apps of the same seed. */
const FAULT_DICE = 0x5eed_fa17;
