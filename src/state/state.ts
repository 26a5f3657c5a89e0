/**
 * The shared state of a node: leadership, and the locks, claims and cache of `open_state.ts`, whose code is loaded at
 * their first use. Most nodes use none of them; their code is a seventh of a node's files.
 */
import { openOnce } from "../ports/open_once.ts";
import type { Cache, ClaimedRun, LeadOptions, Lock, LockOptions, Term } from "../contract/calls/shared_state.ts";
import type { Asker, Claimant, Claims, Holdings, Locks, SharedState } from "../dispatch/context_host.ts";
import { type Lead, Leadership } from "./leadership.ts";
import type { OpenState, openState, StateOptions } from "./open_state.ts";

/** Loads `open_state.ts`, once for all apps. */
export type LoadState = () => Promise<{ readonly openState: typeof openState }>;

/** The shared state of one node. Opens and loads nothing yet. */
export function sharedState(options: StateOptions, load: LoadState): SharedState {
  return new LateState(options, load);
}

/** A shared state whose parts are made at their first use. */
class LateState implements SharedState {
  /** The parts, once they are made. */
  #opened: OpenState | undefined;
  #closed = false;
  readonly #leadership: Leadership;
  /** All requests pass through here, also after the parts are made: so none overtakes requests that wait for them. */
  readonly locks: Locks;
  readonly #claims: Claims;
  readonly #cache: Cache;

  constructor(options: StateOptions, load: LoadState) {
    const open = openOnce(async () => {
      const { openState } = await load();
      const opened = openState(options);
      // a state that is closed before its parts are made closes them at once: their methods then reject with `CLOSED`
      if (this.#closed) await Promise.all([opened.close(), opened.leaders.close()]);
      return this.#opened = opened;
    });
    const { clock, endpoint, observer } = options;
    this.#leadership = new Leadership({ locks: locksOf(open, "leaders"), clock, endpoint, observer });
    this.locks = locksOf(open, "locks");
    this.#claims = {
      guard: async (claimant: Claimant, run: ClaimedRun) => (await open()).claims.guard(claimant, run),
      forgetFailure: async (contract, id) => (await open()).claims.forgetFailure(contract, id),
    };
    this.#cache = {
      get: async (key) => (await open()).cache.get(key),
      set: async (key, value, options) => (await open()).cache.set(key, value, options),
      delete: async (key) => (await open()).cache.delete(key),
      getOrSet: async (key, load, options) => (await open()).cache.getOrSet(key, load, options),
    };
  }

  get holdings(): Holdings {
    const { held = 0, cycles = 0 } = this.#opened?.locks ?? {};
    return { leads: this.#leadership.leads, locks: held, cycles };
  }

  get claims(): Claims {
    return this.#opened?.claims ?? this.#claims;
  }

  get cache(): Cache {
    return this.#opened?.cache ?? this.#cache;
  }

  lead(name: string, fn: Lead, options?: LeadOptions): Term {
    return this.#leadership.lead(name, fn, options);
  }

  abdicate(): Promise<void> {
    return this.#leadership.close();
  }

  async close(): Promise<void> {
    this.#closed = true;
    const opened = this.#opened;
    // parts that are still being loaded close when they are loaded
    if (opened === undefined) return await this.#leadership.close();
    // the locks of leaderships are closed after the leaderships: a leader's function that does not end delays only
    // these locks
    const led = this.#leadership.close().then(() => opened.leaders.close());
    await Promise.all([led, opened.close()]);
  }
}

/** Makes locks that open the state when they are first used. `which`: the locks of programs, or of leaderships. */
function locksOf(open: () => Promise<OpenState>, which: "locks" | "leaders"): Locks {
  return {
    lock: async (keys: string | readonly string[], options: LockOptions, asker: Asker): Promise<Lock> =>
      await (await open())[which].lock(keys, options, asker),
  };
}
