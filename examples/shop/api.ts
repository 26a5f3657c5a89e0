/** The contracts that browsers may call: the gateway makes a handler of this edge, the page imports only its type. */
import { edge } from "@catga/catga/http";
import { Aftercare, FindOrder, OrderPlaced, PlaceOrder } from "./contracts.ts";

export const api = edge({
  placeOrder: [PlaceOrder, { failures: { ALREADY_PLACED: 409, CARD_DECLINED: 402 } }],
  findOrder: [FindOrder, { failures: { NO_SUCH_ORDER: 404 } }],
  placed: OrderPlaced,
  aftercare: Aftercare,
});
