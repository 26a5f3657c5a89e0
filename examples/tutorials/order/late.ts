import { unwrap } from "@catga/catga";
import { testCluster } from "@catga/catga/testing";
import * as handlers from "./order.ts";

const DAYS = 86_400_000;

await using cluster = await testCluster(2, { handlers });
const app = cluster.app("node-1");
const run = unwrap(await app.start(handlers.Order, { order: "8", cents: 990 }));
const status = async () => (await Array.fromAsync(app.runs({ id: run })))[0]?.status;
while (await status() !== "waiting") await cluster.advance(10);

await cluster.leap(3 * DAYS);
console.log((await app.result(handlers.Order, run)).error?.code);
