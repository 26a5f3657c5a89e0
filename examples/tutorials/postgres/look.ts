import { pool } from "./hotel.ts";

const look = async (text: string) =>
  (await pool.query(text)).rows.map((row) => Object.values(row).join(" ")).join(", ");
console.log(`booked: ${await look("SELECT room, guest FROM booking ORDER BY room")}`);
console.log(`events that wait: ${await look("SELECT count(*) FROM catga.outbox")}`);
console.log(`points: ${await look("SELECT guest, total FROM points ORDER BY guest")}`);
await pool.end();
