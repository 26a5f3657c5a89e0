import process from "node:process";
import { Booked, pool, store } from "./hotel.ts";

const [room, guest, nights, word] = process.argv.slice(2);

await store.transaction(async (tx, out) => {
  out.publish(Booked, { room, guest, nights: Number(nights) });
  await tx.query("INSERT INTO booking VALUES ($1, $2, $3)", [room, guest, nights]);
  if (word === "die") process.kill(process.pid, "SIGKILL");
}).then(
  () => console.log(`booked: room ${room} for ${guest}`),
  (error) => console.log(`not booked: ${error.message}`),
);
await pool.end();
