/** A change is committed, and its event is published behind it: the process may die between the two. */
import { command, event } from "@catga/catga";
import { guarantees } from "@catga/catga/testing";
import { Books } from "./books.ts";
import { mistake } from "./mistake.ts";

const Reserve = command<{ room: string }>("Reserve");
const Reserved = event<{ room: string }>("Reserved", { durable: true, key: ({ room }) => room });

export const publishBesideTheTransaction = mistake<Books>("an event beside the transaction", {
  faults: ["kill"],
  world: () => new Books(),
  sql: ({ world }) => [world.store],
  workload: async ({ app, step, clock }) => {
    for (let n = 0; n < 8; n++) {
      await step("reserve", () => app.send(Reserve, { room: `${n}` }));
      await clock.sleep(50);
    }
  },
  check: [guarantees(Reserved), ({ world: { booked } }) => {
    for (const [what] of booked) {
      const room = what.replace("told ", "");
      if (!booked.has(`told ${room}`)) throw new Error(`room ${room} was reserved, and nobody was told`);
      if (!booked.has(room)) throw new Error(`room ${room} was not reserved, and somebody was told`);
      if (booked.get(`told ${room}`)! > 1) throw new Error(`somebody was told twice of room ${room}`);
    }
  }],
}, {
  handlers: ({ world }) => [
    Reserve.handle(async ({ room }, ctx) => {
      await world.store.transaction(() => world.book(room));
      await ctx.clock.sleep(5); // the way to NATS
      await ctx.publish(Reserved, { room });
    }),
    told(world),
  ],
}, {
  handlers: ({ world }) => [
    Reserve.handle(async ({ room }, ctx) => {
      await world.store.transaction((_, out) => {
        world.book(room);
        out.publish(Reserved, { room });
      });
      await ctx.clock.sleep(5);
    }),
    told(world),
  ],
});

/** The subscription, which tells once for each message. */
function told(world: Books) {
  const tell = world.store.handler(({ room }: { room: string }) => world.book(`told ${room}`));
  return Reserved.on(tell, { name: "desk" });
}
