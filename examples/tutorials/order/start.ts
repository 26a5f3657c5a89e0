import process from "node:process";
import { catga, unwrap } from "@catga/catga";
import * as handlers from "./order.ts";

const [order = "7"] = process.argv.slice(2);
const app = await catga({ file: "shop.db", handlers, signals: true });
console.log(`order ${order}`);
unwrap(await app.start(handlers.Order, { order, cents: 420 }));
