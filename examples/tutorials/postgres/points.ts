import process from "node:process";
import { catga } from "@catga/catga";
import { Booked, type Booking, store } from "./hotel.ts";

const give = store.handler(async ({ guest, nights }: Booking, _ctx, tx) => {
  await tx.query(
    "INSERT INTO points VALUES ($1, $2) ON CONFLICT (guest) DO UPDATE SET total = points.total + $2",
    [guest, nights * 10],
  );
  console.log(`${nights * 10} points for ${guest}`);
});

const points = Booked.on(async (booking, ctx) => {
  await give(booking, ctx); // done: the transaction has committed
  if (process.argv[2] === "die") process.kill(process.pid, "SIGKILL");
  console.log(`room ${booking.room} is done`);
}, { name: "points", from: "start" });

await catga({ file: "hotel.db", sql: [store], handlers: points, signals: true });
