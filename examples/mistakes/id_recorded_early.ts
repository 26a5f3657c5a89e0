/** The id of a message is recorded before its effect: if the process dies between the two, nobody has the effect. */
import { type Context, event } from "@catga/catga";
import { guarantees } from "@catga/catga/testing";
import { Books } from "./books.ts";
import { mistake } from "./mistake.ts";

const SeatSold = event<{ seat: string }>("SeatSold", { durable: true, key: ({ seat }) => seat });

export const idRecordedEarly = mistake<Books>("an id that is recorded early", {
  faults: ["kill"],
  world: () => new Books(),
  workload: async ({ app, step, clock }) => {
    for (let n = 0; n < 8; n++) {
      await step("sell", () => app.publish(SeatSold, { seat: `${n}` }, { id: `seat-${n}` }));
      await clock.sleep(50);
    }
  },
  check: [guarantees(SeatSold), ({ history, world }) => {
    const { booked } = world;
    for (const { id, method, outcome } of history.operations) {
      const seat = id?.slice("seat-".length) ?? "";
      if (method === "publish" && outcome?.type === "ok" && booked.get(seat) !== 1) {
        throw new Error(`seat ${seat} was booked ${booked.get(seat) ?? 0} times`);
      }
    }
  }],
}, {
  handlers: ({ world }) =>
    SeatSold.on(async ({ seat }, { id, clock }) => {
      if (!world.note(id)) return;
      await clock.sleep(20); // the way to the database
      world.book(seat);
    }, { name: "books" }),
}, {
  handlers: ({ world }) => {
    const book = world.store.handler(({ seat }: { seat: string }) => world.book(seat));
    return SeatSold.on(async (sold: { seat: string }, ctx: Context) => {
      await ctx.clock.sleep(20);
      await book(sold, ctx);
    }, { name: "books" });
  },
});
