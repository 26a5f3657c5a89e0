import { catga, unwrap } from "@catga/catga";
import { Ship, Sold } from "./contracts.ts";

const bills = Sold.on(async ({ order, cents }, ctx) => {
  console.log(cents === 0 ? `no bill for ${order}` : `bill for ${order}: ${cents}`);
  if (cents > 500) unwrap(await ctx.start(Ship, { order }));
}, { name: "bills", from: "start" });

const ship = Ship.handle(async (flow, { order }) =>
  await flow.step("hand over", () => {
    console.log(`parcel of ${order}`);
    return `parcel of ${order}`;
  })
);

const quiet = { debug() {}, info() {}, warn() {}, error() {} };
await catga({ file: "shop.db", handlers: [bills, ship], logger: quiet, signals: true });
