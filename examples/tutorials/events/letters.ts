import process from "node:process";
import { catga } from "@catga/catga";

await using app = await catga({ file: "hotel.db" });
for await (const letter of app.deadLetters({ subscription: "mails" })) {
  const [cause] = letter.error.cause?.split("\n") ?? [];
  console.log(`room ${letter.key}: ${cause} (${letter.attempts} attempts, ${letter.heldBehind} behind it)`);
  if (process.argv[2] === "replay") await letter.replay();
}
