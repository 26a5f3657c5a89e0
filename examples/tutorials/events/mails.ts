import { existsSync } from "node:fs";
import { catga } from "@catga/catga";
import { Booked } from "./booked.ts";

const isMended = existsSync("mended");
const mails = Booked.on(({ room, guest }, ctx) => {
  if (guest === "bob" && !isMended) {
    console.log(`attempt ${ctx.attempt}: the mailbox of ${guest} is full`);
    throw new Error("the mailbox is full");
  }
  console.log(`mail to ${guest}: room ${room} is yours`);
}, { name: "mails", from: "start", retry: { attempts: 2, delay: [10, 10] } });

const quiet = { debug() {}, info() {}, warn() {}, error() {} }; // without it the console shows each failure
await catga({ file: "hotel.db", handlers: mails, logger: quiet, signals: true });
