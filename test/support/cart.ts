/** A cart, as an entity. */
import { command, entity } from "../../mod.ts";

interface State {
  readonly items: readonly string[];
  readonly paid: boolean;
}

export const Cart = entity<State>("Cart", { initial: () => ({ items: [], paid: false }) });
export const ItemAdded = Cart.event<{ sku: string }>(
  "ItemAdded",
  (cart, { sku }) => ({ ...cart, items: [...cart.items, sku] }),
);
export const Paid = Cart.event("Paid", (cart) => ({ ...cart, paid: true }));
export const AddItem = command<{ cartId: string; sku: string }, number, "PAID">("AddItem", {
  key: ({ cartId }) => cartId,
});
