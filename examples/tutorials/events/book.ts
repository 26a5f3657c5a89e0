import process from "node:process";
import { catga, unwrap } from "@catga/catga";
import { Booked } from "./booked.ts";

const [room, guest] = process.argv.slice(2);
await using app = await catga({ file: "hotel.db" });
unwrap(await app.publish(Booked, { room, guest }, { id: `${room}-${guest}` }));
console.log(`stored: ${room} for ${guest}`);
