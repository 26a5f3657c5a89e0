/** A saga by hand cancels a booking that did not answer in time: the booking may still be on its way. */
import { command, type Context, fail, workflow } from "@catga/catga";
import { guarantees } from "@catga/catga/testing";
import { mistake } from "./mistake.ts";

type Trip = { readonly trip: string };
const Book = command<Trip, string>("Book", { timeout: 2_000, idempotent: true });
const Cancel = command<Trip, void>("Cancel", { timeout: 2_000, idempotent: true });
const Travel = command<Trip, string>("Travel", { timeout: 30_000 });
const Journey = workflow<Trip, string>("Journey");

/** The hotel, outside of the cluster. Its `close` is for good: what comes for that trip later is refused. */
class Hotel {
  readonly rooms = new Set<string>();
  readonly #closed = new Set<string>();

  async book(trip: string, { clock }: Context): Promise<string> {
    await clock.sleep(200);
    if (!this.#closed.has(trip)) this.rooms.add(trip);
    return `room of ${trip}`;
  }

  cancel(trip: string): void {
    this.rooms.delete(trip);
  }

  close(trip: string): void {
    this.rooms.delete(trip);
    this.#closed.add(trip);
  }
}

/** Every second trip cannot be paid. */
const isPaid = (trip: string) => Number(trip) % 2 === 0;

export const undoBeforeTheEnd = mistake<Hotel>("a saga that undoes before the step has ended", {
  world: () => new Hotel(),
  check: [guarantees(Book, Cancel, Journey), ({ history, world }) => {
    const failed = [
      ...history.attempts.filter(({ contract, outcome }) => contract === "Travel" && outcome?.type === "failed")
        .map(({ input }) => (input as Trip).trip),
      ...history.runs.filter(({ workflow, status }) => workflow === "Journey" && status === "failed").map(({ id }) =>
        id
      ),
    ];
    for (const trip of failed) if (world.rooms.has(trip)) throw new Error(`trip ${trip} has failed, and has a room`);
  }],
  workload: () => {},
}, {
  nodes: { app: 1, hotel: 2 },
  handlers: ({ world, service }) =>
    service === "hotel"
      ? [Book.handle(({ trip }, ctx) => world.book(trip, ctx)), Cancel.handle(({ trip }) => world.cancel(trip))]
      : [
        Travel.handle(async ({ trip }, ctx) => {
          const room = await ctx.send(Book, { trip }, { id: `book-${trip}` });
          if (room.ok && isPaid(trip)) return room.value;
          void await ctx.send(Cancel, { trip }, { id: `cancel-${trip}` });
          return fail("NO_TRIP", "no room, or no money");
        }),
      ],
  workload: async ({ app, step, clock }) => {
    for (let n = 0; n < 6; n++) {
      await step("travel", () => app.send(Travel, { trip: `${n}` }));
      await clock.sleep(100);
    }
  },
}, {
  nodes: { app: 1, hotel: 2 },
  handlers: ({ world, service }) =>
    service === "hotel"
      ? [Book.handle(({ trip }, ctx) => world.book(trip, ctx)), Cancel.handle(({ trip }) => world.close(trip))]
      : [
        Journey.handle(async (flow, { trip }) => {
          const undo = async () => void await flow.send(Cancel, { trip });
          const room = await flow.send(Book, { trip }, { undo });
          return room.ok && isPaid(trip) ? room.value : fail("NO_TRIP", "no room, or no money");
        }),
      ],
  workload: async ({ app, step, clock }) => {
    for (let n = 0; n < 6; n++) {
      await step("travel", () => app.start(Journey, { trip: `${n}` }, { id: `${n}` }));
      await clock.sleep(100);
    }
  },
});
