/**
 * A client's session with the store of a {@link MemoryNetwork}: requests and answers travel in later turns of the event
 * loop, in order, and are lost when the connection is cut. All of them pass through {@link StoreSession.call}.
 */
import type { Clock } from "../ports/clock.ts";
import { CatgaError, isCatgaError, unavailable } from "../error.ts";
import type { Transport, TransportStatus } from "../ports/transport.ts";
import type { FaultSource } from "./faults.ts";
import type { ServerLink } from "./server_link.ts";

/** The client's connection over which a session reaches the store. */
export type SessionClient = Pick<Transport, "status" | "onStatus" | "maxPayload"> & { readonly link: ServerLink };

/** Options of {@link StoreSession.call}. */
export interface StoreCallOptions {
  /** Called on the side of the store with the operation, `perform`; calls it at once or later. */
  readonly gate?: (perform: () => void) => void;
  readonly limit?: number;
}

/**
 * Holds back what leaves a store (answers, deliveries, changes) until the writes before it are stored. A store in
 * memory has none.
 */
export interface StoreGate {
  /**
   * Calls `callback` when all that the store has written until now is stored, at once if it is; in the order of the
   * calls. With an error if it certainly could not be stored: the store is as it was before these writes.
   */
  after(callback: (error?: CatgaError) => void): void;
}

/**
 * Makes the error of writes that certainly were not stored: their turn was rolled back. `why`: what the storage said.
 */
export function rolledBack(why: string, details: Readonly<Record<string, unknown>>, cause: unknown): CatgaError {
  const message = `the store takes no writes now: ${why}; nothing of this was stored`;
  return unavailable(message, { cause, details: { ...details, stored: false } });
}

/** Returns true for errors of {@link rolledBack}. */
export function isRolledBack(error: unknown): error is CatgaError {
  if (!isCatgaError(error) || error.code !== "UNAVAILABLE") return false;
  return (error.details as { readonly stored?: unknown } | undefined)?.stored === false;
}

/** A channel over which an operation of the store sends messages to a client. */
export interface SessionChannel {
  /** True while the client's connection is the one for which the channel was made. */
  readonly open: boolean;
  /**
   * Calls `callback` in a later turn of the event loop, after all answers that were sent before it, unless the
   * connection is lost first.
   */
  send(callback: () => void): void;
}

/** Sends a client's requests to the store, and the store's answers back. */
export class StoreSession {
  readonly #clock: Clock;
  readonly #faults: FaultSource | undefined;
  readonly #client: SessionClient | undefined;
  readonly #gate: StoreGate | undefined;

