/**
 * A package that exports contracts, each with its type written out, as `isolatedDeclarations` and JSR ask for. Only its
 * types are built; nothing of it runs.
 *
 * @module
 */
import {
  type Behavior,
  type BehaviorMessage,
  type BroadcastResult,
  type Catga,
  catga,
  type Command,
  command,
  type DurableCommand,
  type DurableEvent,
  type DurableKeyedCommand,
  type EmittedEvent,
  type Entity,
  entity,
  type EntityEvent,
  type EntityHandler,
  event,
  type EventContract,
  type Given,
  type Handler,
  type KeyedCommand,
  type LoadedEntity,
  type MaybePromise,
  type Query,
  query,
  type Result,
  type Signal,
  type Stream,
  stream,
  type Term,
  type Workflow,
  workflow,
} from "@catga/catga";

/** The payload of many of them. */
export interface Id {
  readonly id: string;
}
/** The state of a cart. */
export interface CartState {
  readonly items: readonly string[];
}

export const Ping: Command = command("Ping");
export const CreateOrder: Command<{ sku: string; qty: number }, { orderId: string }> = command("CreateOrder");
export const Coded: Command<Id, number, "NO"> = command("Coded", { failures: ["NO"] });
export const Durable: DurableCommand<Id, number> = command<Id, number>("Durable", { durable: true });
export const Keyed: KeyedCommand<Id, number> = command<Id, number>("Keyed", { key: ({ id }) => id });
export const DurableKeyed: DurableKeyedCommand<Id, number> = command<Id, number>("DurableKeyed", {
  durable: true,
  key: ({ id }) => id,
});
export const CountOrders: Query<Id, number> = query("orders.Count");
export const Seen: EventContract<Id> = event("Seen");
export const Placed: DurableEvent<Id> = event("Placed", { durable: true });
export const Tail: Stream<{ from: number }, { line: string }> = stream("Tail");

export const Approval: Workflow<{ cents: number }, string> = workflow("Approval");
export const Approved: Signal<{ by: string }> = Approval.signal("Approved");

export const Cart: Entity<CartState> = entity<CartState>("Cart", { initial: () => ({ items: [] }) });
export const ItemAdded: EntityEvent<CartState, Id> = Cart.event("ItemAdded", ({ items }, { id }) => ({
  items: [...items, id],
}));
export const forgotten: EmittedEvent<{ readonly id: string }> = Cart.forgotten;
export const given: Given<CartState> = ItemAdded.of({ id: "tea" });
export const keyed: EntityHandler<CartState, Id, number> = Cart.handle(Keyed, (cart) => cart.version);
export const createOrder: Handler = CreateOrder.handle(({ sku }) => ({ orderId: sku }));

export const timed: Behavior = (_: BehaviorMessage, next: () => Promise<Result<unknown>>): MaybePromise<
  Result<unknown>
> => next();

export const openApp = (): Promise<Catga> => catga({ handlers: [createOrder, keyed], behaviors: [timed] });
export const load = (app: Catga): Promise<LoadedEntity<CartState>> => app.load(Cart, "7");
export const lead = (app: Catga): Term => app.lead("nightly", () => {});
export const broadcast = (app: Catga): Promise<BroadcastResult<number>[]> => app.broadcast(CountOrders, { id: "7" });
