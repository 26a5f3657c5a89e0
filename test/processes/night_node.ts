/**
 * A node of a shop, for the test of a bad night.
 *
 *   … test/processes/night_node.ts <nats urls> <payments | mails | shop>
 *
 * `payments` handles `bank.Charge`, `mails` the events of orders; `shop` places some orders each second. Obeys lines of
 * standard input. Ends at SIGTERM.
 *
 * @module
 */
import process from "node:process";
import { catga, command, event, fail, unwrap } from "@catga/catga";

const Charge = command<{ order: number }>("bank.Charge", { durable: true });
const Placed = event<{ order: number; card?: { last4: string } }>("orders.Placed", { durable: true });
const Audited = event<{ order: number }>("orders.Audited", { durable: true });

const [urls, service] = process.argv.slice(2);
let broken = false;
/** How often the receipt of an order was not made, by order. */
const failures = new Map<number, number>();

/** Takes the last digits of a card, which an order need not have. */
function receiptOf({ card }: { readonly card?: { readonly last4: string } }): string {
  return `paid with ${card!.last4}`;
}

const retry = { attempts: 2, delay: [10, 10] } as const;
const HANDLERS = {
  payments: [Charge.handle(() => {})],
  mails: [
    Placed.on((placed) => {
      if (!broken) return;
      failures.set(placed.order, (failures.get(placed.order) ?? 0) + 1);
      receiptOf(placed);
    }, { name: "receipts", retry }),
    Audited.on(() => fail("NO_AUDITOR", "nobody audits at night", { final: true }), { name: "audit" }),
  ],
  shop: [],
};

const app = await catga({
  nats: urls.split(","),
  replicas: 3,
  service,
  id: `${service}-${process.pid}`,
  logger: { debug() {}, info() {}, warn() {}, error() {} },
  handlers: HANDLERS[service as keyof typeof HANDLERS],
});
console.log("ready");
process.once("SIGTERM", () => void app.drain().then(() => process.exit(0)));
process.stdin.on("data", (text) => {
  for (const line of `${text}`.split("\n").filter((each) => each !== "")) void obey(line);
});

async function obey(line: string): Promise<void> {
  const [what, n = "0"] = line.split(" ");
  if (what === "break" || what === "mend") broken = what === "break";
  if (what === "mend") console.log(`dead ${[...failures.values()].filter((each) => each === retry.attempts).length}`);
  if (what === "audit") {
    const all = Array.from({ length: Number(n) }, (_, order) => order);
    const publish = async () => {
      for (let order = all.pop(); order !== undefined; order = all.pop()) unwrap(await app.publish(Audited, { order }));
    };
    await Promise.all(Array.from({ length: 256 }, publish));
  }
  console.log(`done ${line}`);
}

let order = 0;
if (service === "shop") {
  setInterval(() => {
    order++;
    void app.publish(Placed, { order });
    void app.enqueue(Charge, { order });
  }, 250);
}
