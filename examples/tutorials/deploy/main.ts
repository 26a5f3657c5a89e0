import { catga } from "@catga/catga";
import { CreateOrder, createOrder } from "./orders.ts";

await using app = await catga({ handlers: createOrder });
const made = await app.send(CreateOrder, { sku: "tea", qty: 2, buyer: "ada" });
console.log(made.value?.orderId);
