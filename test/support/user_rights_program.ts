/** A program with declarations of every kind, for tests of `catga users`: its service handles all of them. */
import { command, entity, event, query, stream, workflow } from "../../mod.ts";

export const Ask = query<void, string>("Ask");
export const Pay = command<void, string>("Pay", { idempotent: true });
export const Told = event("Told");
export const Kept = event("Kept", { durable: true });
export const Queued = command("Queued", { durable: true });
export const Add = command<{ cart: string }, number>("Add", { key: ({ cart }) => cart });
export const Items = stream<void, number>("Items");
export const Order = workflow("Order");

const Cart = entity("Cart", { initial: () => ({ count: 0 }) });
const Added = Cart.event("Added", ({ count }) => ({ count: count + 1 }));
export { Cart };

export const handlers = [
  Ask.handle((_, { node }) => node),
  Pay.handle((_, { id }) => id),
  Told.on(() => {}),
  Kept.on(() => {}, { name: "kept" }),
  Kept.on(() => {}, { name: "model", each: "node" }),
  Queued.handle(() => {}),
  Cart.handle(Add, (cart) => (cart.emit(Added), cart.state.count)),
  Added.on(() => {}, { name: "added" }),
  Items.handle(async function* () {
    yield* [1, 2, 3];
  }),
  Order.handle(async (flow) => {
    await flow.sleep("a moment", 10);
    await flow.step("note", () => 1);
  }),
];
