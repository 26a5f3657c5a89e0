/** Finds the handlers in the option `handlers`, each with its name for errors. */
import type { AnyContract } from "../contract/declaration/contract.ts";
import { type Handler, type Handlers, isHandler, type SubscriptionSettings } from "../contract/declaration/handler.ts";
import { isPlain, show } from "../data/checks.ts";

/** A handler, and where it was found in the option `handlers`. */
export interface Registration {
  readonly handler: Handler;
  /** Where the handler was found, for errors: `handlers.createOrder` in a module, or `handlers[2]` in an array. */
  readonly name: string;
}

/**
 * Returns all handlers in the option `handlers` (modules, handlers, and arrays of these), in order. A handler that is
 * found twice is returned once. Throws a `TypeError` for a module without handlers, for any other value, for a second
 * handler of a command or query, for handlers of two definitions of one entity, and for two handlers of an event in one
 * subscription with different settings, naming both.
 */
export function collect(handlers: Handlers | undefined): Registration[] {
  const found = new Map<Handler, Registration>();
  if (handlers !== undefined) visit(handlers, "handlers", found);
  const owners = new Map<string, Registration>();
  const deciders = new Map<string, Registration>();
  const subscribers = new Map<string, Registration>();
  for (const registration of found.values()) {
    const { contract, "~handler": { entity } } = registration.handler;
    const owner = owners.get(contract.name);
    if (owner === undefined) {
      owners.set(contract.name, registration);
    } else if (contract.kind !== "event" || owner.handler.contract.kind !== "event") {
      const { workflow } = registration.handler["~handler"];
      const [what, rule] = workflow === undefined
        ? [`${contract.kind} ${contract.name}`, `a command or query ${ONE}, and its name belongs to no other contract`]
        : [`workflow ${workflow.definition.name}`, `a workflow ${ONE}`];
      throw new TypeError(`two handlers for ${what}: ${owner.name} and ${registration.name}; ${rule}`);
    }
    checkSubscriber(registration, subscribers);
    if (entity === undefined) continue;
    const { definition } = entity;
    const decider = deciders.get(definition.name);
    if (decider === undefined) {
      deciders.set(definition.name, registration);
    } else if (decider.handler["~handler"].entity?.definition !== definition) {
      throw new TypeError(
        `two definitions of entity ${definition.name}: ${decider.name} and ${registration.name} are handlers of different ` +
          `ones, which would make different states of the same events; define it once, and import it`,
      );
    }
  }
  return [...found.values()];
}

/**
 * Throws a `TypeError` if an earlier handler of the same event in the same subscription has other settings: both run
 * for each message, so that the settings of one would have no effect. `subscribers`: the first handlers, by
 * subscription and event; this function adds to them.
 */
function checkSubscriber(registration: Registration, subscribers: Map<string, Registration>): void {
  const { contract, "~handler": { subscription: own } } = registration.handler;
  if (own === undefined || own.each === "node") return;
  const key = `${own.name}/${contract.name}`;
  const first = subscribers.get(key);
  const other = first?.handler["~handler"].subscription;
  if (first === undefined || other === undefined) {
    subscribers.set(key, registration);
    return;
  }
  const different = SETTINGS.find(([setting]) => showSetting(own[setting]) !== showSetting(other[setting])) ??
    (own.limits?.some(({ key }, i) => key !== other.limits?.[i].key) ? LIMITS : undefined) ??
    (own.fair?.by !== other.fair?.by || own.fair?.weight !== other.fair?.weight ? FAIR : undefined) ??
    (own.fair?.ahead !== other.fair?.ahead ? AHEAD : undefined);
  if (different === undefined) return;
  const [setting, option] = different;
  const texts = [other, own].map((each) => {
    if (different === FAIR) return each.fair === undefined ? "undefined" : "a function of its own";
    if (different === AHEAD) return each.fair?.ahead === undefined ? "undefined" : "a function of its own";
    return `${showSetting(each[setting])}${different === LIMITS ? " with a function key of its own" : ""}`;
  });
  throw new TypeError(
    `two handlers for ${contract.kind} ${contract.name} in subscription ${own.name}: ${first.name} has ${option} ` +
      `${texts[0]}, ${registration.name} ${texts[1]}; they run together for each message: give both the same, or ` +
      `one of them another name`,
  );
}

