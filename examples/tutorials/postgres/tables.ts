import { pool, store } from "./hotel.ts";

await store.migrate();
await pool.query("CREATE TABLE IF NOT EXISTS booking (room TEXT PRIMARY KEY, guest TEXT, nights INT)");
await pool.query("CREATE TABLE IF NOT EXISTS points (guest TEXT PRIMARY KEY, total INT)");
await pool.end();
console.log("the tables are there");
