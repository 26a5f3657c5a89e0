/**
 * A node with something to show, for the test of the dashboard.
 *
 *   … test/processes/dashboard_node.ts <nats url> <id> <service> [load a second] [ms that its clock is ahead] [release]
 *
 * Every node handles the same; one with a load sends and publishes. Ends at SIGTERM.
 *
 * @module
 */
import process from "node:process";
import { catga, CatgaError, command, entity, event, fail, type Lock, query, unwrap, workflow } from "@catga/catga";
import { skewClock } from "./skewed_clock.ts";

const Reserve = command<{ sku: string; n: number }, number>("orders.Reserve");
const Price = query<{ sku: string }, number>("orders.Price");
const Changed = event<{ sku: string }>("orders.Changed");
const Placed = event<{ orderId: string; poison?: boolean }>("orders.Placed", {
  durable: true,
  key: ({ orderId }) => orderId,
});
const Heal = event<void>("orders.Heal");
const Export = workflow<void, string>("Export");
const Sweep = command<string>("orders.Sweep", { durable: true });
const Cart = entity("Cart", { initial: () => 0 });
const ItemAdded = Cart.event<{ sku: string }>("ItemAdded", (n) => n + 1);
const AddItem = command<{ cart: string; sku: string }>("AddItem", { key: ({ cart }) => cart });

const [url, id, service, load = "0", ahead = "0", release = "1"] = process.argv.slice(2);
skewClock({ ahead: Number(ahead) });
let healed = false;
const app = await catga({
  nats: url,
  id,
  service,
  metadata: { release },
  logger: { debug() {}, info() {}, warn: console.error, error() {} },
  handlers: [
    Reserve.handle(async ({ n }, ctx) => {
      await ctx.clock.sleep(n % 7);
      return n % 50 === 0 ? fail("SOLD_OUT", "no more of it") : n;
    }),
    Price.handle(({ sku }) => sku.length),
    Sweep.handle(() => {}),
    Cart.handle(AddItem, (cart, { sku }) => cart.emit(ItemAdded, { sku })),
    Changed.on(() => {}),
    Heal.on(() => {
      healed = true;
      console.log("healed");
    }, { each: "node" }),
    Placed.on(({ poison }) => {
      if (poison && !healed) return fail("NO_PRINTER", "out of paper", { final: true });
    }, { name: "invoices" }),
    Export.handle((flow) =>
      flow.step("upload", (): string => {
        throw new Error("the disk is full");
      }, { retry: { attempts: 1 } })
    ),
  ],
});
console.log("ready");
let ended = false;
const end = async () => {
  ended = true;
  await app.drain();
  process.exit(0);
};
process.once("SIGTERM", () => void end());
process.stdin.on("data", (text) => void obey(`${text}`));

const held: Lock[] = [];

/** `poison`, `heal`, `export ID`, `fill CART`, `sweep ID`, `hold KEY`, `wait KEY`: a line of standard input. */
async function obey(lines: string): Promise<void> {
  for (const line of lines.split("\n").filter((text) => text !== "")) {
    const [what, key = ""] = line.split(" ");
    if (what === "poison") await app.publish(Placed, { orderId: key, poison: true });
    if (what === "heal") await app.publish(Heal);
    if (what === "export") unwrap(await app.start(Export, undefined, { id: key }));
    if (what === "fill") { for (const sku of ["tea", "cup"]) unwrap(await app.send(AddItem, { cart: key, sku })); }
    if (what === "sweep") unwrap(await app.enqueue(Sweep, "all", { cron: "* * * * * *", id: key }));
    if (what === "hold" || what === "wait") held.push(await app.lock(key, { timeout: 600_000 }));
    if (what === "lead") app.lead(key, () => new Promise(() => {}));
    if (what === "later") await app.publish(Placed, { orderId: key }, { delay: 3_600_000, id: key });
    if (what === "markup") throw new CatgaError("BUSY", "not here");
    console.log(`done ${line}`);
  }
}

let n = 0;
const every = 20; // ms
const timer = setInterval(() => {
  if (ended) return clearInterval(timer);
  for (let i = 0; i < (Number(load) * every) / 1_000; i++) {
    n++;
    void app.send(Reserve, { sku: "tea", n });
    if (n % 3 === 0) void app.send(Price, { sku: "tea" });
    if (n % 10 === 0) void app.publish(Placed, { orderId: `o-${n}` });
    if (n % 40 === 0) void app.publish(Changed, { sku: `tea-${n}` });
  }
}, every);