function showSetting(value: unknown): string {
  return value === undefined ? "that of the app" : JSON.stringify(value);
}

/** The limits, of which the functions that return keys are compared by themselves. */
const LIMITS = ["limits", "limit"] as const;
/** How tenants share the handlers, which is compared by its functions. */
const FAIR = ["fair", "fair"] as const;
const AHEAD = ["fair", "ahead"] as const;
/** Settings of a subscription that its handlers of one event share, with their names as options. */
const SETTINGS = [
  ["attempts", "retry.attempts"],
  ["limits", "limit"],
  ["delay", "retry.delay"],
  ["outage", "retry.outage"],
  ["timeout", "timeout"],
  ["from", "from"],
] as const satisfies readonly (readonly [keyof SubscriptionSettings, string])[];

function visit(value: Handlers, name: string, found: Map<Handler, Registration>): void {
  if (isHandler(value)) {
    if (!found.has(value)) found.set(value, { handler: value, name });
    for (const other of value["~handler"].with ?? []) visit(other, name, found);
    return;
  }
  if (Array.isArray(value)) {
    value.forEach((item, index) => visit(item, `${name}[${index}]`, found));
    return;
  }
  if (typeof value !== "object" || value === null) {
    throw new TypeError(
      `${name} must be a module namespace (import * as orders), a handler, or an array of these; got ${show(value)}` +
        (typeof value === "function" ? ": call it, and pass the handlers that it gives" : ""),
    );
  }
  const exported = handlersIn(value, name);
  if (exported.length === 0) {
    if (isContract(value)) {
      throw new TypeError(
        `${name} is a contract, ${value.name}: pass what its ${value.kind === "event" ? "on" : "handle"}(…) gives`,
      );
    }
    const other = "~entity" in value ? "an entity" : "~workflow" in value ? "a workflow" : undefined;
    if (other !== undefined && "name" in value) {
      throw new TypeError(`${name} is ${other}, ${value.name}: pass what its handle(…) gives`);
    }
    if (value instanceof Promise) throw new TypeError(`${name} is a promise: await it, and pass what it gives`);
    throw new TypeError(
      `${name} has no handlers: it exports ${Object.keys(value).join(", ") || "nothing"}; ` +
        `export what Contract.handle(…) and Contract.on(…) give`,
    );
  }
  for (const [each, handler] of exported) visit(handler, each, found);
}

/** Returns the handlers that a module exports, with their names, including those in its arrays and its modules. */
function handlersIn(module: object, name: string): [name: string, handler: Handler][] {
  const found: [name: string, handler: Handler][] = [];
  // visited values are remembered, because modules may export each other, and large data
  const seen = new Set<unknown>([module]);
  const left: [name: string, value: object][] = [[name, module]];
  for (const [name, value] of left) {
    for (const [key, each] of Object.entries(value)) {
      const place = Array.isArray(value) ? `${name}[${key}]` : `${name}.${key}`;
      if (isHandler(each)) found.push([place, each]);
      else if (!seen.has(each) && (Array.isArray(each) || isPlain(each))) left.push([place, each]);
      seen.add(each);
    }
  }
  return found;
}

function isContract(value: object): value is AnyContract {
  const { kind, name, options } = value as Partial<AnyContract>;
  return (kind === "command" || kind === "query" || kind === "event" || kind === "stream") &&
    typeof name === "string" &&
    typeof options === "object";
}

const ONE = "has exactly one handler in a node";
