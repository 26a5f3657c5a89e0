/**
 * A node of an entity whose state counts its events in each of some members, in this tree or an earlier one: prints the
 * state, and how many events were applied to make it; then it may send a command that emits events, and drains.
 *
 *   … test/processes/meter_node.ts <nats url> <members, as a,b> <events to emit, or 0>
 *
 * @module
 */
import process from "node:process";
import { z } from "zod";
import { catga, command, entity, unwrap } from "@catga/catga";

/** What the program prints. */
export interface MeterLine {
  readonly state: Readonly<Record<string, number>>;
  readonly applied: number;
}

const [nats, members, events] = process.argv.slice(2);
const names = members.split(",");
let applied = 0;
const Meter = entity<MeterLine["state"]>("Meter", {
  initial: () => Object.fromEntries(names.map((name) => [name, 0])),
});
// a schema, so that this tree stores the shape of the event with it, and the earlier one does not
const Counted = Meter.event("Counted", (state, { by }) => {
  applied++;
  return Object.fromEntries(names.map((name) => [name, state[name] + by]));
}, { input: z.object({ by: z.number() }) });
const Count = command("Count", { key: () => "m" });

const app = await catga({
  nats,
  handlers: Meter.handle(Count, (meter) => {
    for (let n = 0; n < Number(events); n++) meter.emit(Counted, { by: 1 });
  }),
});
const { state } = await app.load(Meter, "m", { latest: true });
console.log(JSON.stringify({ state, applied } satisfies MeterLine));
if (events !== "0") unwrap(await app.send(Count));
await app.drain();
