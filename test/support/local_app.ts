/** An app without a cluster, on virtual time. */
import { App, type AppParts } from "../../src/node/app.ts";
import { NodeAlarms } from "../../src/node/node_alarms.ts";
import type { Catga } from "../../src/contract/nodes/running_node.ts";
import type { AnyBehavior } from "../../src/contract/declaration/behavior.ts";
import type { Handlers } from "../../src/contract/declaration/handler.ts";
import { Mediator } from "../../src/dispatch/mediator.ts";
import { seededRandom } from "../../src/memory/seeded_random.ts";
import { MemoryKeyValueStore } from "../../src/memory/key_value_store.ts";
import { VirtualClock } from "../../src/memory/virtual_clock.ts";
import type { Observation } from "../../src/contract/nodes/observer.ts";
import type { KeyValueStore } from "../../src/ports/key_value_store.ts";
import { CatgaError } from "../../src/error.ts";
import { collect } from "../../src/dispatch/registry.ts";
import { openOnce } from "../../src/ports/open_once.ts";
import { sharedState } from "../../src/state/state.ts";
import { AppWithSendBehaviors } from "../../src/node/send_behaviors.ts";

/** Options of {@link localApp}. */
export interface LocalAppOptions {
  readonly handlers?: Handlers;
  readonly behaviors?: readonly AnyBehavior[];
  /** Of every send, in ms; 30,000. */
  readonly timeout?: number;
  /** Called when the app has drained. */
  readonly release?: () => Promise<void>;
}

/** The result of {@link localApp}. */
export interface LocalApp {
  readonly app: Catga;
  /** The same app, from inside. */
  readonly inside: App;
  readonly mediator: Mediator;
  readonly store: KeyValueStore;
  readonly clock: VirtualClock;
  /** The calls of the app's observer. */
  readonly seen: Observation[];
}

const loadState = openOnce(() => import("../../src/state/open_state.ts"));

/** Makes the app as `catga()` does, its id `"here"`. */
export function localApp(options: LocalAppOptions = {}): LocalApp {
  const { handlers, behaviors = [], timeout = 30_000, release = () => Promise.resolve() } = options;
  const clock = new VirtualClock();
  const seen: Observation[] = [];
  const observer = (observation: Observation) => void seen.push(observation);
  const random = seededRandom(1);
  const mediator = new Mediator(collect(handlers), behaviors, observer, { clock, random });
  const self = {
    id: "here",
    endpoint: "here.1",
    service: "app",
    handles: mediator.names,
    startedAt: 0,
    lastSeen: 0,
    metadata: {},
    load: { inFlight: 0, queued: 0 },
    server: "",
    protocol: 1,
    version: "0.0.0",
  };
  const store = new MemoryKeyValueStore(clock);
  const state = (app: App) =>
    sharedState({
      store,
      namespace: "default",
      replicas: 1,
      clock,
      random,
      node: "here",
      endpoint: "here.1",
      liveness: { gone: (endpoint) => app.gone(endpoint) },
      observer,
      maxPayload: () => 1_048_576,
    }, loadState);
  const log = () => Promise.reject(new CatgaError("UNAVAILABLE", "this app has no log"));
  const entities = () => Promise.reject(new CatgaError("UNAVAILABLE", "this app has no entities"));
  const sending = { timeout, retries: 3, route: "round-robin" } as const;
  const runs = () => Promise.reject(new CatgaError("UNAVAILABLE", "this app has no runs"));
  const streams = async () => (await import("../../src/streams/reading.ts")).streams;
  const alarms = new NodeAlarms(clock, self, () => []);
  const parts: AppParts = {
    ...sending,
    self,
    isWithoutNetwork: true,
    clock,
    programClock: clock,
    mediator,
    observer,
    alarms,
    state,
    log,
    entities,
    runs,
    streams,
  };
  const inside = behaviors.some(({ send }) => send !== undefined)
    ? new AppWithSendBehaviors(parts, release, behaviors)
    : new App(parts, release);
  // App is typed for any contract
  return { app: inside as unknown as Catga, inside, mediator, store, clock, seen };
}
