/**
 * A node of an entity whose state counts its events in each of some members, in this tree or an earlier one: prints the
 * state, and how many events were applied to make it; then it may send a command that emits 100 events, and drains.
 *
 *   … test/processes/meter_node.ts <nats url> <members, as a,b> <sends: 1 or 0>
 *
 * @module
 */
import process from "node:process";
import { catga, command, entity, unwrap } from "@catga/catga";

/** What the program prints. */
export interface MeterLine {
  readonly state: Readonly<Record<string, number>>;
  readonly applied: number;
}

const [nats, members, sends] = process.argv.slice(2);
const names = members.split(",");
let applied = 0;
const Meter = entity<MeterLine["state"]>("Meter", {
  initial: () => Object.fromEntries(names.map((name) => [name, 0])),
});
const Counted = Meter.event("Counted", (state) => {
  applied++;
  return Object.fromEntries(names.map((name) => [name, state[name] + 1]));
});
const Count = command("Count", { key: () => "m" });

const app = await catga({
  nats,
  handlers: Meter.handle(Count, (meter) => {
    for (let n = 0; n < 100; n++) meter.emit(Counted);
  }),
});
const { state } = await app.load(Meter, "m", { latest: true });
console.log(JSON.stringify({ state, applied } satisfies MeterLine));
if (sends === "1") unwrap(await app.send(Count));
await app.drain();
