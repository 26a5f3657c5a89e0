import process from "node:process";
import { catga, unwrap } from "@catga/catga";
import { Sold } from "./contracts.ts";

const [order = "1", cents = "100"] = process.argv.slice(2);
await using app = await catga({ file: "shop.db" });
unwrap(await app.publish(Sold, { order, cents: Number(cents) }, { id: `sold-${order}` }));
console.log(`sold ${order}`);
