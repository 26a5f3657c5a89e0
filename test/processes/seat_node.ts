/** A node of one version, in a process: `seat_node.ts <nats> <namespace> <id> old|new`. It prints what it handles. */
import process from "node:process";
import { catga } from "../../mod.ts";
import { NEW, OLD, type SeatLine } from "./seat_contracts.ts";

const [nats, namespace, id, version] = process.argv.slice(2);
const { Sell, Sold, Print, Book, Reserve, Seat, Reserved } = version === "old" ? OLD as unknown as typeof NEW : NEW;
const print = (line: SeatLine) => console.log(JSON.stringify(line));
const app = await catga({
  ...{ nats, namespace, id, service: "shop", signals: true },
  handlers: [
    Sell.handle(() => id),
    Seat.handle(Reserve, (seat) => {
      seat.emit(Reserved);
      return seat.state.count;
    }),
    Book.handle(async (flow, { seat }) => {
      await flow.step("sell", () => `${seat} at ${id}`);
      return await flow.step("print", () => {
        print({ event: "booked", seat });
        return version;
      });
    }),
    Print.handle(({ seat }) => print({ event: "printed", seat })),
    Sold.on(({ seat }) => print({ event: "sold", seat }), { name: "sales" }),
  ],
});
print({ event: "ready" });
let named = "";
setInterval(() => {
  const outages = app.health().subscriptions.flatMap(({ name, outage }) =>
    outage ? [`${name}: ${outage.message}`] : []
  );
  const message = outages.join("\n");
  if (message !== named) print({ event: "outage", message });
  named = message;
}, 100).unref();
