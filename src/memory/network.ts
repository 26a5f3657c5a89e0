/** A cluster's network within one process: what a NATS server is between processes. */
import { type Clock, type Random, systemClock, systemRandom, token } from "../clock.ts";
import type { KeyValueStore } from "../kv_store.ts";
import type { ServerInfo, Transport } from "../transport.ts";
import { Broker } from "./broker.ts";
import { MemoryKeyValueStore } from "./kv_store.ts";
import { MemoryTransport } from "./transport.ts";

/** Options of a {@link MemoryNetwork}. */
export interface MemoryNetworkOptions {
  /** The time of every app on it; that of this machine. */
  clock?: Clock;
  /** Where it takes chance from; the operating system. */
  random?: Random;
  /** The largest message, headers included, in bytes; 1 MiB, as nats-server has it. */
  maxPayload?: number;
}

/**
 * Options of {@link MemoryNetwork.connect}.
 *
 * @internal
 */
export interface MemoryConnectOptions {
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
}

/**
 * Joins apps of one process to one cluster, without a server: for tests, and for programs that need no second process.
 * It delivers as NATS does, refuses what NATS refuses, and shares entries as JetStream KV does.
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
  readonly #server: ServerInfo;
  readonly #broker: Broker;
  readonly #store: MemoryKeyValueStore;
  readonly #connections = new WeakMap<Transport, MemoryTransport>();

  /** Makes a network that nobody is connected to. A `maxPayload` that is no positive integer is a `RangeError`. */
  constructor(options: MemoryNetworkOptions = {}) {
    const { clock = systemClock, random = systemRandom(), maxPayload = 1_048_576 } = options;
    if (!Number.isSafeInteger(maxPayload) || maxPayload < 1) {
      throw new RangeError(`maxPayload is a number of bytes, at least 1; got ${maxPayload}`);
    }
    this.clock = clock;
    this.random = random;
    this.#maxPayload = maxPayload;
    this.#server = Object.freeze({ id: `memory-${token(random, 8)}`, clustered: false });
    this.#broker = new Broker(clock, random);
    this.#store = this.store = new MemoryKeyValueStore(clock);
  }

  /**
   * A new connection, in the state `connected`. An app makes its own.
   *
   * @internal
   */
  connect(options: MemoryConnectOptions = {}): MemoryConnection {
    const transport = new MemoryTransport(this.#broker, {
      maxPayload: this.#maxPayload,
      server: this.#server,
      onError: options.onError ?? ((error) => console.error("a subscription's callback threw:", error)),
    });
    const connection = Object.assign(transport, { store: this.#store.through(transport) });
    this.#connections.set(connection, transport);
    return connection;
  }

  /**
   * Breaks a connection: it becomes `disconnected`, what it sends and what is sent to it vanishes, and for the others it
   * is not there. Nothing when it was so already. A transport of another network is a `TypeError`.
   *
   * @internal
   */
  cut(transport: Transport): void {
    this.#find(transport).cut();
  }

  /**
   * Mends a connection that was cut: `connected` in its next generation.
   *
   * @internal
   */
  restore(transport: Transport): void {
    this.#find(transport).restore();
  }

  #find(transport: Transport): MemoryTransport {
    const found = this.#connections.get(transport);
    if (!found) throw new TypeError("this transport is no connection of this network");
    return found;
  }
}
