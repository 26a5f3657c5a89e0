/** A node of one version, in a process: `seat_node.ts <nats> <namespace> <id> old|new`. It prints what it handles. */
import process from "node:process";
import { catga } from "../../mod.ts";
import { NEW, OLD, type SeatLine } from "./seat_contracts.ts";

const [nats, namespace, id, version] = process.argv.slice(2);
const { Sell, Sold } = version === "old" ? OLD as unknown as typeof NEW : NEW;
const print = (line: SeatLine) => console.log(JSON.stringify(line));
await catga({
  ...{ nats, namespace, id, service: "shop", signals: true },
  handlers: [
    Sell.handle(() => id),
    Sold.on(({ seat }) => print({ event: "sold", seat }), { name: "sales" }),
  ],
});
print({ event: "ready" });
