/** A user's first program, run on the published package: an app in memory that sends to itself. */
import { catga, command, event, fail } from "@catga/catga";

const Greet = command<{ name: string }, string>("Greet");
const Greeted = event<{ name: string }>("Greeted");

const heard: string[] = [];
const greet = Greet.handle(async ({ name }, ctx) => {
  if (name === "") return fail("NO_NAME", "whom?");
  const published = await ctx.publish(Greeted, { name });
  return published.ok ? `hello ${name}` : published;
});
const listen = Greeted.on(({ name }) => heard.push(name));

await using app = await catga({ handlers: [greet, listen] });
const good = await app.send(Greet, { name: "tea" });
const bad = await app.send(Greet, { name: "" });
if (!good.ok || good.value !== "hello tea") throw new Error(`answered ${JSON.stringify(good)}`);
if (bad.ok || bad.error.code !== "NO_NAME") throw new Error(`answered ${JSON.stringify(bad)}`);
if (heard.join() !== "tea") throw new Error(`heard ${JSON.stringify(heard)}`);
console.log("in memory: answered, failed and heard as it should");
