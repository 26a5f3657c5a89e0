/** An id is recorded in a transaction, and its effect is beside it: the process may die between the two. */
import { type Context, event } from "@catga/catga";
import { guarantees } from "@catga/catga/testing";
import { Books } from "./books.ts";
import { mistake } from "./mistake.ts";

const RoomSold = event<{ room: string }>("RoomSold", { durable: true, key: ({ room }) => room });

export const effectBesideTheTransaction = mistake<Books>("an effect beside the transaction", {
  faults: ["kill"],
  world: () => new Books(),
  workload: async ({ app, step, clock }) => {
    for (let n = 0; n < 8; n++) {
      await step("sell", () => app.publish(RoomSold, { room: `${n}` }, { id: `sold-${n}` }));
      await clock.sleep(50);
    }
  },
  check: [guarantees(RoomSold), ({ world }) => {
    for (const [room, n] of world.booked) if (n > 1) throw new Error(`room ${room} was booked ${n} times`);
  }],
}, {
  handlers: ({ world }) => {
    const record = world.store.handler(() => {});
    return RoomSold.on(async (sold: { room: string }, ctx: Context) => {
      world.book(sold.room);
      await ctx.clock.sleep(20); // the way to the database
      await record(sold, ctx);
    }, { name: "books" });
  },
}, {
  handlers: ({ world }) => {
    const book = world.store.handler(({ room }: { room: string }) => world.book(room));
    return RoomSold.on(async (sold: { room: string }, ctx: Context) => {
      await book(sold, ctx);
      await ctx.clock.sleep(20);
    }, { name: "books" });
  },
});
