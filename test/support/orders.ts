/** A module as a user writes it: contracts and handlers side by side, and exports that are neither. */
import { command, event, query } from "../../src/contract/declaration/definition.ts";

export const CreateOrder = command<{ sku: string }, string>("CreateOrder");
export const CountOrders = query<void, number>("CountOrders");
export const OrderCreated = event<{ sku: string }>("OrderCreated");

export const createOrder = CreateOrder.handle(({ sku }) => `${sku}-1`);
export const announce = OrderCreated.on(() => {});
/** The same handler once more. */
export const alias = createOrder;

export const VERSION = 3;
export const NOTHING = null;
export const SETTINGS = { retries: 1 };
/** A handler among other exports. */
export default CountOrders.handle(() => 1);
/** No handler: a function that looks like one. */
export function handle(): number {
  return 3;
}
