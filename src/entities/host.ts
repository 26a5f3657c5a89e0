/** What entities need of the node that they belong to. */
import type { Observer } from "../contract/observer.ts";
import type { Clock } from "../ports/clock.ts";
import type { EventLog } from "../ports/event_log.ts";
import type { KeyValueStore } from "../ports/key_value_store.ts";

/** A node, as its entities see it. */
export interface EntitiesHost {
  readonly namespace: string;
  readonly endpoint: string;
  readonly replicas: number;
  /** The app's timeout, in ms. */
  readonly timeout: number;
  readonly clock: Clock;
  readonly observer: Observer;
  readonly log: EventLog;
  readonly store: KeyValueStore;
  /** The largest message that the network takes now, in bytes. */
  maxPayload(): number;
  /** The headers that go on with what is emitted. */
  readonly carried: readonly string[];
}
