/** All followers of durable events in this process: they share one feed for each contract. */
import type { AnyContract } from "../../contract/declaration/contract.ts";
import type { EventFollower, FollowEventsOptions } from "../../contract/calls/durable_messages.ts";
import type { Observer } from "../../contract/nodes/observer.ts";
import type { MaybePromise } from "../../contract/schemas/schema.ts";
import type { Clock } from "../../ports/clock.ts";
import type { LogStream } from "../../ports/event_log.ts";
import { placeOf } from "../administration/place.ts";
import { EventFeed } from "./event_feed.ts";
import { Follower } from "./follower.ts";

/** Options of {@link Followers}. */
export interface FollowersOptions {
  readonly namespace: string;
  readonly clock: Clock;
  readonly observer: Observer;
  /** Opens the stream of the log, or, if `ofEntities`, the stream of entities. */
  stream(ofEntities: boolean): MaybePromise<LogStream>;
}

/** Makes the followers of durable events in one node, and ends them when the node stops. */
export class Followers {
  readonly #options: FollowersOptions;
  readonly #feeds = new Map<AnyContract, EventFeed>();
  #closed = false;

  constructor(options: FollowersOptions) {
    this.#options = options;
  }

  /** Followers the events of a durable contract. */
  follow(contract: AnyContract, options: FollowEventsOptions): EventFollower<unknown> {
    const { namespace, clock } = this.#options;
    let feed = this.#feeds.get(contract);
    if (feed === undefined) {
      const made = feed = new EventFeed({
        ...this.#options,
        contract,
        stream: () => this.#options.stream(contract.options.entity !== undefined),
        onUnused: () => this.#feeds.delete(contract),
      });
      this.#feeds.set(contract, feed);
      // a feed that cannot start is removed: the next follower makes another
      made.started.catch(() => this.#feeds.get(contract) === made && this.#feeds.delete(contract));
      if (this.#closed) made.close();
    }
    const own = feed;
    const { from, key, signal } = options;
    return new Follower({
      ...{ feed, from, key, signal },
      positionAt: (time) => placeOf(own.stream, { namespace, clock }, time),
    });
  }

  /** Ends all followers of this node. Idempotent. */
  close(): void {
    this.#closed = true;
    for (const feed of this.#feeds.values()) feed.close();
    this.#feeds.clear();
  }
}