  /**
   * True for an app without a network: its store answers without turns of the event loop, which would take longer
   * than everything else.
   */
  get #alone(): boolean {
    return this.#client === undefined && this.#faults === undefined;
  }

  /**
   * Makes a session. Without `client`, the store can always be reached. `gate`: holds back answers until writes are
   * stored.
   */
  constructor(clock: Clock, faults?: FaultSource, client?: SessionClient, gate?: StoreGate) {
    this.#clock = clock;
    this.#faults = faults;
    this.#client = client;
    this.#gate = gate;
  }

  /** Clock and faults of the store of this session. */
  get store(): { readonly clock: Clock; readonly faults: FaultSource | undefined } {
    return { clock: this.#clock, faults: this.#faults };
  }

  get connected(): boolean {
    return this.state === "connected";
  }

  /** State of the client's connection. */
  get state(): TransportStatus["state"] {
    return this.#client?.status.state ?? "connected";
  }

  /** The clock of the client's process. */
  get clock(): Clock {
    return this.#client?.link.process.clock ?? this.#clock;
  }

  /** Maximum size of a message, headers included, in bytes; default 1 MiB, as on nats-server. */
  get maxPayload(): number {
    return this.#client?.maxPayload ?? 1_048_576;
  }

  /**
   * Runs an operation in the store and resolves with its result, unless the connection is lost first. With `gate`, the
   * operation runs when `gate` calls the function that it gets. Rejects if the connection is lost, or if no answer
   * comes within `limit` ms.
   */
  call<T>(operation: () => T, options?: StoreCallOptions): Promise<T> {
    if (!this.#alone) return this.#call(operation, options);
    // an app without a network has no outages, for which `options.gate` would hold an operation back
    return this.#gate === undefined ? SETTLED.then(operation) : this.#callGated(operation, this.#gate);
  }

  /** Runs an operation a microtask later, and resolves when the gate lets its answer through. */
  #callGated<T>(operation: () => T, gate: StoreGate): Promise<T> {
    return new Promise((resolve, reject) => {
      queueMicrotask(() => {
        try {
          const value = operation();
          gate.after((error) => error === undefined ? resolve(value) : reject(error));
        } catch (error) {
          reject(error);
        }
      });
    });
  }

  #call<T>(operation: () => T, { gate, limit = ANSWER_LIMIT }: StoreCallOptions = {}): Promise<T> {
    const link = this.#client?.link;
    const epoch = link?.epoch ?? 0;
    return new Promise((resolve, reject) => {
      if (gate) {
        const timer = this.clock.after(limit, () => reject(silence(limit)));
        const [resolved, rejected] = [resolve, reject];
        resolve = (value) => (timer.cancel(), resolved(value));
        reject = (error) => (timer.cancel(), rejected(error));
      }
      const lose = () => this.clock.soon(() => reject(this.failure()));
      const lost = () => {
        if (link === undefined || link.has(epoch)) return false;
        lose();
        return true;
      };
      const perform = () => {
        let answer: () => void;
        try {
          const value = operation();
          answer = () => resolve(value);
        } catch (error) {
          answer = () => reject(error);
        }
        if (this.#gate === undefined) return leave(answer);
        this.#gate.after((error) => leave(error === undefined ? answer : () => reject(error)));
      };
      const leave = (answer: () => void) => {
        if (link === undefined) return this.#clock.soon(answer);
        if (this.#faults?.hits("lostAck")) {
          if (!gate) link.process.clock.after(limit, () => reject(silence(limit)));
          return;
        }
        link.toProcess(() => this.#clock.soon(() => lost() || link.process.enter(answer)), lose);
      };
      const arrive = () => this.#clock.soon(gate ? () => gate(perform) : perform);
      if (link === undefined) arrive();
      else link.toServer(arrive, lose);
    });
  }

  /** Runs an operation in the store without waiting for an answer; the operation may be lost. */
  tell(operation: () => void): void {
    const link = this.#client?.link;
    if (link === undefined) this.#clock.soon(operation);
    else link.toServer(() => this.#clock.soon(operation));
  }

  /** Returns the channel back to the client that is connected at present. Called by an operation in the store. */
  channel(): SessionChannel {
    const link = this.#client?.link;
    if (link === undefined) return { open: true, send: (callback) => this.#leave(() => this.#clock.soon(callback)) };
    const { epoch } = link;
    return {
      get open() {
        return link.has(epoch);
      },
      send: (callback) => {
        const enter = () => link.has(epoch) && link.process.enter(callback);
        this.#leave(() => link.toProcess(() => this.#clock.soon(enter)));
      },
    };
  }

  /**
   * Calls `callback` in a later turn of the event loop, after all answers that were sent before it, even if the
   * connection is lost.
   */
  soon(callback: () => void): void {
    if (this.#alone) return this.#leave(() => queueMicrotask(callback));
    const link = this.#client?.link;
    if (link === undefined) return this.#leave(() => this.#clock.soon(callback));
    const enter = () => this.clock.soon(callback);
    this.#leave(() => link.toProcess(enter, enter));
  }

  /** Calls `send` when the gate lets it through; never if what is sent was not stored. */
  #leave(send: () => void): void {
    if (this.#gate === undefined) return send();
    this.#gate.after((error) => error === undefined && send());
  }

  /** Calls `listener` at each change of the connection's status. Returns a function that removes the listener. */
  onStatus(listener: (status: TransportStatus) => void): () => void {
    return this.#client?.onStatus(listener) ?? (() => {});
  }

  /** Calls `callback` when the client's process is killed. Returns a function that removes the callback. */
  onDeath(callback: () => void): () => void {
    return this.#client?.link.process.onDeath(callback) ?? (() => {});
  }

  /** Returns the error because of which the store cannot be reached now; `CLOSED`: it never can. */
  failure(): CatgaError {
    return this.#client?.status.state === "closed"
      ? new CatgaError("CLOSED", "the connection to the store is closed")
      : unavailable("the connection to the store is cut");
  }
}

/** A fulfilled promise: an app without a network runs each operation of its store one microtask after the call. */
const SETTLED = Promise.resolve();
/** Time for which a client waits for an answer of the store, in ms, as on NATS. */
const ANSWER_LIMIT = 5_000;

function silence(limit: number): CatgaError {
  return unavailable(`no answer from the store in ${limit} ms; a write may have happened`);
}
