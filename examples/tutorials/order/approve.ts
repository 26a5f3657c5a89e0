import process from "node:process";
import { catga, unwrap } from "@catga/catga";
import * as handlers from "./order.ts";

const [order = "7", by = "ada"] = process.argv.slice(2);
await using app = await catga({ file: "shop.db", handlers });
unwrap(await app.tell(handlers.Approved, order, { by }));
console.log(unwrap(await app.result(handlers.Order, order)));
